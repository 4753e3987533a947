/**
 * The core: mailboxes over a store. It knows no sockets and no frames, and no clock but the one that it is given.
 *
 * ```text
 * session (a connection) ─┐             ┌─ Traffic    send ack claim nack revoke ─┐
 * in-process peer ────────┴─► Core ─────┼─ Ownership  attach lost leave fence     ├─► Ledger ─► store
 *        ▲                              ├─ Operator, Housekeeping, Recovery       ─┘     │ committed
 *        └───────── Consumer ◄──────────┴─ Courier ◄── Mailbox ◄── Plan.apply ◄──────────┘
 * ```
 */
import type { FenceTarget, Clock, Outgoing, Presence, Receipt, Revocation } from '@greenroom/proto'
import type { Store } from '@greenroom/store'
import { Alarms } from './alarms.ts'
import type { Consumer, LiveDelivered, Sender } from './consumer.ts'
import { zeroCounters, type Counters } from './counters.ts'
import { Courier, type CoreParts } from './courier.ts'
import { DeadLetters } from './dead-letters.ts'
import { keepHouse } from './housekeeping.ts'
import { Ledger } from './ledger.ts'
import type { Mailbox } from './mailbox.ts'
import { CoreOperator, type OperatorParts } from './operator.ts'
import type { BrokerLimits, BrokerLogger } from './options.ts'
import { Ownership, type AttachRequest } from './ownership.ts'
import { checkPresence, PresenceBoard, type Watcher } from './presence.ts'
import { recover } from './recovery.ts'
import type { Registry } from './registry.ts'
import { Traffic } from './traffic.ts'

/** What a core is made of. */
export interface CoreOptions {
  readonly store: Store
  readonly clock: Clock
  readonly logger: BrokerLogger
  readonly limits: BrokerLimits
  readonly partitionGraceMs: number
  readonly dedupeWindowMs: number
  readonly maxAttempts: number
  readonly mailboxTtlMs: number
  /** Writes a backup of the store. */
  readonly backUp: OperatorParts['backUp']
}

/** A consumer's hold on its mailbox. Every call answers when it is on the disk, or rejects with a GreenroomError. */
export interface Attachment {
  readonly sender: Sender
  ack(ids: readonly string[], attempts?: readonly number[]): Promise<void>
  claim(id: string, attempt?: number): Promise<void>
  touch(id: string, attempt?: number): Promise<void>
  nack(id: string, delayMs: number, attempt?: number): Promise<void>
  /** This incarnation is gone. */
  leave(): Promise<void>
  announce(presence: Presence): void
  /** The consumer is ready, at first or again. */
  wake(): void
  /** The connection is lost. */
  lost(): void
}

/** See the file. */
export class Core {
  readonly counters: Counters = zeroCounters()
  readonly registry: Registry
  /** What an operator may do. */
  readonly operator: CoreOperator
  readonly presence = new PresenceBoard()
  readonly #ledger: Ledger
  readonly #courier: Courier
  readonly #traffic: Traffic
  readonly #ownership: Ownership
  readonly #parts: CoreParts

  private constructor(options: CoreOptions) {
    const { store, clock, logger, limits, partitionGraceMs, maxAttempts, backUp } = options
    this.#ledger = new Ledger(store, clock, limits.mailboxes)
    this.registry = this.#ledger.registry
    const parts: CoreParts = {
      ledger: this.#ledger,
      alarms: new Alarms(clock),
      registry: this.registry,
      counters: this.counters,
      clock,
      logger,
      cacheBytes: limits.cacheBytes,
    }
    const courier = new Courier(parts)
    const traffic = new Traffic(parts, courier, limits, maxAttempts)
    this.#courier = courier
    this.#traffic = traffic
    this.#ownership = new Ownership({ ...parts, courier, traffic, presence: this.presence, partitionGraceMs })
    this.#parts = parts
    const letters = new DeadLetters({ ...parts, store, courier, limits })
    this.operator = new CoreOperator({ store, registry: this.registry, ownership: this.#ownership, letters, backUp })
  }

  /**
   * A core with all that the store holds.
   *
   * @throws StoreError when the store cannot be read
   */
  static async open(options: CoreOptions): Promise<Core> {
    const core = new Core(options)
    const { store, dedupeWindowMs, mailboxTtlMs } = options
    const parts = { ...core.#parts, store, courier: core.#courier, ownership: core.#ownership, dedupeWindowMs }
    await recover(parts)
    keepHouse({ ...parts, mailboxTtlMs })
    return core
  }

  /** Commits that failed or whose fate is unknown. */
  get failedCommits(): number {
    return this.#ledger.failures
  }

  /** Stores a message; see `Traffic.send`. */
  send(sender: Sender, outgoing: Outgoing): Promise<Receipt> {
    return this.#traffic.send(sender, outgoing)
  }

  /** Takes a message back; see `Traffic.revoke`. */
  revoke(to: string, id: string): Promise<Revocation> {
    return this.#traffic.revoke(to, id)
  }

  /** Passes a live message on. Returns false when it was dropped. */
  live(message: LiveDelivered): boolean {
    return this.#courier.live(message)
  }

  /** Follows a role; see {@link PresenceBoard.watch}. */
  watch(role: string, watcher: Watcher): ReturnType<PresenceBoard['watch']> {
    return this.presence.watch(role, watcher)
  }

  /** Declares an incarnation gone; see `Ownership.fence`. */
  fence(target: FenceTarget): Promise<void> {
    return this.#ownership.fence(target)
  }

  /** Attaches a consumer; see `Ownership.attach` and {@link checkPresence}. */
  async attach(consumer: Consumer, request: AttachRequest): Promise<Attachment> {
    if (request.presence !== undefined) checkPresence(request.presence)
    const mailbox = await this.#ownership.attach(consumer, request)
    return this.#attachment(mailbox, consumer, request.incarnation)
  }

  /** Delivers nothing and forgets nothing any more. What is being committed goes on. */
  stop(): void {
    this.#courier.stop()
    this.#parts.alarms.stop()
  }

  #attachment(mailbox: Mailbox, consumer: Consumer, incarnation: string): Attachment {
    const holder = { mailbox, incarnation }
    return {
      sender: { address: mailbox.address, incarnation },
      ack: (ids, attempts) => this.#traffic.ack(holder, ids, attempts),
      claim: (id, attempt) => this.#traffic.claim(holder, id, attempt),
      touch: (id, attempt) => this.#traffic.touch(holder, id, attempt),
      nack: (id, delayMs, attempt) => this.#traffic.nack(holder, id, delayMs, attempt),
      leave: () => this.#ownership.leave(mailbox, incarnation),
      announce: (presence) => this.#announce(mailbox, consumer, presence),
      wake: () => this.#courier.pump(mailbox),
      lost: () => this.#ownership.lost(mailbox, consumer),
    }
  }

  #announce(mailbox: Mailbox, consumer: Consumer, presence: Presence): void {
    checkPresence(presence)
    const { owner } = mailbox
    if (owner?.consumer !== consumer) return
    const was = owner.presence?.role
    owner.presence = presence
    this.presence.tell(mailbox, owner, 'attached', { was })
  }
}
