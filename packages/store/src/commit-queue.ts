/**
 * Group commit: batches wait for the end of the turn, or for the commit before them, and then share one transaction.
 *
 * ```
 * add ─► waiting ─(end of turn, nothing running)─► running ─► done: receipts
 *            ▲                                        │
 *            └── what arrives meanwhile waits ◄───────┘ failed: running and waiting are all rejected (S4)
 * ```
 *
 * - *Q1* At most one group runs. A group is a prefix of what waits, so batches apply in the order of their calls.
 * - *Q2* A group takes all that waits, up to about 16 MiB, so that one turn cannot make an endless transaction.
 * - *Q3* Every batch that was added is settled exactly once, or never, after `abandon`.
 */
import { messageOf, StoreError } from './error.ts'
import type { EncodedBatch } from './operation.ts'

/**
 * Applies a group as one transaction, then calls `done` once, now or later, with what failed or with nothing.
 *
 * @internal
 */
export type ApplyGroup = (group: readonly EncodedBatch[], done: (failure?: StoreError) => void) => void

/**
 * Calls a function at the end of the current turn.
 *
 * @internal
 */
export type Defer = (run: () => void) => void

interface Waiting {
  readonly batch: EncodedBatch
  readonly resolve: () => void
  readonly reject: (error: StoreError) => void
}

const groupBytes = 16 * 1024 * 1024

/**
 * The queue in front of a transaction.
 *
 * @internal
 */
export class CommitQueue {
  readonly #apply: ApplyGroup
  readonly #defer: Defer
  #waiting: Waiting[] = []
  #running: Waiting[] = []
  #scheduled = false
  #waitingBytes = 0
  #idle: PromiseWithResolvers<void> | undefined
  #commits = 0
  #batches = 0
  #operations = 0
  #failedCommits = 0

  constructor(apply: ApplyGroup, defer: Defer) {
    this.#apply = apply
    this.#defer = defer
  }

  /** Queues a checked batch. */
  add(batch: EncodedBatch): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      this.#waitingBytes += batch.bytes
      this.#schedule()
    })
  }

  /** Resolves when nothing waits or runs any more. */
  idle(): Promise<void> {
    if (this.#waiting.length + this.#running.length === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  /** Rejects everything; a `done` that is still to come is ignored. */
  fail(error: StoreError): void {
    const lost = this.abandon()
    if (lost.length > 0) this.#failedCommits += 1
    for (const { reject } of lost) reject(error)
    this.#settleIdle()
  }

  /** Forgets everything without settling it, in the order of the calls. */
  abandon(): Waiting[] {
    const lost = [...this.#running, ...this.#waiting]
    this.#running = []
    this.#waiting = []
    this.#waitingBytes = 0
    return lost
  }

  /** Counters; see `StoreStats`. */
  stats(): {
    commits: number
    batches: number
    operations: number
    failedCommits: number
    waiting: number
    waitingBytes: number
  } {
    return {
      commits: this.#commits,
      batches: this.#batches,
      operations: this.#operations,
      failedCommits: this.#failedCommits,
      waiting: this.#waiting.length + this.#running.length,
      waitingBytes: this.#waitingBytes,
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#running.length > 0 || this.#waiting.length === 0) return
    this.#scheduled = true
    this.#defer(() => {
      this.#scheduled = false
      if (this.#running.length === 0) this.#run()
    })
  }

  #takeGroup(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const { batch } of this.#waiting) {
      if (count > 0 && bytes + batch.bytes > groupBytes) break
      bytes += batch.bytes
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  #run(): void {
    const group = this.#takeGroup()
    if (group.length === 0) return
    this.#running = group
    const batches = group.map(({ batch }) => batch)
    const operations = batches.reduce((sum, batch) => sum + batch.operations.length, 0)
    const done = (failure?: StoreError): void => {
      if (this.#running !== group) return
      if (failure) this.fail(failure)
      else this.#succeed(group, operations)
    }
    if (operations === 0) {
      done()
      return
    }
    try {
      this.#apply(batches, done)
    } catch (cause) {
      done(new StoreError('COMMIT_UNKNOWN', `The commit failed: ${messageOf(cause)}`, { cause }))
    }
  }

  #succeed(group: readonly Waiting[], operations: number): void {
    this.#running = []
    if (operations > 0) this.#commits += 1
    this.#batches += group.length
    this.#operations += operations
    for (const { batch, resolve } of group) {
      this.#waitingBytes -= batch.bytes
      resolve()
    }
    this.#schedule()
    this.#settleIdle()
  }

  #settleIdle(): void {
    if (this.#waiting.length + this.#running.length > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }
}
