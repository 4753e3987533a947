/**
 * The ledger: the broker's hand on the store.
 *
 * - *L1* A change is applied in memory after its commit, never before; a failed one is undone (`carryOut`).
 * - *L2* After a commit of unknown fate the disk may be ahead of the memory. The next commit brings it back: messages that
 *   nobody was promised are deleted, mailboxes, open or closed, are written as they are. So nothing is ever receipted on top of a doubt.
 *   What became of a message needs no such care: its next change writes all that there is to say.
 * - *L3* What consumers of named mailboxes hold is written along with whatever is committed next. So it counts as an
 *   attempt when a consumer dies together with the broker, and no delivery waits for the disk.
 */
import { GreenroomError, type Clock } from '@greenroom/proto'
import { type GetOptions, isStoreError, type Operation, type Store, type StoredRecord } from '@greenroom/store'
import type { Mailbox } from './mailbox.ts'
import type { Plan } from './plan.ts'
import {
  closedMeta,
  closedRecord,
  mailboxRecord,
  messageKey,
  receiptRecord,
  type MailboxRecord,
  type ReceiptRecord,
} from './records.ts'
import { ReceiptFilter } from './receipt-filter.ts'
import { Registry, type Shelf } from './registry.ts'
import { mailboxOperation } from './removal.ts'

/** Whatever the store could not do may work later, with the same ids: for the caller its outcome is not known. */
function errorOf(error: unknown): GreenroomError {
  if (!isStoreError(error) || error.code === 'BAD_OPERATION')
    return new GreenroomError('INTERNAL', String(error), { cause: error })
  return new GreenroomError(error.code === 'STORAGE_FULL' ? 'STORAGE_FULL' : 'COMMIT_UNKNOWN', error.message, {
    cause: error,
  })
}

/** See L1 to L3. */
export class Ledger implements Shelf {
  /** All mailboxes that are written here. */
  readonly registry: Registry
  /** All receipts that were or are being written. */
  readonly receipts = new ReceiptFilter()
  /** Commits that failed or whose fate is unknown. */
  failures = 0
  /** Until when what is not known may have happened all the same, in milliseconds since the epoch: see `new-life`. */
  unsureUntil = 0
  readonly #store: Store
  readonly #clock: Clock
  /** Keys by collection: see L2. */
  readonly #doubtful = new Map(doubtable.map((name) => [name, new Set<string>()]))
  readonly #holding = new Set<Mailbox>()

  /** @param mailboxes - how many there may be in memory */
  constructor(store: Store, clock: Clock, mailboxes: number) {
    this.#store = store
    this.#clock = clock
    this.registry = new Registry(mailboxes, this)
  }

  /**
   * Commits a change, then applies it.
   *
   * @param options - `reserve`: refuse it while the disk is full, or nearly so. All else makes room in the end, and its
   *   callers say it again as after a commit of unknown fate
   * @throws GreenroomError `STORAGE_FULL` with `reserve`, `COMMIT_UNKNOWN`; memory is then as before
   */
  async carryOut(plan: Plan, options?: { readonly reserve: boolean }): Promise<void> {
    for (const operation of plan.operations)
      if ('put' in operation && operation.put === 'receipt') this.receipts.note(operation.key)
    const settled = this.#settleDoubts(plan.operations)
    const doubts = [...this.#doubtful].flatMap(([name, keys]) => [...keys].map((key) => ({ name, key })))
    const holding = [...this.#holding].filter((mailbox) => mailbox.holdingChanged)
    this.#holding.clear()
    const first: Operation[] = [
      ...doubts.map(({ name, key }) => this.#repair(name, key)),
      ...holding.map(holdingOperation),
    ]
    try {
      await this.#store.commit(first.length === 0 ? plan.operations : [...first, ...plan.operations], options)
    } catch (error) {
      const known = errorOf(error)
      this.failures += 1
      // What was surely not stored leaves the disk as doubtful as it was.
      this.#doubt(known.code === 'STORAGE_FULL' ? settled : plan.operations)
      for (const mailbox of holding) this.noteHolding(mailbox)
      plan.undo?.()
      throw options?.reserve === true || known.code !== 'STORAGE_FULL'
        ? known
        : new GreenroomError('COMMIT_UNKNOWN', known.message, { cause: error })
    }
    for (const { name, key } of doubts) this.#doubtful.get(name)?.delete(key)
    plan.apply()
  }

  /** Whether what is not known may have happened all the same. */
  get isUnsure(): boolean {
    return this.#clock.now() < this.unsureUntil
  }

  /** What a mailbox's consumer holds changed: see L3. */
  noteHolding(mailbox: Mailbox): void {
    mailbox.holdingChanged = true
    this.#holding.add(mailbox)
  }

  mailbox(address: string): MailboxRecord | undefined {
    // One in doubt that is not in memory was never made.
    if (this.doubtsMailbox(address)) return undefined
    const open = this.#get('mailbox', address)
    if (open !== undefined) return mailboxRecord(open)
    const closed = this.#get('closed', address)
    return closed && closedRecord(closed)
  }

  doubtsMailbox(address: string): boolean {
    return ['mailbox', 'closed'].some((name) => this.#doubtful.get(name)?.has(address))
  }

  /**
   * What became of an id that is not in its mailbox.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN` when it cannot be read now
   */
  receipt(address: string, id: string): ReceiptRecord | undefined {
    const key = `${address}/${id}`
    const record = this.receipts.excludes(key) ? undefined : this.#get('receipt', key)
    return record && receiptRecord(record)
  }

  /**
   * Why an incarnation may not come back, if it may not.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN` when it cannot be read now
   */
  ending(address: string, incarnation: string): 'gone' | 'replaced' | undefined {
    const record = this.#get('gone', `${address}/${incarnation}`)
    if (record === undefined) return undefined
    return record.meta.why === 'replaced' ? 'replaced' : 'gone'
  }

  /**
   * The stored message, payload included, as it is now: it has a digest of its own.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN` when it cannot be read now
   */
  message(address: string, seq: number): StoredRecord | undefined {
    return this.#get('message', messageKey(address, seq), { unchecked: true })
  }

  #get(collection: string, key: string, options?: GetOptions): StoredRecord | undefined {
    try {
      return this.#store.get(collection, key, options)
    } catch (error) {
      throw errorOf(error)
    }
  }

  /** What is written anew is in doubt no more. Returns the operations that settled a doubt. */
  #settleDoubts(operations: readonly Operation[]): readonly Operation[] {
    return operations.filter((operation) => this.#doubtsAbout(operation)?.delete(operation.key))
  }

  #doubt(operations: readonly Operation[]): void {
    for (const operation of operations) this.#doubtsAbout(operation)?.add(operation.key)
  }

  #doubtsAbout(operation: Operation): Set<string> | undefined {
    if ('put' in operation) return this.#doubtful.get(operation.put)
    // What became of a message that was to be deleted is said by its receipt.
    return operation.delete === 'message' ? undefined : this.#doubtful.get(operation.delete)
  }

  /** Brings a record in doubt to what the memory says. */
  #repair(name: string, key: string): Operation {
    const mailbox = name === 'message' ? undefined : this.registry.find(key)
    if (mailbox?.recorded !== true || mailbox.isClosed !== (name === 'closed')) return { delete: name, key }
    const { incarnation, closedAt, isLeaving } = mailbox.record
    if (closedAt !== undefined) return { put: name, key, meta: closedMeta(incarnation, closedAt, isLeaving) }
    return mailboxOperation(mailbox, this.#clock.now())
  }
}

/** The collections whose records can be in doubt. */
const doubtable = ['message', 'mailbox', 'closed']

function holdingOperation(mailbox: Mailbox): Operation {
  mailbox.holdingChanged = false
  if (mailbox.owner === undefined || mailbox.held.size === 0) return { delete: 'holding', key: mailbox.address }
  const meta = { incarnation: mailbox.owner.incarnation, seqs: [...mailbox.held].map(({ seq }) => seq) }
  return { put: 'holding', key: mailbox.address, meta }
}
