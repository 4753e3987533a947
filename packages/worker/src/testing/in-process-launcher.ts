/** Starts workers without processes: a launcher for a runner, as far as a runner looks at one. */
import { PassThrough } from 'node:stream'
import type { BusObserver } from '@greenroom/bus/testing'
import { systemClock, systemRandom, type Clock, type Random } from '@greenroom/proto'
import type { Executors } from '../executor.ts'
import { InProcessWorker, type InProcessBus, type InProcessExit, type InProcessSpec } from './in-process-worker.ts'

/** What {@link createInProcessLauncher} needs. */
export interface InProcessOptions {
  /** Where its workers attach: a `MemoryBus`, or whatever can lose a connection. */
  readonly bus: InProcessBus
  /** What they serve. */
  readonly executors: Executors
  /** = the system's */
  readonly clock?: Clock
  /** = the system's */
  readonly random?: Random
  /**
   * Asked once for each worker: what looks into its steps on the bus. Beside those of {@link BusObserver} there are
   * `started` (it has read what it is to do) and `ready` (it is attached). = nothing
   */
  readonly observe?: (worker: InProcessWorker, index: number) => BusObserver
  /** Asked before each start: an error refuses it, as of a program that cannot be found. = never */
  readonly refuse?: (spec: InProcessSpec) => Error | undefined
}

/** A started worker, as the owner of a process sees it; see {@link InProcessWorker}. */
export interface InProcessLaunched {
  /** Takes the provisioning document, then its end. */
  readonly stdin: PassThrough
  /** Its log. */
  readonly stderr: PassThrough
  /** Resolves when it is gone. Never rejects. */
  readonly exited: Promise<InProcessExit>
  /** Signals it. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
}

/** Starts workers in this process. */
export interface InProcessLauncher {
  /** Starts one. It is a `Launcher` of `@greenroom/runner`. */
  launch(spec: InProcessSpec): InProcessLaunched
  /** Those that have not ended, the oldest first. */
  readonly workers: readonly InProcessWorker[]
}

/**
 * Makes a launcher whose workers are the real worker loop, in this process and on a bus in memory, that a test can end or
 * stop at any moment.
 *
 * @param options - bus and executors
 *
 * @example
 * ```ts
 * import { createMemoryBus } from '@greenroom/bus'
 * import { echo } from '@greenroom/worker'
 * import { createInProcessLauncher } from '@greenroom/worker/testing'
 *
 * await using bus = createMemoryBus()
 * const launcher = createInProcessLauncher({ bus, executors: { echo } })
 * const { stdin, exited } = launcher.launch({ role: 'echo', address: 'worker.1', env: {} })
 * stdin.end('no document')
 * console.log(await exited) // { code: 78, signal: null }
 * ```
 */
export function createInProcessLauncher(options: InProcessOptions): InProcessLauncher {
  const { bus, executors, clock = systemClock, random = systemRandom } = options
  const workers = new Set<InProcessWorker>()
  let started = 0
  return {
    launch(spec) {
      const error = options.refuse?.(spec)
      if (error !== undefined) return refused(error)
      started += 1
      const index = started
      const observe = (worker: InProcessWorker): BusObserver => options.observe?.(worker, index) ?? {}
      const worker = new InProcessWorker(spec, { bus, executors, clock, random, observe })
      workers.add(worker)
      void worker.exited.then(() => workers.delete(worker))
      return worker
    },
    get workers() {
      return [...workers].filter(({ state }) => state !== 'ended')
    },
  }
}

function refused(error: Error): InProcessLaunched {
  const stderr = new PassThrough()
  stderr.end()
  return {
    stdin: new PassThrough(),
    stderr,
    exited: Promise.resolve({ code: null, signal: null, error }),
    kill: () => undefined,
  }
}
