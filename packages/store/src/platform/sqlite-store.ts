/** The store on SQLite: queue, committer and reader put together. */
import { CommitQueue } from '../commit-queue.ts'
import { StoreError } from '../error.ts'
import { checkKey, encodeBatch, type Names } from '../operation.ts'
import type {
  BackupMark,
  CommitOptions,
  GetOptions,
  KeyRange,
  Operation,
  ScanRange,
  Store,
  StoredRecord,
  StoreStats,
} from '../store.ts'
import { backupDatabase } from './backup.ts'
import type { Committer } from './committer.ts'
import type { DataDir } from './data-dir.ts'
import { storeErrorOf } from './sqlite-error.ts'
import { Table } from './table.ts'

/**
 * What a store is made of; it owns all of it.
 *
 * @internal
 */
export interface SqliteParts {
  readonly names: Names
  readonly folder: DataDir
  readonly committer: Committer
  /** Whether free space is below the reserve, for a batch of so many bytes. */
  readonly isBelowReserve: (bytes: number) => boolean
  readonly restoredFrom: BackupMark | undefined
}

/**
 * A live store on SQLite.
 *
 * @internal
 */
export class SqliteStore implements Store {
  readonly closed: Promise<void>
  readonly restoredFrom: BackupMark | undefined
  readonly #parts: SqliteParts
  readonly #tables: readonly Table[]
  readonly #queue: CommitQueue
  readonly #end = Promise.withResolvers<void>()
  /** The last backup: they go one after the other. Never rejects. */
  #backup: Promise<void> = Promise.resolve()
  #refused = 0
  /** Set once: by `close`, or by what broke the store. */
  #ended: { readonly gone: Promise<void>; readonly cause?: StoreError } | undefined

  constructor(parts: SqliteParts) {
    this.#parts = parts
    this.restoredFrom = parts.restoredFrom
    this.#tables = parts.names.list.map((name) => new Table(parts.committer.reader, name))
    this.#queue = new CommitQueue(parts.committer.apply, (run) => setImmediate(run))
    this.closed = this.#end.promise
    this.closed.catch(() => {})
  }

  async commit(batch: readonly Operation[], options: CommitOptions = {}): Promise<void> {
    this.#checkOpen()
    const encoded = encodeBatch(this.#parts.names, batch)
    const isBelowReserve = this.#parts.isBelowReserve(encoded.bytes)
    if (options.reserve === true && isBelowReserve) {
      this.#refused += 1
      throw new StoreError('STORAGE_FULL', 'Free space is below the reserve: nothing new is taken.')
    }
    return this.#queue.add(encoded)
  }

  get(collection: string, key: string, options?: GetOptions): StoredRecord | undefined {
    checkKey(key)
    return this.#read(collection, (table) => table.get(key, options))
  }

  scan(collection: string, range: ScanRange = {}): StoredRecord[] {
    return this.#read(collection, (table) => table.scan(range))
  }

  keys(collection: string, range: ScanRange = {}): string[] {
    return this.#read(collection, (table) => table.keys(range))
  }

  count(collection: string, range: KeyRange = {}): number {
    return this.#read(collection, (table) => table.count(range))
  }

  stats(): StoreStats {
    return { ...this.#queue.stats(), refused: this.#refused }
  }

  async backup(path: string): Promise<void> {
    this.#checkOpen()
    const running = this.#backup.then(() => backupDatabase(this.#parts.folder, path))
    this.#backup = running.catch(() => {})
    await running
  }

  close(): Promise<void> {
    this.#ended ??= { gone: this.#closeOrderly() }
    return this.#ended.gone
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** No commit can work any more: rejects what waits and gives everything back. */
  fail(cause: StoreError): void {
    const inClose = this.#ended !== undefined
    const text = `The commit's fate is unknown: ${cause.message}`
    this.#queue.fail(new StoreError('COMMIT_UNKNOWN', text, { cause }))
    this.#end.reject(cause)
    if (inClose) return
    const gone = this.#giveBack()
    gone.catch(() => {})
    this.#ended = { gone, cause }
  }

  async #closeOrderly(): Promise<void> {
    await this.#queue.idle()
    await this.#giveBack()
    this.#end.resolve()
  }

  async #giveBack(): Promise<void> {
    const { committer, folder } = this.#parts
    await this.#backup
    try {
      await committer.close()
    } finally {
      folder.release()
    }
  }

  #checkOpen(): void {
    if (this.#ended === undefined) return
    const { cause } = this.#ended
    throw cause === undefined
      ? new StoreError('CLOSED')
      : new StoreError('CLOSED', `The store broke: ${cause.message}`, { cause })
  }

  #read<T>(collection: string, read: (table: Table) => T): T {
    this.#checkOpen()
    const table = this.#tables[this.#parts.names.indexOf(collection)]
    if (table === undefined) throw new StoreError('BAD_OPERATION', `There is no collection "${collection}".`)
    try {
      return read(table)
    } catch (error) {
      throw storeErrorOf(error, 'Reading', this.#parts.folder.databasePath)
    }
  }
}
