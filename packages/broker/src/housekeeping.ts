/**
 * Housekeeping: what is over is forgotten.
 *
 * - Messages whose time to live is over.
 * - Receipts, ended incarnations, and mailboxes that are closed or that nobody has and nothing is in, `dedupeWindowMs`
 *   after they were written, never earlier.
 *
 * It goes through the records a page at a time, so that it never holds the loop for long, and fills the filter of receipts
 * on its way.
 */
import type { Operation, Store, StoredRecord } from '@greenroom/store'
import type { CoreParts, Courier } from './courier.ts'

const everyMs = 10_000
const page = 1_000
const collections = ['receipt', 'gone', 'mailbox', 'closed'] as const

/** What housekeeping needs. */
export interface HousekeepingParts extends CoreParts {
  readonly store: Store
  readonly courier: Courier
  readonly dedupeWindowMs: number
}

/** Keeps house until the alarms are stopped. */
export function keepHouse(parts: HousekeepingParts): void {
  new Housekeeping(parts).start()
}

function isOfMailboxes(collection: string): boolean {
  return collection === 'mailbox' || collection === 'closed'
}

class Housekeeping {
  readonly #parts: HousekeepingParts
  #at: { readonly collection: number; readonly after: string } = { collection: 0, after: '' }

  constructor(parts: HousekeepingParts) {
    this.#parts = parts
  }

  start(): void {
    this.#schedule(everyMs)
  }

  #schedule(delayMs: number): void {
    this.#parts.alarms.set(delayMs, () => void this.#run())
  }

  async #run(): Promise<void> {
    const { logger } = this.#parts
    let isBusy = false
    try {
      this.#expire()
      isBusy = await this.#forget()
    } catch (error) {
      logger('warn', 'housekeeping failed', { error: String(error) })
    }
    this.#schedule(isBusy ? 100 : everyMs)
  }

  #expire(): void {
    const { registry, courier, clock } = this.#parts
    const now = clock.now()
    for (const mailbox of registry)
      for (const message of mailbox.mortal)
        if (message.place === 'ready' && message.expiresAt !== undefined && message.expiresAt <= now)
          courier.expire(mailbox, message)
  }

  /** Looks through one page; says whether it should go on soon: there was much to forget, or the filter is waited for. */
  async #forget(): Promise<boolean> {
    const { store, clock, registry, dedupeWindowMs } = this.#parts
    const name = collections[this.#at.collection] ?? 'receipt'
    const { receipts } = this.#parts.ledger
    const isOfReceipts = name === 'receipt'
    if (isOfReceipts && this.#at.after === '' && receipts.beginWalk()) await store.commit([])
    const records = store.scan(name, { after: this.#at.after, limit: page, bodies: false })
    if (isOfReceipts) for (const { key } of records) receipts.find(key)
    const before = clock.now() - dedupeWindowMs
    const isOld = ({ key, meta: { at } }: StoredRecord): boolean =>
      typeof at === 'number' && at < before && !(isOfMailboxes(name) && registry.find(key) !== undefined)
    const old = records.filter(isOld)
    const last = records.at(-1)
    this.#at =
      last !== undefined && records.length === page
        ? { ...this.#at, after: last.key }
        : { collection: (this.#at.collection + 1) % collections.length, after: '' }
    if (isOfReceipts && this.#at.after === '') receipts.endWalk()
    if (old.length > 0) await store.commit(old.map(({ key }): Operation => ({ delete: name, key })))
    return old.length > page / 2 || !receipts.isReady
  }
}
