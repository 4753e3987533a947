/** A pool of workers: what one is made of, and does. */
import type { Clock, Random } from '@greenroom/proto'
import type { PoolMiss } from './miss.ts'
import type { PoolNeed, PoolWorker, PoolWorkerEnd } from './worker.ts'
import { WorkerPool } from './worker-pool.ts'

/** How many workers there are, and how long they stay idle. */
export interface PoolLimits {
  /** Idle workers in all. */
  readonly maxIdle: number
  /** Idle workers of one fingerprint. */
  readonly maxIdlePerKey: number
  /** How long one stays idle, in milliseconds. */
  readonly idleMs: number
  /** How long one lives, in milliseconds; one in use ends after its run. */
  readonly maxAgeMs: number
  /** How many runs one does. */
  readonly maxUses: number
  /** Processes in all, in use or not. */
  readonly maxProcesses: number
}

/** What a pool is made of. */
export interface PoolOptions<Need extends PoolNeed, Worker extends PoolWorker> {
  /** Its bounds; 0 is zero. */
  readonly limits: PoolLimits
  /** Starts a worker. */
  readonly spawn: (need: Need) => Worker
  /** How many processes there are, those that are ending included. */
  readonly processes: () => number
  /** Whether a worker that is started now would still be provisioned like this: its files may have changed meanwhile. */
  readonly isCurrent: (need: Need) => boolean
  /** Measures idle times, ages and pauses. */
  readonly clock: Clock
  /** Jitters pauses, and keys the digests. */
  readonly random: Random
  /** Learns what nobody waits for. */
  readonly warn: (message: string, fields: Readonly<Record<string, unknown>>) => void
}

/** The right to use a worker. */
export interface Lease<Worker> {
  /** Whose it is until the release. */
  readonly worker: Worker
  /** Whether it was there before. */
  readonly warm: boolean
  /** Why it was not. */
  readonly miss?: PoolMiss
  /** As the worker's own, while this is held: what waited for that one would be kept as long as a warm worker lives. */
  readonly gone: Promise<PoolWorkerEnd>
  /** Gives it back. Only the first call counts. */
  release(how: Release): void
}

/**
 * How a worker is given back: `park` when it is well and others may use it, `unused` when it was not used after all: one
 * that has attached stays, as it was. Else nobody gets it any more, and it ends with its last lease: in order (`retire`), by
 * force (`kill`), or by force because it did not answer (`hung`), which is a failed start when it never attached.
 */
export type Release = 'park' | 'unused' | 'retire' | 'kill' | 'hung'

/** What a pool has, and did. */
export interface PoolStats {
  /** Workers that wait for a run. */
  readonly idle: number
  /** Workers that have one. */
  readonly busy: number
  /** Leases of a worker that was there before. */
  readonly hits: number
  /** Leases of a fresh worker, by why. */
  readonly misses: Readonly<Record<PoolMiss['why'], number>>
  /** Workers that were ended, by why. */
  readonly ended: Readonly<Record<EndReason, number>>
}

/**
 * Why a worker was ended: `idle` or of `age` for too long, used up, above the caps of idle ones (`full`), `evicted` to make
 * room for a process, `untrusted` after a failure, the pool was `closed`; or it was `gone` by itself.
 */
export type EndReason = 'idle' | 'age' | 'uses' | 'full' | 'evicted' | 'untrusted' | 'closed' | 'gone'

/** Keeps workers warm. */
export interface Pool<Need extends PoolNeed, Worker extends PoolWorker> {
  /**
   * Gets a worker: one that fits, else a fresh one, when there is room for it.
   *
   * @param onFull - called whenever there is no room, with how many processes there may be; what it throws ends the waiting
   * @throws GreenroomError `WORKER_SPAWN_FAILED` while its circuit is open; what `spawn` throws; `ABORTED`, `CLOSED`
   */
  acquire(need: Need, signal: AbortSignal, onFull?: (slots: number) => void): Promise<Lease<Worker>>
  /** Keeps so many workers for a need ready, in the background; what is asked for again replaces what was. */
  keepReady(name: string, count: number, need: () => Promise<Need>): void
  /** A process that is none of its own has ended: there may be room now. */
  noteRoom(): void
  /** What it has, and did. */
  stats(): PoolStats
  /** Ends every idle worker, and keeps none from now on. */
  close(): void
}

/**
 * Creates a pool.
 *
 * @param options - see {@link PoolOptions}
 */
export function createPool<Need extends PoolNeed, Worker extends PoolWorker>(
  options: PoolOptions<Need, Worker>,
): Pool<Need, Worker> {
  return new WorkerPool(options)
}
