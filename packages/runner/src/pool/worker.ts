/** A worker as far as a pool needs it, and what is needed of one. Types only. */
import type { ServedExecutor } from '@greenroom/proto'
import type { Fixed } from './fingerprint.ts'

/** How a pool's worker ended. */
export interface PoolWorkerEnd {
  /** For people: how it ended, and the last it wrote. */
  readonly message: string
  /** What it said about itself before it ended. */
  readonly error?: {
    /** A code of the error table, or its own. */
    readonly code: string
  }
}

/** A worker, as far as a pool needs it. */
export interface PoolWorker {
  /** Resolves with true when it is attached, with false when it ended before. Never rejects. */
  readonly attached: Promise<boolean>
  /** What it serves; undefined before it is attached. */
  readonly serves: readonly ServedExecutor[] | undefined
  /** How many runs it takes at a time. */
  readonly slots: number
  /** Resolves when its process is gone, with how that came, for people. Never rejects. */
  readonly gone: Promise<PoolWorkerEnd>
  /** Ends it in order, by force when that takes too long. */
  retire(): void
  /** Ends it by force. */
  kill(): void
}

/** What a run needs of a worker. */
export interface PoolNeed {
  /** The executor that it has to serve. */
  readonly executor: string
  /** What it has to have been provisioned with. */
  readonly fixed: Fixed
}
