/**
 * The store: what a durable database promises, whichever implementation stands behind it.
 *
 * - *S1* `commit` resolves only when the transaction that holds the batch is on disk.
 * - *S2* A batch is atomic: all of its operations or none, also over a power cut.
 * - *S3* Batches apply in the order of their calls. What survives a crash is a prefix of them.
 * - *S4* When a commit fails, every batch that was called before its failure was reported fails with it, so nothing is
 *   ever applied on top of a batch that was lost without its caller knowing. The next call works again.
 * - *S5* Reads see every batch whose `commit` has resolved, never a part of a batch, never what is still queued.
 * - *S6* A refused batch (`BAD_OPERATION`, `STORAGE_FULL` by the reserve, `CLOSED`) was not queued at all.
 *
 * Implementations: `openStore` (SQLite, in a thread or on the own loop) and `createMemoryStore` (the twin).
 */
import type { JsonObject } from './json.ts'

/** A record of a collection. Each read makes a new one, which is the caller's own. */
export interface StoredRecord {
  /** 1 to 512 printable ASCII characters; collections are ordered by it, byte by byte. */
  readonly key: string
  /** Small facts, stored as JSON text so that people can query them with `json_extract`. */
  readonly meta: JsonObject
  /** Opaque bytes, up to 512 MiB. Absent when none were put, or when a scan left bodies out. */
  readonly body?: Uint8Array
}

/** Puts a record; an older record of that key is replaced as a whole. */
export interface PutOperation {
  /** The collection. */
  readonly put: string
  /** As in {@link StoredRecord.key}. */
  readonly key: string
  /** Encoded when `commit` is called: later changes are not seen. */
  readonly meta: JsonObject
  /** Not copied: it must stay unchanged until the commit has settled. It is never detached. */
  readonly body?: Uint8Array
}

/** Deletes a record; nothing happens where there is none. */
export interface DeleteOperation {
  /** The collection. */
  readonly delete: string
  /** As in {@link StoredRecord.key}. */
  readonly key: string
}

/** A change of one record. */
export type Operation = PutOperation | DeleteOperation

/** Which keys: all those that fulfil every given condition. */
export interface KeyRange {
  /** Keys that start with this. */
  readonly prefix?: string
  /** Keys greater than this one. */
  readonly after?: string
  /** Keys less than this one. */
  readonly before?: string
}

/** Which records a scan gives, and how. */
export interface ScanRange extends KeyRange {
  /** At most this many records. = all */
  readonly limit?: number
  /** From the greatest key down. = false */
  readonly reverse?: boolean
  /** Whether to read the bodies. = true */
  readonly bodies?: boolean
}

/** How a record is read. */
export interface GetOptions {
  /** Give a body that is not what was written, too: for whoever has a digest of its own to tell. = false */
  readonly unchecked?: boolean
}

/** How a batch is committed. */
export interface CommitOptions {
  /**
   * Refuse the batch with `STORAGE_FULL` while free space is below the store's reserve. = false
   *
   * Set it for what brings something new; leave it for what removes or ends something, so that clean-up goes on.
   */
  readonly reserve?: boolean
}

/** Counters since the store was opened. */
export interface StoreStats {
  /** Transactions that are on disk. */
  readonly commits: number
  /** Batches in them. */
  readonly batches: number
  /** Operations in them. */
  readonly operations: number
  /** Transactions that failed or whose fate is unknown. */
  readonly failedCommits: number
  /** Batches that were refused with `STORAGE_FULL` before they were queued. */
  readonly refused: number
  /** Batches that wait for their receipt now. */
  readonly waiting: number
  /** Bytes of keys, meta and bodies in the waiting batches. */
  readonly waitingBytes: number
}

/** Which backup, and when it was made. */
export interface BackupMark {
  /** Another one for each backup. */
  readonly id: string
  /** When, in milliseconds since the epoch; 0 of a store in memory, which has no clock. */
  readonly at: number
}

/**
 * A durable database of collections of records.
 *
 * @example
 * ```ts
 * import { openStore } from '@greenroom/store'
 *
 * await using store = await openStore({ dir: 'data', schema: { version: 1, collections: ['messages'] } })
 * const body = new TextEncoder().encode('hello')
 * await store.commit([{ put: 'messages', key: 'inbox/000001', meta: { from: 'a' }, body }])
 * console.log(store.scan('messages', { prefix: 'inbox/', limit: 10 }).length)
 * ```
 */
export interface Store {
  /**
   * Queues the operations; resolves once the transaction that holds them is on disk.
   *
   * Nothing is written before the end of this turn of the event loop; all batches of a turn share a transaction. An
   * empty batch is a barrier: it resolves when everything before it is on disk.
   *
   * @throws StoreError by rejection: `BAD_OPERATION`; `STORAGE_FULL` (refused because of `reserve`, or the disk is
   * full: not stored in either case); `COMMIT_UNKNOWN` (send the same batch again later: it may or may not be stored);
   * `CLOSED`
   */
  commit(batch: readonly Operation[], options?: CommitOptions): Promise<void>
  /**
   * The committed record of that key.
   *
   * @throws StoreError `BAD_OPERATION`, `CLOSED`, `STORE_DAMAGED` (it is not what was written), `IO_FAILED`
   */
  get(collection: string, key: string, options?: GetOptions): StoredRecord | undefined
  /**
   * The committed records of a range, in the order of their keys.
   *
   * @throws StoreError as for {@link Store.get}
   */
  scan(collection: string, range?: ScanRange): StoredRecord[]
  /**
   * Only the keys of a range, in their order: also of records that are damaged.
   *
   * @throws StoreError as for {@link Store.get}, but for damage of a record
   */
  keys(collection: string, range?: Omit<ScanRange, 'bodies'>): string[]
  /**
   * How many committed records there are in a range.
   *
   * @throws StoreError as for {@link Store.get}
   */
  count(collection: string, range?: KeyRange): number
  /** Counters for metrics and tests. */
  stats(): StoreStats
  /**
   * Writes a consistent copy of all that was committed when the call was made, while commits go on.
   *
   * The copy appears at `path` only when it is complete and SQLite found nothing wrong with it, and replaces an older backup that was there. `restoreBackup`
   * makes a data folder of it, whose store says so: {@link Store.restoredFrom}.
   *
   * @throws StoreError by rejection: `BAD_OPTIONS` (the path is inside a data folder, or a file there is no backup),
   * `STORE_DAMAGED`, `IO_FAILED`, `CLOSED`
   */
  backup(path: string): Promise<void>
  /**
   * The backup that this data was, if it was one: what was committed after the backup is not there, although its callers
   * were told that it is. Stays for the life of the data folder.
   */
  readonly restoredFrom: BackupMark | undefined
  /** Flushes what is queued, then closes. Idempotent; does not reject because of a commit that failed. */
  close(): Promise<void>
  /** Resolves when the store has closed; rejects with `STORE_FAILED` when it broke. Need not be watched. */
  readonly closed: Promise<void>
  /** The same as {@link Store.close}. */
  [Symbol.asyncDispose](): Promise<void>
}
