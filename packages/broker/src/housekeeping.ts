/**
 * Housekeeping: what is over is forgotten.
 *
 * - Messages whose time to live is over.
 * - Receipts, ended incarnations and closed mailboxes, `dedupeWindowMs` after they were written, never earlier; the receipt
 *   of a dead letter not before the letter is gone, so that its id means one message only.
 * - Mailboxes that nobody had or sent to for `mailboxTtlMs`, with what is in them (D8).
 *
 * It goes through the records a page at a time, so that it never holds the loop for long, and fills the filter of receipts
 * on its way.
 */
import { isStoreError, type Operation, type ScanRange, type Store, type StoredRecord } from '@greenroom/store'
import type { CoreParts, Courier } from './courier.ts'
import type { Ownership } from './ownership.ts'

const everyMs = 10_000
const page = 1_000
const collections = ['receipt', 'gone', 'mailbox', 'closed'] as const

/** What housekeeping needs. */
export interface HousekeepingParts extends CoreParts {
  readonly store: Store
  readonly courier: Courier
  readonly ownership: Ownership
  readonly dedupeWindowMs: number
  readonly mailboxTtlMs: number
}

/** Keeps house until the alarms are stopped. */
export function keepHouse(parts: HousekeepingParts): void {
  new Housekeeping(parts).start()
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
    const { store, clock, dedupeWindowMs, mailboxTtlMs } = this.#parts
    const name = collections[this.#at.collection] ?? 'receipt'
    const { receipts } = this.#parts.ledger
    const isOfReceipts = name === 'receipt'
    if (isOfReceipts && this.#at.after === '' && receipts.beginWalk()) await store.commit([])
    const range = { after: this.#at.after, limit: page }
    const keys = store.keys(name, range)
    if (isOfReceipts) for (const key of keys) receipts.find(key)
    const last = keys.at(-1)
    this.#at =
      last !== undefined && keys.length === page
        ? { ...this.#at, after: last }
        : { collection: (this.#at.collection + 1) % collections.length, after: '' }
    if (isOfReceipts && this.#at.after === '') receipts.endWalk()
    const records = this.#whole(name, keys, range)
    const before = clock.now() - (name === 'mailbox' ? mailboxTtlMs : dedupeWindowMs)
    const old = records.filter(({ meta: { at } }) => typeof at === 'number' && at < before)
    if (name === 'closed') this.#goOn(records)
    const forgotten = name === 'mailbox' ? await this.#expireMailboxes(old, before) : await this.#delete(name, old)
    return forgotten > page / 2 || !receipts.isReady
  }

  /** A page of records, but for damaged ones: those stay, and keep no other from being forgotten. */
  #whole(name: string, keys: readonly string[], range: ScanRange): readonly StoredRecord[] {
    const { store } = this.#parts
    try {
      return store.scan(name, { ...range, bodies: false })
    } catch (error) {
      if (!isStoreError(error, 'STORE_DAMAGED')) throw error
    }
    return keys.flatMap((key) => {
      try {
        return [store.get(name, key) ?? []].flat()
      } catch (error) {
        if (isStoreError(error, 'STORE_DAMAGED')) return []
        throw error
      }
    })
  }

  /** Deletes what a start did not find, since nothing is in it. */
  #goOn(closed: readonly StoredRecord[]): void {
    const { registry, ownership } = this.#parts
    for (const { key, meta } of closed) if (meta.isLeaving === true) void ownership.clear(registry.open(key))
  }

  /** Says how many it were. */
  async #expireMailboxes(old: readonly StoredRecord[], before: number): Promise<number> {
    const { ownership, registry } = this.#parts
    const unused = old.filter(({ key }) => registry.find(key)?.owner === undefined)
    await Promise.all(unused.map(({ key }) => ownership.expire(key, before)))
    return unused.length
  }

  /** Says how many it were. */
  async #delete(name: string, old: readonly StoredRecord[]): Promise<number> {
    const { store, registry } = this.#parts
    const isOver = ({ key, meta }: StoredRecord): boolean => {
      if (name === 'closed') return registry.find(key) === undefined && meta.isLeaving !== true
      return name !== 'receipt' || meta.state !== 'dead' || !this.#hasLetter(key)
    }
    const over = old.filter(isOver)
    if (over.length > 0) await store.commit(over.map(({ key }): Operation => ({ delete: name, key })))
    return over.length
  }

  #hasLetter(key: string): boolean {
    const [first] = this.#parts.store.scan('dead', { prefix: key, limit: 1, bodies: false })
    return first?.key === key
  }
}
