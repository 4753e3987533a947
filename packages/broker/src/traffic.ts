/**
 * The durable lane's operations on single messages: send, ack, claim, nack, touch, revoke.
 *
 * Each runs in its turn (`Turns`): operations on one id follow each other, and each sees what the one before it left on
 * the disk and in memory. So a send that comes twice at once is stored once, and of a claim and a revoke one wins.
 *
 * - *T1* What is answered is on the disk.
 * - *T2* What fails with `COMMIT_UNKNOWN` changed nothing in memory; the same call again settles it.
 */
import { GreenroomError, type Outgoing, type Receipt, type Revocation } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import type { Sender } from './consumer.ts'
import type { CoreParts, Courier } from './courier.ts'
import type { Mailbox } from './mailbox.ts'
import { endOf, type Message, type Return } from './message.ts'
import type { BrokerLimits } from './options.ts'
import { join, type Plan } from './plan.ts'
import { checkRoom } from './quota.ts'
import { receiptMeta, type Fate, type ReceiptRecord } from './records.ts'
import { arrive, bury, comeBack, digestOf, remove } from './removal.ts'

/** Which incarnation consumes which mailbox. */
export interface Holder {
  readonly mailbox: Mailbox
  readonly incarnation: string
}

/** A message with one of these fates never comes back, whoever sends it again. */
const refusing: ReadonlySet<Fate> = new Set<Fate>(['withdrawn', 'revoked', 'returned'])

/** See T1 and T2. */
export class Traffic {
  readonly #parts: CoreParts
  readonly #courier: Courier
  readonly #limits: BrokerLimits
  readonly #maxAttempts: number

  constructor(parts: CoreParts, courier: Courier, limits: BrokerLimits, maxAttempts: number) {
    this.#parts = parts
    this.#courier = courier
    this.#limits = limits
    this.#maxAttempts = maxAttempts
  }

  /**
   * Stores a message (D1).
   *
   * @param outgoing - its payload stays unchanged until the answer
   * @throws GreenroomError as the port's `Peer.send`, and `COMMIT_UNKNOWN`
   */
  async send(sender: Sender, outgoing: Outgoing): Promise<Receipt> {
    const { payload, to, id } = outgoing
    const { registry } = this.#parts
    const mailbox = registry.open(to)
    try {
      return await mailbox.turns.take([id], () => this.#send(mailbox, sender, outgoing, digestOf(payload)))
    } finally {
      registry.tidy(mailbox)
    }
  }

  async #send(mailbox: Mailbox, sender: Sender, outgoing: Outgoing, digest: string): Promise<Receipt> {
    const { ledger, counters, clock, registry } = this.#parts
    const { id, kind, payload, control = false, ttlMs } = outgoing
    const known = mailbox.messages.get(id) ?? ledger.receipt(mailbox.address, id)
    // What is known without a number never came.
    const isRefused = known !== undefined && 'state' in known && (known.seq === undefined || refusing.has(known.state))
    if (known?.seq !== undefined && !isRefused) {
      if (known.digest !== digest || known.kind !== kind)
        throw new GreenroomError(
          'ID_CONFLICT',
          `message ${id} to ${mailbox.address} was sent before with other content`,
        )
      return { seq: known.seq, duplicate: true }
    }
    mailbox.checkStays()
    if (mailbox.isClosed)
      throw new GreenroomError('MAILBOX_CLOSED', `mailbox ${mailbox.address} belonged to an incarnation that is gone`)
    if (isRefused) throw new GreenroomError('REVOKED', `message ${id} to ${mailbox.address} was revoked`)
    checkRoom(this.#limits, registry.volume, mailbox, payload.length)
    const at = clock.now()
    const { address: from, incarnation: fromIncarnation } = sender
    const expiresAt = ttlMs === undefined ? undefined : at + ttlMs
    // A copy: the sender's bytes may be a view into much more, or be written to again.
    const body = new Uint8Array(payload)
    const plan = arrive(mailbox, { id, kind, control, from, fromIncarnation, at, expiresAt, digest, payload: body })
    await ledger.carryOut(this.#courier.andDeliver(mailbox, plan), { reserve: true })
    counters.sent += 1
    return { seq: plan.message.seq, duplicate: false }
  }

  /**
   * Removes messages (D4). One that is not there any more was removed already.
   *
   * @param attempts - the delivery of each that it answers. = the present ones
   * @throws GreenroomError `NOT_HOLDER` when one is there, but not held by this incarnation, or as a later delivery, or has
   * become a dead letter; the others are removed
   */
  ack({ mailbox, incarnation }: Holder, ids: readonly string[], attempts?: readonly number[]): Promise<void> {
    return mailbox.turns.take(ids, async () => {
      if (mailbox.owner?.incarnation !== incarnation) throw notHolder(mailbox)
      const held = new Set<Message>()
      let isRefused = false
      for (const [index, id] of ids.entries()) {
        const message = mailbox.messages.get(id)
        const attempt = attempts?.[index]
        if (message !== undefined && isHeld(mailbox, incarnation, message, attempt)) held.add(message)
        else isRefused ||= message !== undefined || (attempt !== undefined && this.#isDead(mailbox, id))
      }
      const at = this.#parts.clock.now()
      if (held.size > 0)
        await this.#carryOut(mailbox, join([...held].map((message) => remove(mailbox, message, 'acked', at))))
      if (isRefused) throw notHolder(mailbox)
    })
  }

  #isDead(mailbox: Mailbox, id: string): boolean {
    return this.#parts.ledger.receipt(mailbox.address, id)?.state === 'dead'
  }

  /**
   * Removes a message and remembers who took it (D4).
   *
   * @param attempt - the delivery that is claimed: of several to one incarnation only one may be. = the present one
   * @throws GreenroomError `REVOKED`, `NOT_HOLDER`, `COMMIT_UNKNOWN`
   */
  claim({ mailbox, incarnation }: Holder, id: string, attempt?: number): Promise<void> {
    return mailbox.turns.take([id], async () => {
      const message = mailbox.messages.get(id)
      if (message === undefined) return this.#repeatClaim(mailbox, incarnation, id, attempt)
      if (!isHeld(mailbox, incarnation, message, attempt)) throw notHolder(mailbox)
      await this.#carryOut(mailbox, remove(mailbox, message, 'claimed', this.#parts.clock.now(), incarnation))
    })
  }

  #repeatClaim(mailbox: Mailbox, incarnation: string, id: string, attempt: number | undefined): void {
    const receipt = this.#parts.ledger.receipt(mailbox.address, id)
    const isOwn = receipt?.state === 'claimed' && receipt.by === incarnation
    if (isOwn && (attempt ?? receipt.attempt) === receipt.attempt) return
    if (receipt !== undefined && refusing.has(receipt.state))
      throw new GreenroomError('REVOKED', `message ${id} was revoked`)
    throw notHolder(mailbox)
  }

  /**
   * Gives a message back (D4). One that is not there any more needs nothing, nor one that was given back already.
   *
   * @param attempt - the delivery that it answers. = the present one
   * @throws GreenroomError `NOT_HOLDER`, `COMMIT_UNKNOWN`
   */
  nack({ mailbox, incarnation }: Holder, id: string, delayMs: number, attempt?: number): Promise<void> {
    return mailbox.turns.take([id], async () => {
      const message = mailbox.messages.get(id)
      if (message === undefined && mailbox.owner?.incarnation === incarnation) return
      if (message !== undefined && attempt !== undefined && message.attempt !== attempt) {
        if (endOf(message, attempt) === 'timeout') throw notHolder(mailbox)
        return this.#deliverAgain(mailbox, incarnation, message)
      }
      if (message === undefined || !isHeld(mailbox, incarnation, message)) throw notHolder(mailbox)
      await this.#carryOut(mailbox, this.giveBack(mailbox, message, 'nack', incarnation, delayMs))
    })
  }

  /** Who repeats a nack may not have seen what came after it: its connection was lost. Whoever has, knows it by its attempt. */
  #deliverAgain(mailbox: Mailbox, incarnation: string, message: Message): void {
    if (!isHeld(mailbox, incarnation, message)) return
    mailbox.free(message)
    this.#courier.pump(mailbox)
  }

  /**
   * Begins the visibility timeout of a held message anew (D12). Nothing of it is on the disk.
   *
   * @param attempt - the delivery that is worked on. = the present one
   * @throws GreenroomError `NOT_HOLDER`, `MISSING_FEATURE` when its consumer asked for no timeout
   */
  touch({ mailbox, incarnation }: Holder, id: string, attempt?: number): Promise<void> {
    return mailbox.turns.take([id], async () => {
      const message = mailbox.messages.get(id)
      const { owner } = mailbox
      if (owner?.incarnation === incarnation && owner.visibility === undefined)
        throw new GreenroomError('MISSING_FEATURE', `the consumer of ${mailbox.address} has no visibility timeout`)
      if (message === undefined || !isHeld(mailbox, incarnation, message, attempt)) throw notHolder(mailbox)
      owner?.visibility?.begin(message)
    })
  }

  /** The plan for a held message that its holder does not take: it comes back, or becomes a dead letter. */
  giveBack(mailbox: Mailbox, message: Message, why: Exclude<Return['why'], 'damaged'>, by: string, delayMs = 0): Plan {
    const { clock, ledger, counters, logger } = this.#parts
    const at = clock.now()
    if (mailbox.record.lifetime !== 'named' || message.attempt < this.#maxAttempts)
      return comeBack(mailbox, message, { at, why, by }, at + delayMs, (one) => this.#courier.wait(mailbox, one))
    const plan = bury(mailbox, message, { at, why, by }, ledger.message(mailbox.address, message.seq))
    const count = (): void => {
      counters.deadLetters += 1
      logger('warn', 'dead letter', {
        address: mailbox.address,
        id: message.id,
        kind: message.kind,
        attempts: message.attempt,
      })
    }
    return join([plan, { operations: [], apply: count }])
  }

  /**
   * Takes a message back that nobody claimed (D5).
   *
   * @throws GreenroomError `COMMIT_UNKNOWN`
   */
  async revoke(to: string, id: string): Promise<Revocation> {
    const { registry } = this.#parts
    const mailbox = registry.open(to)
    try {
      return await mailbox.turns.take([id], () => this.#revoke(mailbox, id))
    } finally {
      registry.tidy(mailbox)
    }
  }

  async #revoke(mailbox: Mailbox, id: string): Promise<Revocation> {
    const { ledger, clock } = this.#parts
    const message = mailbox.messages.get(id)
    if (message !== undefined) {
      const wasReady = message.place === 'ready'
      if (wasReady) mailbox.withhold(message)
      const plan = remove(mailbox, message, 'withdrawn', clock.now())
      const undo = (): void => {
        mailbox.free(message)
        this.#courier.pump(mailbox)
      }
      await this.#carryOut(mailbox, wasReady ? { ...plan, undo } : plan)
      return 'withdrawn'
    }
    const key = `${mailbox.address}/${id}`
    const receipt = ledger.receipt(mailbox.address, id)
    if (receipt === undefined && ledger.isUnsure) {
      await ledger.carryOut({
        operations: [{ put: 'receipt', key, meta: receiptMeta('lost', clock.now()) }],
        apply() {},
      })
      return 'claimed'
    }
    if (receipt === undefined && mailbox.isClosed && !mailbox.record.isLeaving) return 'withdrawn'
    if (receipt !== undefined && receipt.state !== 'dead') return revocationOf(receipt)
    const tombstone: Operation = { put: 'receipt', key, meta: receiptMeta('revoked', clock.now()) }
    // A dead letter must not be requeued any more.
    await ledger.carryOut({ operations: [tombstone, { delete: 'dead', key }], apply() {} })
    return receipt === undefined ? 'unknown' : 'withdrawn'
  }

  async #carryOut(mailbox: Mailbox, plan: Plan): Promise<void> {
    await this.#parts.ledger.carryOut(plan)
    this.#courier.pump(mailbox)
  }
}

function isHeld(mailbox: Mailbox, incarnation: string, message: Message, attempt = message.attempt): boolean {
  return message.place === 'held' && message.attempt === attempt && mailbox.owner?.incarnation === incarnation
}

function notHolder(mailbox: Mailbox): GreenroomError {
  return new GreenroomError('NOT_HOLDER', `the message is not held by this consumer of ${mailbox.address}`)
}

function revocationOf({ state }: ReceiptRecord): Revocation {
  return state === 'acked' || state === 'claimed' || state === 'lost' ? 'claimed' : 'withdrawn'
}
