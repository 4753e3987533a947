/** The disk of a memory store: what survives the store. */
import { StoreError } from './error.ts'
import { isJsonObject } from './json.ts'
import type { EncodedBatch } from './operation.ts'
import { boundsOf, limitOf } from './range.ts'
import { isCollectionName } from './schema.ts'
import { SortedMap } from './sorted-map.ts'
import type { BackupMark, KeyRange, ScanRange, StoredRecord } from './store.ts'

/** As a database holds it: the text of the meta, alone when there are no bytes beside it; shared with nobody. */
type Row = string | { readonly meta: string; readonly body: Uint8Array }

function recordOf(key: string, row: Row, withBody: boolean): StoredRecord {
  const { meta, body } = typeof row === 'string' ? { meta: row, body: undefined } : row
  const value: unknown = JSON.parse(meta)
  if (!isJsonObject(value)) throw new StoreError('STORE_DAMAGED', `The meta of "${key}" is not an object.`)
  return body !== undefined && withBody ? { key, meta: value, body: new Uint8Array(body) } : { key, meta: value }
}

/**
 * The committed records, and what a failed flush left behind.
 *
 * @internal
 */
export class MemoryDisk {
  /** Commits so far, over all stores that used this disk. */
  commits = 0
  /** Copies by path. */
  readonly backups = new Map<string, MemoryDisk>()
  /** The backup that it was. */
  readonly restoredFrom: BackupMark | undefined
  readonly #isOpenEnded: boolean
  readonly #index = new Map<string, number>()
  readonly #rows: SortedMap<Row>[] = []
  #backups = 0
  #limbo: readonly EncodedBatch[] = []

  /** An empty disk with those collections, or with any (undefined); or a copy of another disk's records. */
  constructor(source?: MemoryDisk | readonly string[], restoredFrom?: BackupMark) {
    this.restoredFrom = restoredFrom ?? (source instanceof MemoryDisk ? source.restoredFrom : undefined)
    if (source instanceof MemoryDisk) {
      this.#isOpenEnded = source.#isOpenEnded
      for (const name of source.#index.keys()) this.#add(name, new SortedMap(source.#rowsOf(name)))
    } else {
      this.#isOpenEnded = source === undefined
      for (const name of source ?? []) this.#add(name, new SortedMap())
    }
  }

  /**
   * The number of a collection, as operations name it.
   *
   * @throws StoreError `BAD_OPERATION`
   */
  indexOf(collection: string): number {
    const index = this.#index.get(collection)
    if (index !== undefined) return index
    if (this.#isOpenEnded && isCollectionName(collection)) return this.#add(collection, new SortedMap())
    throw new StoreError('BAD_OPERATION', `There is no collection "${collection}".`)
  }

  /** Stores the batches. What was in limbo is overwritten by it. */
  apply(group: readonly EncodedBatch[]): void {
    this.#limbo = []
    for (const { table, key, meta, body } of group.flatMap(({ operations }) => operations)) {
      const rows = this.#rows[table]
      if (meta === undefined) rows?.delete(key)
      else rows?.set(key, body === undefined ? meta : { meta, body: new Uint8Array(body) })
    }
  }

  /** Keeps the batches of a failed flush: they may come back. */
  putInLimbo(group: readonly EncodedBatch[]): void {
    this.#limbo = group
  }

  /** Gives and forgets what was in limbo. */
  takeLimbo(): readonly EncodedBatch[] {
    const limbo = this.#limbo
    this.#limbo = []
    return limbo
  }

  /** Keeps a copy under that path. */
  backUp(path: string): void {
    this.#backups += 1
    const id = `${this.restoredFrom?.id ?? 'backup'}-${this.#backups}`
    this.backups.set(path, new MemoryDisk(this, { id, at: 0 }))
  }

  /** The record of a key. */
  get(collection: string, key: string): StoredRecord | undefined {
    const row = this.#rowsOf(collection)?.get(key)
    return row === undefined ? undefined : recordOf(key, row, true)
  }

  /** The records of a range. */
  scan(collection: string, range: ScanRange): StoredRecord[] {
    const entries = this.#rowsOf(collection)?.entries(boundsOf(range), limitOf(range), range.reverse)
    return entries?.map(([key, row]) => recordOf(key, row, range.bodies !== false)) ?? []
  }

  /** How many records a range has. */
  count(collection: string, range: KeyRange): number {
    return this.#rowsOf(collection)?.count(boundsOf(range)) ?? 0
  }

  #rowsOf(collection: string): SortedMap<Row> | undefined {
    return this.#rows[this.indexOf(collection)]
  }

  #add(collection: string, rows: SortedMap<Row>): number {
    this.#index.set(collection, this.#rows.length)
    return this.#rows.push(rows) - 1
  }
}
