/**
 * Whose a mailbox is: attach, lost connections, and the end of incarnations.
 *
 * ```text
 * (nobody) ──attach──► attached ◄──attach (same incarnation)──┐
 *                        │  └──connection lost──► suspect ────┘
 *                        │                          │ partitionGraceMs
 *                        └──leave, fence────────────┴──► gone     final and durable
 * ```
 *
 * - *W1* Every change runs alone in its mailbox: what was called before is through, what comes after sees the change.
 * - *W2* Only an end that is on the disk is told to anybody.
 * - *W3* After a start all known incarnations are suspect; their grace begins then.
 * - *W4* A mailbox closes first and is cleared then: what is in a closed mailbox is as good as withdrawn, and is cleared
 *   later, or after a start, when it cannot be now.
 * - *W5* Who is told that a message was not delivered is told the truth: also a mailbox that is deleted closes first.
 */
import { type FenceTarget, GreenroomError, type Lifetime, type Presence } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import { longestDelayMs } from './alarms.ts'
import { anonymous, type Consumer } from './consumer.ts'
import type { CoreParts, Courier } from './courier.ts'
import type { Mailbox, Owner } from './mailbox.ts'
import type { Message } from './message.ts'
import { join, type Plan } from './plan.ts'
import type { PresenceBoard } from './presence.ts'
import { closedMeta } from './records.ts'
import { mailboxOperation, remove } from './removal.ts'
import type { Traffic } from './traffic.ts'
import { Visibility } from './visibility.ts'

/** After a failed commit, an end is tried again this much later. */
const retryMs = 1_000

/** What a consumer asks for. */
export interface AttachRequest {
  readonly address: string
  readonly incarnation: string
  readonly lifetime: Lifetime
  readonly credit: number
  readonly controlCredit: number
  /** What it holds and neither settles nor touches for so long returns. = nothing does */
  readonly visibilityMs?: number
  /** Ids that it still works on. */
  readonly held?: readonly string[]
  /** Which delivery of each; one that is over is not held any more. = the present ones */
  readonly attempts?: readonly number[]
  /** It was attached before: it never replaces a newer one. */
  readonly again?: boolean
  readonly presence?: Presence
}

/** Why an incarnation ended. */
type End = 'gone' | 'replaced'

/** What all of this needs. */
export interface OwnershipParts extends CoreParts {
  readonly courier: Courier
  readonly traffic: Traffic
  readonly presence: PresenceBoard
  readonly partitionGraceMs: number
}

/** See W1 to W5. */
export class Ownership {
  readonly #parts: OwnershipParts

  constructor(parts: OwnershipParts) {
    this.#parts = parts
  }

  /**
   * Makes a consumer the one of its mailbox (D6 to D8). Nothing is delivered before it is ready.
   *
   * @throws GreenroomError `FENCED`, `REPLACED`, `FORBIDDEN`, `MAILBOX_FULL`, `COMMIT_UNKNOWN`
   */
  async attach(consumer: Consumer, request: AttachRequest): Promise<Mailbox> {
    if (request.address === anonymous.address)
      throw new GreenroomError('FORBIDDEN', `nobody may attach as "${anonymous.address}"`)
    const mailbox = this.#parts.registry.open(request.address)
    await this.#alone(mailbox, () => this.#attach(mailbox, consumer, request))
    return mailbox
  }

  async #attach(mailbox: Mailbox, consumer: Consumer, request: AttachRequest): Promise<void> {
    const { ledger, clock } = this.#parts
    const { incarnation, lifetime, presence } = request
    mailbox.checkStays()
    this.#checkRight(mailbox, request)
    const { owner, record } = mailbox
    const plans: Plan[] = []
    const isOther = owner !== undefined && owner.incarnation !== incarnation
    if (isOther) plans.push(this.#endPlan(mailbox, owner, 'replaced'))
    const next = { incarnation, lifetime, presence: presence ?? (isOther ? undefined : record.presence) }
    const isNews =
      isOther ||
      record.incarnation !== incarnation ||
      record.lifetime !== lifetime ||
      record.presence?.role !== next.presence?.role
    if (isNews)
      plans.push({
        operations: [
          mailboxOperation(mailbox, clock.now(), next),
          { delete: 'gone', key: `${mailbox.address}/${incarnation}` },
        ],
        apply: () => mailbox.restore({ ...record, ...next, next: mailbox.next }),
      })
    // Also where nothing changes: who watches is told at the end of a tick, by then the consumer takes live messages.
    await (plans.length > 0 ? ledger.carryOut(join(plans)) : Promise.resolve())
    this.#welcome(mailbox, consumer, request)
  }

  #checkRight({ address, record, owner, isClosed }: Mailbox, { incarnation, lifetime, again }: AttachRequest): void {
    const fenced = (why: string): GreenroomError =>
      new GreenroomError('FENCED', `incarnation ${incarnation} of ${address} ${why}`)
    const ending = isClosed ? 'gone' : this.#parts.ledger.ending(address, incarnation)
    if (ending === 'gone') throw fenced('was declared gone')
    if (record.lifetime !== undefined && record.lifetime !== lifetime)
      throw new GreenroomError('FORBIDDEN', `mailbox ${address} is of lifetime ${record.lifetime}`)
    if (record.incarnation === incarnation) return
    if (again === true && this.#parts.ledger.isUnsure) throw fenced('was there before the data was restored')
    if (lifetime === 'incarnation' && record.incarnation !== undefined)
      throw fenced(`is not ${record.incarnation}, to whom the mailbox belongs`)
    if (again === true && (ending === 'replaced' || owner !== undefined))
      throw new GreenroomError('REPLACED', `another incarnation took ${address} over`)
  }

  /** The mailbox is the consumer's: what it does not list any more comes again. */
  #welcome(
    mailbox: Mailbox,
    consumer: Consumer,
    { incarnation, credit, controlCredit, visibilityMs, held, attempts, presence }: AttachRequest,
  ): void {
    const { owner: before } = mailbox
    before?.visibility?.stop()
    const isSame = before?.incarnation === incarnation
    if (isSame) {
      before.endGrace?.()
      before.consumer?.end('REPLACED', `a newer connection of ${incarnation} took ${mailbox.address} over`)
    }
    const owner: Owner = {
      incarnation,
      presence: presence ?? (isSame ? before.presence : undefined),
      consumer,
      credit,
      controlCredit,
      visibility:
        visibilityMs === undefined ? undefined : new Visibility(this.#parts, mailbox, incarnation, visibilityMs),
      endGrace: undefined,
    }
    mailbox.owner = owner
    const listed = new Set<Message>()
    for (const [index, id] of (held ?? []).entries()) {
      const message = mailbox.messages.get(id)
      if (message !== undefined && (attempts?.[index] ?? message.attempt) === message.attempt) listed.add(message)
    }
    for (const message of mailbox.held) if (!listed.has(message)) mailbox.free(message)
    for (const message of listed) if (message.place === 'ready') mailbox.hold(message)
    owner.visibility?.beginAll()
    if (mailbox.record.lifetime === 'named') this.#parts.ledger.noteHolding(mailbox)
    this.#parts.presence.tell(mailbox, owner, 'attached', { was: before?.presence?.role })
  }

  /** The consumer's connection was lost: its incarnation is suspect, and gone when it does not come back in time. */
  lost(mailbox: Mailbox, consumer: Consumer): void {
    const { owner } = mailbox
    if (owner?.consumer !== consumer) return
    owner.consumer = undefined
    owner.visibility?.stop()
    this.suspect(mailbox, owner)
  }

  /** Begins the grace of an owner that is not connected. */
  suspect(mailbox: Mailbox, owner: Owner): void {
    const { presence, partitionGraceMs } = this.#parts
    this.#startGrace(mailbox, owner, partitionGraceMs)
    presence.tell(mailbox, owner, 'suspect')
  }

  #startGrace(mailbox: Mailbox, owner: Owner, delayMs: number): void {
    const { alarms, clock, logger } = this.#parts
    const isStillSuspect = (): boolean => mailbox.owner === owner && owner.consumer === undefined
    const due = clock.monotonic() + delayMs
    const expired = (): void => {
      // It may stand at the door: nobody could let it in meanwhile.
      if (clock.monotonic() > due + longestDelayMs) return this.#startGrace(mailbox, owner, delayMs)
      this.#end(mailbox, isStillSuspect).catch((error: unknown) => {
        if (!isStillSuspect()) return
        logger('warn', 'end not stored', {
          address: mailbox.address,
          incarnation: owner.incarnation,
          error: String(error),
        })
        this.#startGrace(mailbox, owner, retryMs)
      })
    }
    owner.endGrace?.()
    owner.endGrace = alarms.set(delayMs, expired)
  }

  /**
   * The incarnation leaves: it is gone.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN`
   */
  leave(mailbox: Mailbox, incarnation: string): Promise<void> {
    return this.#end(mailbox, () => mailbox.owner?.incarnation === incarnation)
  }

  async #end(mailbox: Mailbox, isDue: () => boolean): Promise<void> {
    await this.#alone(mailbox, async () => {
      const { owner } = mailbox
      if (owner === undefined || !isDue()) return
      await this.#parts.ledger.carryOut(this.#endPlan(mailbox, owner, 'gone'))
      if (mailbox.isClosed) await this.#clear(mailbox)
    })
  }

  /** W1. */
  async #alone(mailbox: Mailbox, work: () => Promise<void>): Promise<void> {
    try {
      await mailbox.turns.take('alone', work)
    } finally {
      this.#parts.registry.tidy(mailbox)
    }
  }

  /**
   * Declares an incarnation gone, whether it ever attached or not.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN`, `MAILBOX_FULL`
   */
  async fence({ address, incarnation, seenDead = false }: FenceTarget): Promise<void> {
    const mailbox = this.#parts.registry.open(address)
    await this.#alone(mailbox, async () => {
      mailbox.checkStays()
      // In a closed mailbox everybody is gone.
      if (!mailbox.isClosed) await this.#parts.ledger.carryOut(this.#fencePlan(mailbox, incarnation, seenDead))
      if (mailbox.isClosed) await this.#clear(mailbox)
    })
  }

  #fencePlan(mailbox: Mailbox, incarnation: string, seenDead: boolean): Plan {
    const { owner, record } = mailbox
    if (owner?.incarnation === incarnation) return this.#endPlan(mailbox, owner, 'gone', seenDead)
    // Whoever is fenced before it ever attached was to be the mailbox's one incarnation.
    if (record.lifetime === undefined) return this.#closePlan(mailbox, incarnation)
    return { operations: [this.#goneOperation(mailbox.address, incarnation, 'gone')], apply() {} }
  }

  #goneOperation(address: string, incarnation: string, why: End): Operation {
    return { put: 'gone', key: `${address}/${incarnation}`, meta: { why, at: this.#parts.clock.now() } }
  }

  /** An owner's end: its mailbox closes, or, a named one, has no owner and all messages back. */
  #endPlan(mailbox: Mailbox, owner: Owner, why: End, seenDead = false): Plan {
    const { traffic, courier, presence, counters, clock } = this.#parts
    const { incarnation } = owner
    const farewell = (): void => {
      owner.endGrace?.()
      owner.visibility?.stop()
      if (mailbox.owner === owner) mailbox.owner = undefined
      counters.gone += 1
      owner.consumer?.end(
        why === 'gone' ? 'FENCED' : 'REPLACED',
        `incarnation ${incarnation} of ${mailbox.address} is ${why}`,
      )
      presence.tell(mailbox, owner, 'gone', { seenDead })
      courier.pump(mailbox)
    }
    const rest: Plan = { operations: [], apply: farewell }
    if (mailbox.record.lifetime === 'incarnation') return join([this.#closePlan(mailbox, incarnation), rest])
    const back = [...mailbox.held].map((message) => traffic.giveBack(mailbox, message, why, incarnation))
    const without = { incarnation: undefined, presence: undefined }
    const end: Plan = {
      operations: [
        this.#goneOperation(mailbox.address, incarnation, why),
        { delete: 'holding', key: mailbox.address },
        mailboxOperation(mailbox, clock.now(), without),
      ],
      apply: () => mailbox.restore({ ...mailbox.record, ...without }),
    }
    return join([...back, end, rest])
  }

  /** A mailbox closes for ever. */
  #closePlan(mailbox: Mailbox, incarnation: string | undefined, isLeaving = false): Plan {
    const at = this.#parts.clock.now()
    const change = { lifetime: 'incarnation', incarnation, presence: undefined, closedAt: at, isLeaving } as const
    return {
      operations: [
        { delete: 'mailbox', key: mailbox.address },
        { put: 'closed', key: mailbox.address, meta: closedMeta(incarnation, at, isLeaving) },
      ],
      apply: () => mailbox.restore({ ...mailbox.record, ...change, next: mailbox.next }),
    }
  }

  /** Clears a closed mailbox: runs are withdrawn, the senders of all else are told (D8). */
  async clear(mailbox: Mailbox): Promise<void> {
    await this.#alone(mailbox, () => this.#clear(mailbox))
  }

  async #clear(mailbox: Mailbox): Promise<void> {
    const { alarms, ledger, logger } = this.#parts
    // One that was deleted meanwhile may be there anew.
    if (!mailbox.isClosed) return
    try {
      const plans = await this.#returnAll(mailbox)
      if (mailbox.record.isLeaving) plans.push(forgetPlan(mailbox))
      if (plans.length > 0) await ledger.carryOut(join(plans))
    } catch (error) {
      logger('warn', 'closed mailbox not cleared', { address: mailbox.address, error: String(error) })
      alarms.set(retryMs, () => void this.clear(mailbox))
    }
  }

  /** Tells the senders of all that is in a mailbox and is no run; what is left is to remove it. */
  async #returnAll(mailbox: Mailbox): Promise<Plan[]> {
    const messages = [...mailbox.messages.values()]
    const isRun = ({ kind }: Message): boolean => kind === 'run'
    await this.#parts.courier.tell(
      mailbox,
      messages.filter((message) => !isRun(message)),
    )
    const at = this.#parts.clock.now()
    return messages.map((message) => remove(mailbox, message, isRun(message) ? 'withdrawn' : 'returned', at))
  }

  /**
   * Deletes a mailbox that nobody has, with all that is in it (D8); its ids stay remembered.
   *
   * @throws GreenroomError `UNKNOWN_MAILBOX`, `MAILBOX_IN_USE`, `COMMIT_UNKNOWN`
   */
  async delete(address: string): Promise<void> {
    const mailbox = this.#parts.registry.open(address)
    await this.#alone(mailbox, async () => {
      if (!mailbox.recorded || mailbox.isClosed)
        throw new GreenroomError('UNKNOWN_MAILBOX', `there is no mailbox ${address}`)
      if (mailbox.owner !== undefined)
        throw new GreenroomError('MAILBOX_IN_USE', `${mailbox.owner.incarnation} has the mailbox ${address}`)
      await this.#delete(mailbox)
    })
  }

  /**
   * Deletes a mailbox whose time is over, if nobody has it.
   *
   * @param before - a message that was stored later keeps it, in milliseconds since the epoch
   * @throws GreenroomError `COMMIT_UNKNOWN`
   */
  async expire(address: string, before: number): Promise<void> {
    const mailbox = this.#parts.registry.open(address)
    await this.#alone(mailbox, async () => {
      if (mailbox.recorded && !mailbox.isClosed && mailbox.owner === undefined && mailbox.newestAt < before)
        await this.#delete(mailbox)
    })
  }

  async #delete(mailbox: Mailbox): Promise<void> {
    const isEmpty = mailbox.messages.size === 0
    await this.#parts.ledger.carryOut(isEmpty ? forgetPlan(mailbox) : this.#closePlan(mailbox, undefined, true))
    if (mailbox.isClosed) await this.#clear(mailbox)
  }
}

/** A mailbox is not there any more; the next message makes it anew. */
function forgetPlan(mailbox: Mailbox): Plan {
  const names = ['mailbox', 'closed', 'holding']
  const operations = names.map((name): Operation => ({ delete: name, key: mailbox.address }))
  return { operations, apply: () => mailbox.forget() }
}
