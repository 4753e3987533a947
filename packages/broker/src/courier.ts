/**
 * The courier: hands out what waits.
 *
 * - *C1* A payload that was read back is checked against its digest; a damaged one is never delivered: it becomes a dead
 *   letter, whatever its mailbox, is reported, and its sender is told.
 * - *C2* Payloads stay in memory until their first delivery, as far as the cache reaches; beyond it, and for every
 *   further delivery, they are read back.
 * - *C3* A message whose time is over is dropped instead of delivered.
 */
import type { Clock } from '@greenroom/proto'
import type { StoredRecord } from '@greenroom/store'
import type { Alarms } from './alarms.ts'
import type { LiveDelivered } from './consumer.ts'
import type { Counters } from './counters.ts'
import type { Ledger } from './ledger.ts'
import type { Mailbox } from './mailbox.ts'
import type { Message } from './message.ts'
import type { BrokerLogger } from './options.ts'
import { join, type Plan } from './plan.ts'
import type { Registry } from './registry.ts'
import { bury, isWhole, notice, noticeId, remove, undeliverable, type Arriving } from './removal.ts'

/** After a failed commit or read, it is tried again this much later. */
const retryMs = 1_000

/** What the parts of the core share. */
export interface CoreParts {
  readonly ledger: Ledger
  readonly registry: Registry
  readonly counters: Counters
  readonly clock: Clock
  readonly alarms: Alarms
  readonly logger: BrokerLogger
  readonly cacheBytes: number
}

/** See C1 to C3. */
export class Courier {
  readonly #parts: CoreParts
  #isStopped = false

  constructor(parts: CoreParts) {
    this.#parts = parts
  }

  /** Nothing is delivered any more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Delivers a message that a plan puts into a mailbox. */
  andDeliver(mailbox: Mailbox, plan: Arriving): Plan {
    const { message } = plan
    const deliver = (): void => {
      const { cacheBytes, registry } = this.#parts
      // It closed while this was under way.
      if (mailbox.isClosed) this.expire(mailbox, message)
      else this.pump(mailbox)
      if (registry.volume.cached > cacheBytes) mailbox.uncache(message)
    }
    return join([plan, { operations: [], apply: deliver }])
  }

  /** Delivers what credit and the consumer's buffer let through. */
  pump(mailbox: Mailbox): void {
    const { counters, ledger, clock } = this.#parts
    for (;;) {
      const { owner } = mailbox
      const consumer = owner?.consumer
      if (owner === undefined || consumer === undefined || this.#isStopped || !consumer.ready()) return
      const message = mailbox.take()
      if (message === undefined) return
      if (message.expiresAt !== undefined && message.expiresAt <= clock.now()) {
        this.expire(mailbox, message)
        continue
      }
      const payload = this.#payload(mailbox, message, owner.incarnation)
      if (payload === undefined) continue
      mailbox.hold(message)
      owner.visibility?.begin(message)
      if (mailbox.record.lifetime === 'named') ledger.noteHolding(mailbox)
      counters.delivered += 1
      if (message.attempt > 1) counters.redelivered += 1
      const { seq, id, kind, from, fromIncarnation, attempt, control, at } = message
      consumer.deliver({ seq, id, kind, from, fromIncarnation, attempt, control, at, payload })
    }
  }

  /** Passes a live message on, or drops it. */
  live(message: LiveDelivered): boolean {
    const { counters, registry } = this.#parts
    const isTaken = registry.find(message.to)?.owner?.consumer?.live(message) ?? false
    if (isTaken) counters.live += 1
    else counters.liveDropped += 1
    return isTaken
  }

  /** Delivers a message again at its time. */
  wait(mailbox: Mailbox, message: Message, delayMs = message.notBefore - this.#parts.clock.now()): void {
    mailbox.withhold(message, 'delayed')
    this.#parts.alarms.set(delayMs, () => {
      if (message.place !== 'delayed') return
      mailbox.free(message)
      this.pump(mailbox)
    })
  }

  /** Drops a message whose time is over. */
  expire(mailbox: Mailbox, message: Message): void {
    const { counters, clock } = this.#parts
    mailbox.withhold(message)
    this.#settle(mailbox, message, async () => {
      const count = (): void => void (counters.expired += 1)
      return join([remove(mailbox, message, 'expired', clock.now()), { operations: [], apply: count }])
    })
  }

  #payload(mailbox: Mailbox, message: Message, by: string): Uint8Array | undefined {
    if (message.body !== undefined) {
      const { body } = message
      mailbox.uncache(message)
      return body
    }
    let record: StoredRecord | undefined
    try {
      record = this.#parts.ledger.message(mailbox.address, message.seq)
    } catch (error) {
      this.#parts.logger('error', 'read failed', { address: mailbox.address, id: message.id, error: String(error) })
      this.wait(mailbox, message, retryMs)
      return undefined
    }
    const body = record && (record.body ?? new Uint8Array(0))
    if (body !== undefined && isWhole(message, body)) return body
    mailbox.withhold(message)
    this.#settle(mailbox, message, () => this.#examine(mailbox, message, record, by))
    return undefined
  }

  /**
   * What is to become of a message that cannot be read back.
   *
   * @param by - to whom it was to be delivered
   */
  async #examine(mailbox: Mailbox, message: Message, record: StoredRecord | undefined, by: string): Promise<Plan> {
    const { ledger, counters, clock, logger } = this.#parts
    const { address } = mailbox
    // A commit of unknown fate did remove it: nothing is damaged.
    if (record === undefined && ledger.receipt(address, message.id) !== undefined)
      return { operations: [], apply: () => mailbox.remove(message) }
    const report = (): void => {
      counters.quarantined += 1
      logger('error', 'payload damaged', { address, id: message.id, seq: message.seq, kind: message.kind })
    }
    await this.tell(mailbox, [message])
    const letter = bury(mailbox, message, { at: clock.now(), why: 'damaged', by }, record ?? {})
    return join([letter, { operations: [], apply: report }])
  }

  /**
   * Tells the senders of messages that they were not delivered, if they can be told: those who were attached once and
   * whose mailbox is open. What was told already is not told again.
   *
   * It is a commit of its own, before the one that removes the messages: were they one, and its fate unknown, taking back
   * the half that memory does not have (L2) would lose the other.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN`, `STORAGE_FULL`
   */
  async tell(mailbox: Mailbox, messages: readonly Message[]): Promise<void> {
    const { ledger, registry, clock } = this.#parts
    const letters: { readonly sender: Mailbox; readonly message: Message }[] = []
    try {
      for (const message of messages) {
        if (message.kind === undeliverable || message.from === mailbox.address) continue
        const sender = registry.open(message.from)
        letters.push({ sender, message })
        const id = noticeId(mailbox, message)
        const isTold = sender.messages.has(id) || ledger.receipt(sender.address, id) !== undefined
        if (isTold || sender.record.lifetime === undefined || sender.isClosed) {
          letters.pop()
          registry.tidy(sender)
        }
      }
      const plans = letters.map(({ sender, message }) =>
        this.andDeliver(sender, notice(mailbox, sender, message, clock.now())),
      )
      if (plans.length > 0) await ledger.carryOut(join(plans))
    } finally {
      for (const { sender } of letters) registry.tidy(sender)
    }
  }

  /** Carries out a change of a withheld message in its turn; tries again later when the commit fails. */
  #settle(mailbox: Mailbox, message: Message, plan: () => Promise<Plan>): void {
    const { ledger, logger, registry } = this.#parts
    const settled = mailbox.turns.take([message.id], async () => {
      if (message.place !== 'withheld' || mailbox.messages.get(message.id) !== message) return
      await ledger.carryOut(await plan())
    })
    const failed = (error: unknown): void => {
      logger('warn', 'commit failed', { address: mailbox.address, id: message.id, error: String(error) })
      if (message.place === 'withheld') this.wait(mailbox, message, retryMs)
    }
    void settled.catch(failed).finally(() => registry.tidy(mailbox))
  }
}
