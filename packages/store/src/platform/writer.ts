/** The one connection that writes: a group of operations is one transaction. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { messageOf, StoreError } from '../error.ts'
import type { EncodedOperation } from '../operation.ts'
import { prepareCount } from './commit-count.ts'
import { isFull } from './sqlite-error.ts'
import { Table } from './table.ts'

/**
 * What a writer needs to know; it can be sent to a thread.
 *
 * @internal
 */
export interface WriterSettings {
  readonly path: string
  readonly collections: readonly string[]
  /** When SQLite flushes. Only `FULL` keeps what was receipted over a power cut. */
  readonly synchronous: 'FULL' | 'NORMAL' | 'OFF'
  readonly busyTimeoutMs: number
}

/**
 * How a commit failed; it can be sent from a thread.
 *
 * `full`: nothing was stored. `unknown`: it may have been stored. `broken`: besides, the connection is of no more use.
 *
 * @internal
 */
export interface CommitFailure {
  readonly kind: 'full' | 'unknown' | 'broken'
  readonly message: string
}

/**
 * The failure as the error that callers get.
 *
 * @internal
 */
export function commitErrorOf({ kind, message }: CommitFailure): StoreError {
  const cause = new Error(message)
  return kind === 'full'
    ? new StoreError('STORAGE_FULL', `The disk is full; nothing of the batch was stored: ${message}`, { cause })
    : new StoreError('COMMIT_UNKNOWN', `The commit failed: ${message}`, { cause })
}

/**
 * Each connection's pages in memory, about 2 MiB. Measured for random and ordered keys, 16 MiB are no faster: the system
 * caches the file anyway. They are only filled for good by the first long run, in each process twice.
 *
 * @internal
 */
export const pageCache = 'PRAGMA cache_size = -2000'

/**
 * Pages of 8 KiB and a checkpoint each 1,000 of them were the fastest of those measured for 1 KiB bodies. The WAL is
 * reused, not truncated, because a commit into an existing file costs one flush and not two; only what a burst or a
 * backup made of it beyond 64 MiB is given back.
 */
const tuning = `
  PRAGMA wal_autocheckpoint = 1000;
  PRAGMA journal_size_limit = 67108864;
  ${pageCache};
  PRAGMA temp_store = MEMORY;
  PRAGMA fullfsync = 1;
  PRAGMA checkpoint_fullfsync = 1;`

/**
 * A writing connection.
 *
 * @internal
 */
export class Writer {
  /** The connection. Outside of `apply` no transaction is open on it. */
  readonly db: DatabaseSync
  /** Its tables, in the order of the settings' collections. */
  readonly tables: readonly Table[]
  readonly #begin: StatementSync
  readonly #count: StatementSync
  readonly #commit: StatementSync

  constructor(settings: WriterSettings) {
    this.db = new DatabaseSync(settings.path, { timeout: settings.busyTimeoutMs })
    this.db.exec(`${tuning} PRAGMA synchronous = ${settings.synchronous};`)
    this.tables = settings.collections.map((name) => new Table(this.db, name))
    this.#begin = this.db.prepare('BEGIN IMMEDIATE')
    this.#count = prepareCount(this.db)
    this.#commit = this.db.prepare('COMMIT')
  }

  /** Applies all operations, or none, and returns after the disk has them. */
  apply(operations: Iterable<EncodedOperation>): CommitFailure | undefined {
    try {
      this.#begin.run()
      for (const { table, key, meta, body } of operations) {
        const target = this.tables[table]
        if (target === undefined) throw new RangeError(`There is no table ${table}.`)
        if (meta === undefined) target.delete(key)
        else target.put(key, meta, body)
      }
      this.#count.run()
      this.#commit.run()
      return undefined
    } catch (error) {
      return this.#rollBack(error)
    }
  }

  /** Closes the connection. */
  close(): void {
    if (this.db.isOpen) this.db.close()
  }

  #rollBack(error: unknown): CommitFailure {
    const message = messageOf(error)
    try {
      if (this.db.isTransaction) this.db.exec('ROLLBACK')
      return { kind: isFull(error) ? 'full' : 'unknown', message }
    } catch (second) {
      return { kind: 'broken', message: `${message}; then the rollback failed: ${messageOf(second)}` }
    }
  }
}
