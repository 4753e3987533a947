/**
 * The store's twin in memory, for tests and the simulator.
 *
 * It keeps every promise of {@link Store} with the same group commit, under a scheduler that is handed in, and models
 * what a disk can do: commits that fail, that succeed but report a failure, that fail and come back after a crash, that
 * are slow; a full disk; a power cut. It has no clock and no chance of its own, so a schedule replays identically.
 */
import { CommitQueue, type Defer } from './commit-queue.ts'
import { StoreError } from './error.ts'
import { MemoryDisk } from './memory-disk.ts'
import { checkKey, encodeBatch, type EncodedBatch } from './operation.ts'
import { checkSchema, type Schema } from './schema.ts'
import type {
  BackupMark,
  CommitOptions,
  KeyRange,
  Operation,
  ScanRange,
  Store,
  StoredRecord,
  StoreStats,
} from './store.ts'

/** What goes wrong with a commit of the memory store. */
export interface CommitFault {
  /**
   * How it ends. = 'stored'
   *
   * - `fails`: not stored, `COMMIT_UNKNOWN`
   * - `lies`: stored, but `COMMIT_UNKNOWN`
   * - `limbo`: not stored, `COMMIT_UNKNOWN`, but a power cut may bring it back while no later commit succeeded: what a
   *   failed flush can do
   * - `full`: not stored, `STORAGE_FULL`
   */
  readonly outcome?: 'stored' | 'fails' | 'lies' | 'limbo' | 'full'
  /** How many calls of `defer` it takes until the commit happens. = 0 */
  readonly turns?: number
}

/** How a memory store is made. */
export interface MemoryStoreOptions {
  /** Its collections. Without it, every well-formed name is a collection. The version and migrations do nothing here. */
  readonly schema?: Schema
  /** Calls a function at the end of the current turn: a commit starts there. = queueMicrotask */
  readonly defer?: (run: () => void) => void
  /** Asked once for each commit; `commit` counts from 1 and goes on over power cuts. = nothing goes wrong */
  readonly faults?: (commit: number, operations: number) => CommitFault | undefined
  /** From 0 up to, not including, 1: what of the unreceipted survives a power cut. = always 0, nothing survives */
  readonly random?: () => number
  /** As in `openStore`. = 67,108,864 */
  readonly reserveBytes?: number
  /** The free bytes of the disk. = Infinity */
  readonly freeBytes?: () => number
}

/** A store in memory, and what can happen to it. */
export interface MemoryStore extends Store {
  /**
   * Cuts the power, or kills the process, and opens what is then on the disk.
   *
   * All that was receipted is there. Of the rest, a prefix of the batches, chosen by `random`, is there. This store is
   * dead from then on: what was pending never settles, as the process that waited is no more; calls answer `CLOSED`.
   */
  powerCut(): MemoryStore
  /**
   * Opens the same disk again after `close`.
   *
   * @throws StoreError `DATA_DIR_IN_USE` when this store is still open
   */
  reopen(): MemoryStore
  /**
   * Opens a copy that `backup` made under that path, on a disk of its own.
   *
   * @throws StoreError `IO_FAILED` when there is none
   */
  openBackup(path: string): MemoryStore
}

class TwinStore implements MemoryStore {
  readonly closed: Promise<void>
  readonly restoredFrom: BackupMark | undefined
  readonly #options: MemoryStoreOptions
  readonly #disk: MemoryDisk
  readonly #queue: CommitQueue
  readonly #end = Promise.withResolvers<void>()
  #state: 'open' | 'closing' | 'closed' | 'dead' = 'open'
  #refused = 0

  constructor(options: MemoryStoreOptions, disk: MemoryDisk) {
    this.#options = options
    this.#disk = disk
    this.#queue = new CommitQueue((group, done) => this.#apply(group, done), this.#defer)
    this.restoredFrom = disk.restoredFrom
    this.closed = this.#end.promise
  }

  async commit(batch: readonly Operation[], options: CommitOptions = {}): Promise<void> {
    this.#checkOpen()
    const encoded = encodeBatch(this.#disk, batch)
    const { freeBytes, reserveBytes = 64 * 1024 * 1024 } = this.#options
    if (options.reserve === true && freeBytes !== undefined && freeBytes() < reserveBytes) {
      this.#refused += 1
      throw new StoreError('STORAGE_FULL', 'Free space is below the reserve: nothing new is taken.')
    }
    return this.#queue.add(encoded)
  }

  get(collection: string, key: string): StoredRecord | undefined {
    checkKey(key)
    this.#checkOpen()
    return this.#disk.get(collection, key)
  }

  scan(collection: string, range: ScanRange = {}): StoredRecord[] {
    this.#checkOpen()
    return this.#disk.scan(collection, range)
  }

  keys(collection: string, range: ScanRange = {}): string[] {
    return this.scan(collection, { ...range, bodies: false }).map(({ key }) => key)
  }

  count(collection: string, range: KeyRange = {}): number {
    this.#checkOpen()
    return this.#disk.count(collection, range)
  }

  stats(): StoreStats {
    return { ...this.#queue.stats(), refused: this.#refused }
  }

  async backup(path: string): Promise<void> {
    this.#checkOpen()
    this.#disk.backUp(path)
  }

  async close(): Promise<void> {
    if (this.#state !== 'open') return this.#state === 'dead' ? undefined : this.closed
    this.#state = 'closing'
    await this.#queue.idle()
    if (this.#state !== 'closing') return
    this.#state = 'closed'
    this.#end.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  powerCut(): MemoryStore {
    if (this.#state === 'dead') throw new StoreError('CLOSED', 'The power was cut before; use the store that it gave.')
    const { random = () => 0 } = this.#options
    const pending = this.#queue.abandon().map(({ batch }) => batch)
    this.#state = 'dead'
    const limbo = this.#disk.takeLimbo()
    const candidates = limbo.length > 0 && random() < 0.5 ? limbo : pending
    const survivors = Math.floor(random() * (candidates.length + 1))
    this.#disk.apply(candidates.slice(0, survivors))
    return new TwinStore(this.#options, this.#disk)
  }

  reopen(): MemoryStore {
    if (this.#state !== 'closed') throw new StoreError('DATA_DIR_IN_USE', 'The store is still open, or died.')
    this.#disk.takeLimbo()
    return new TwinStore(this.#options, this.#disk)
  }

  openBackup(path: string): MemoryStore {
    const copy = this.#disk.backups.get(path)
    if (copy === undefined) throw new StoreError('IO_FAILED', `There is no backup at ${path}.`, { path })
    return new TwinStore(this.#options, new MemoryDisk(copy))
  }

  readonly #defer: Defer = (run) => (this.#options.defer ?? queueMicrotask)(run)

  #checkOpen(): void {
    if (this.#state !== 'open') throw new StoreError('CLOSED')
  }

  #apply(group: readonly EncodedBatch[], done: (failure?: StoreError) => void): void {
    this.#disk.commits += 1
    const operations = group.reduce((sum, batch) => sum + batch.operations.length, 0)
    const fault = this.#options.faults?.(this.#disk.commits, operations)
    const finish = (): void => {
      if (this.#state !== 'dead') done(this.#settle(group, fault?.outcome ?? 'stored'))
    }
    this.#after(fault?.turns ?? 0, finish)
  }

  #after(turns: number, run: () => void): void {
    if (turns <= 0) run()
    else this.#defer(() => this.#after(turns - 1, run))
  }

  #settle(group: readonly EncodedBatch[], outcome: NonNullable<CommitFault['outcome']>): StoreError | undefined {
    switch (outcome) {
      case 'stored':
        this.#disk.apply(group)
        return undefined
      case 'lies':
        this.#disk.apply(group)
        break
      case 'limbo':
        this.#disk.putInLimbo(group)
        break
      case 'full':
        return new StoreError('STORAGE_FULL', 'The disk is full; nothing of the batch was stored.')
      case 'fails':
        break
    }
    return new StoreError('COMMIT_UNKNOWN', 'The commit failed: injected fault')
  }
}

/**
 * Makes an empty store in memory.
 *
 * @throws StoreError `BAD_OPTIONS`
 * @example
 * ```ts
 * import { createMemoryStore } from '@greenroom/store'
 *
 * const store = createMemoryStore({ faults: (commit) => (commit === 3 ? { outcome: 'lies' } : undefined) })
 * await store.commit([{ put: 'messages', key: '1', meta: {} }])
 * const afterwards = store.powerCut()
 * console.log(afterwards.count('messages')) // 1
 * ```
 */
export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  if (options.schema !== undefined) checkSchema(options.schema)
  return new TwinStore(options, new MemoryDisk(options.schema?.collections))
}
