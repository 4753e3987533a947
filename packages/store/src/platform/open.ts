/** Opening a store on SQLite. */
import { StoreError } from '../error.ts'
import { Names } from '../operation.ts'
import { checkSchema, type Schema } from '../schema.ts'
import type { Store } from '../store.ts'
import { startCommitThread } from './commit-thread.ts'
import { ownLoopCommitter, type Broken, type Committer } from './committer.ts'
import { openDataDir } from './data-dir.ts'
import { prepareDatabase, reusableBytes } from './database.ts'
import { defaultReserveBytes, reserveCheck } from './free-space.ts'
import { storeErrorOf } from './sqlite-error.ts'
import { SqliteStore } from './sqlite-store.ts'
import type { WriterSettings } from './writer.ts'

/** How a store is opened. */
export interface OpenOptions {
  /**
   * The data folder; made with mode 0700 where it is missing. One live store owns it. It must be on a local file system:
   * network file systems do not keep SQLite's locks.
   */
  readonly dir: string
  /** The collections, their version and the way there. */
  readonly schema: Schema
  /**
   * Commit in a thread, so that the loop never waits for the disk. = true
   *
   * With `false` commits run on the caller's loop: faster by some 0.05 ms a commit, for processes that do little else.
   */
  readonly thread?: boolean
  /**
   * When SQLite flushes. = 'FULL'
   *
   * Only `FULL` keeps what was receipted over a power cut; the others exist for the test that proves it.
   */
  readonly synchronous?: 'FULL' | 'NORMAL' | 'OFF'
  /**
   * Room, in bytes, below which commits with `reserve` are refused: free space, and what deleted records left in the
   * database; or a quarter of it in free space alone. = 67,108,864 (64 MiB)
   */
  readonly reserveBytes?: number
  /** Asked for the free bytes at each commit, instead of the file system (which is asked about once a second). */
  readonly freeBytes?: () => number
  /** How long a commit or a read waits for another program's lock, in ms, such as a `sqlite3` shell's. = 1,000 */
  readonly busyTimeoutMs?: number
  /** Aborts the opening; already aborted, nothing is touched. It has no effect on an open store. */
  readonly signal?: AbortSignal
}

function checkNumber(name: string, value: number | undefined): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
    throw new StoreError('BAD_OPTIONS', `${name} must be a whole number from 0 up, not ${value}`)
  }
}

function checkOptions(options: OpenOptions): void {
  const { dir, schema, synchronous = 'FULL', reserveBytes, busyTimeoutMs } = options
  if (typeof dir !== 'string' || dir === '') throw new StoreError('BAD_OPTIONS', 'dir must be a path')
  if (!['FULL', 'NORMAL', 'OFF'].includes(synchronous)) {
    throw new StoreError('BAD_OPTIONS', 'synchronous must be FULL, NORMAL or OFF')
  }
  checkNumber('reserveBytes', reserveBytes)
  checkNumber('busyTimeoutMs', busyTimeoutMs)
  checkSchema(schema)
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new StoreError('ABORTED', undefined, { cause: signal.reason })
}

function startCommitter(
  options: OpenOptions,
  settings: WriterSettings,
  broken: Broken,
): Committer | Promise<Committer> {
  return options.thread === false ? ownLoopCommitter(settings, broken) : startCommitThread(settings, broken)
}

/**
 * Opens the durable store of a data folder, making or migrating it as needed.
 *
 * @throws StoreError by rejection: `BAD_OPTIONS`, `ABORTED`, `DATA_DIR_IN_USE` (with `ownerPid`), `SCHEMA_TOO_NEW`,
 * `MIGRATION_FAILED`, `STORE_DAMAGED`, `IO_FAILED`
 * @example
 * ```ts
 * import { openStore } from '@greenroom/store'
 *
 * await using store = await openStore({ dir: 'data', schema: { version: 1, collections: ['messages'] } })
 * await store.commit([{ put: 'messages', key: 'inbox/000001', meta: { from: 'a' } }])
 * ```
 */
export async function openStore(options: OpenOptions): Promise<Store> {
  checkOptions(options)
  checkSignal(options.signal)
  const { schema, synchronous = 'FULL', reserveBytes = defaultReserveBytes, busyTimeoutMs = 1_000 } = options
  const folder = openDataDir(options.dir)
  const names = new Names([...schema.collections])
  const settings = { path: folder.databasePath, collections: names.list, synchronous, busyTimeoutMs }
  let store: SqliteStore | undefined
  let committer: Committer | undefined
  try {
    const restoredFrom = prepareDatabase(folder.databasePath, schema)
    committer = await startCommitter(options, settings, (error) => store?.fail(error))
    checkSignal(options.signal)
    const { reader } = committer
    const isBelowReserve = reserveCheck(folder.dir, reserveBytes, () => reusableBytes(reader), options.freeBytes)
    store = new SqliteStore({ names, folder, committer, isBelowReserve, restoredFrom })
    return store
  } catch (error) {
    await committer?.close()
    folder.release()
    throw storeErrorOf(error, 'Opening the store', folder.databasePath)
  }
}
