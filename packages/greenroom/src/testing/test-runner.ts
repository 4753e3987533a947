/**
 * A runner for tests: the real runner and the real worker loop, all in this process, over a bus in memory.
 *
 * - *T1* What it is told is what a runner is told, but for `worker` and `bus`, and it answers as one.
 * - *T2* Its chance comes out of a seed. With a manual clock too, the same test does the same each time.
 * - *T3* Leaving its `await using` block closes it: a test that is over wants nothing to go on.
 */
import { createMemoryBus } from '@greenroom/bus'
import { createSeededRandom, observeBus, type ManualClock } from '@greenroom/bus/testing'
import { limits, systemClock, type Clock } from '@greenroom/proto'
import {
  createRunner,
  type ExecutorNames,
  type Logger,
  type OnlyRoleOptions,
  type RoleOptions,
  type Roles,
  type Runner,
  type RunnerOptions,
} from '@greenroom/runner'
import { createMemoryStore } from '@greenroom/store'
import type { Executors } from '@greenroom/worker'
import { createInProcessLauncher, type InProcessWorker } from '@greenroom/worker/testing'
import { FaultBoard, type Faults } from './faults.ts'

/** A role for each executor, named as it. */
export type RolePerExecutor<E> = {
  readonly [Name in ExecutorNames<E>]: RoleOptions<Name>
}

/** What {@link createTestRunner} may be told: what a runner is told, without `worker` and `bus`. */
export interface TestRunnerOptions<E extends Executors, R extends Roles<E>> extends Omit<
  RunnerOptions<E, R>,
  'worker' | 'bus' | 'roles' | 'clock' | 'random' | 'dataDir' | 'openStore'
> {
  /** What its workers serve: real ones, or scripts. */
  readonly executors: E
  /** = one for each executor, named as it */
  readonly roles?: R & OnlyRoleOptions<R>
  /** As of a runner: then its disk is real, and no manual clock waits for it. = null, all in memory */
  readonly dataDir?: string | null
  /** = the system's; `createManualClock()` makes one that stands still */
  readonly clock?: Clock | ManualClock
  /** What ids and the chance of faults are drawn from. = 1 */
  readonly seed?: number
}

/** A {@link Runner} with a hand on everything around it. */
export interface TestRunner<E extends Executors, R extends Roles<E>> extends Runner<E, R> {
  /** What is to go wrong. */
  readonly faults: Faults
  /** Its workers that have not ended, the oldest first: to kill, suspend or cut off. */
  readonly workers: readonly InProcessWorker[]
  /** What the runner warned of, and what workers logged: one line each. Also given to `logger`, if there is one. */
  readonly log: readonly string[]
}

/**
 * Creates a runner whose workers live in this process. It needs no test runner.
 *
 * @param options - see {@link TestRunnerOptions}
 * @throws GreenroomError what `createRunner` throws
 *
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { createManualClock, createTestRunner, scripted } from 'greenroom/testing'
 *
 * const clock = createManualClock()
 * await using runner = await createTestRunner({
 *   executors: { slow: scripted([{ wait: 30_000 }, { return: 'done' }]) },
 *   clock,
 * })
 * runner.faults.kill('before claim')
 * const run = runner.run({ role: 'slow' })
 * await clock.advance(30_000) // takes no time
 * const end = await run.outcome
 * assert.equal(end.status, 'completed')
 * assert.equal(run.status().attempts, 2)
 * ```
 */
export async function createTestRunner<const E extends Executors, const R extends Roles<E> = RolePerExecutor<E>>(
  options: TestRunnerOptions<E, R>,
): Promise<TestRunner<E, R>>
export async function createTestRunner(
  options: TestRunnerOptions<Executors, Roles<Executors>>,
): Promise<TestRunner<Executors, Roles<Executors>>> {
  const { executors, clock = systemClock, seed = 1, dataDir = null, logger, ...rest } = options
  const { partitionGraceMs = limits.partitionGraceMs } = rest
  const random = createSeededRandom(seed)
  const log: string[] = []
  const bus = createMemoryBus({ clock, random, partitionGraceMs, ...(isManual(clock) ? { defer: clock.defer } : {}) })
  let address = ''
  const faults = new FaultBoard({
    clock,
    // Of its own, so that a further fault does not change every id.
    random: createSeededRandom(seed + 1),
    hasOwnStore: dataDir === null,
    connection: { cut: () => bus.cut(address), restore: () => bus.restore(address) },
  })
  const launcher = createInProcessLauncher({ bus, executors, clock, observe: faults.ofWorker, refuse: faults.onSpawn })
  const runner = await createRunner<Executors>({
    ...rest,
    roles: options.roles ?? Object.fromEntries(Object.keys(executors).map((executor) => [executor, { executor }])),
    worker: launcher,
    bus: observeBus(bus.client(), { ...faults.ofSender(), onAttached: (peer) => (address = peer.address) }),
    logger: keeping(log, logger),
    clock,
    random,
    dataDir,
    ...(dataDir === null ? { openStore: (schema) => createMemoryStore({ schema, faults: faults.onCommit }) } : {}),
  })
  const close = async (): Promise<void> => {
    faults.clear()
    await Promise.all([runner.close(), isManual(clock) ? passTime(clock, runner.closed) : undefined])
    await bus.close()
  }
  return {
    run: (spec) => runner.run(spec),
    start: (spec, startOptions) => runner.start(spec, startOptions),
    attach: (runId, attachOptions) => runner.attach(runId, attachOptions),
    resume: () => runner.resume(),
    scheduler: (schedulerOptions) => runner.scheduler(schedulerOptions),
    children: runner.children,
    roles: runner.roles,
    shouldHandle: (spec) => runner.shouldHandle(spec),
    sessions: runner.sessions,
    approvals: runner.approvals,
    stats: () => runner.stats(),
    backup: (path) => runner.backup(path),
    async drain(drainOptions) {
      await runner.drain(drainOptions)
      await bus.close()
    },
    close,
    closed: runner.closed,
    faults,
    get workers() {
      return launcher.workers
    },
    log,
    [Symbol.asyncDispose]: close,
  }
}

function isManual(clock: Clock | ManualClock): clock is ManualClock {
  return 'defer' in clock
}

/** Closing may have to wait for a time that nobody moves on any more. */
async function passTime(clock: ManualClock, until: Promise<void>): Promise<void> {
  let isOver = false
  void until.then(() => (isOver = true))
  for (await clock.settle(); !isOver;) await clock.advance(clock.timers[0]?.inMs ?? 0)
}

function keeping(log: string[], also: Logger | undefined): Logger {
  return {
    warn(message, fields) {
      log.push(fields === undefined ? message : `${message} ${JSON.stringify(fields)}`)
      also?.warn(message, fields)
    },
    output(source, line) {
      log.push(`[${source}] ${line}`)
      also?.output(source, line)
    },
  }
}
