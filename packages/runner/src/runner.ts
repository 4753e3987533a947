/** The runner: the single owner of its runs, its journal and the processes it starts. */
import { GreenroomError, type JsonValue, type PeerState } from '@greenroom/proto'
import { Admission } from './admission.ts'
import { checkOptions, checkScheduler, type Config } from './config.ts'
import { createDrive } from './drive/index.ts'
import type { Duty } from './duty.ts'
import type { InputOf, OutputOf } from './entry.ts'
import { Execution, type Surroundings } from './execution.ts'
import { openHome, type Home } from './home.ts'
import { Journal } from './journal.ts'
import type { Roles, RunnerOptions } from './options.ts'
import { createLocalPlacement, type PlacedWorker, type WorkerNeed } from './placement/index.ts'
import { standardNeed } from './plan.ts'
import { createPool, type PoolStats } from './pool/index.ts'
import { hostName, keepAlive, workerEnvironment } from './platform/surroundings.ts'
import {
  RunScheduler,
  type AnyScheduler,
  type Scheduler,
  type SchedulerOptions,
  type SchedulerParts,
} from './scheduler.ts'
import type { Run, RunSpec, RunStatus, TypedRunSpec } from './run.ts'
import { withDeadline } from './session-deadline.ts'
import type { SessionStore } from './session-store.ts'
import { StoreSessions } from './store-sessions.ts'

/** Counters since the runner was created. */
export interface RunnerStats {
  /** The runs that have not ended. */
  readonly runs: readonly RunStatus[]
  /** Runs that were asked for. */
  readonly started: number
  /** Runs that ended. */
  readonly ended: number
  /** Worker processes that are there now. */
  readonly processes: number
  /** Warm workers, and how often there was one. */
  readonly pool: PoolStats
  /** Runs that hold a permit now: from before they get their worker until their attempt has ended. */
  readonly executing: number
  /** Runs that wait for one. */
  readonly queued: number
  /** Messages that belonged to no attempt in progress: late, fenced or foreign. */
  readonly strayMessages: number
}

/** What the runs of each role are given and bring back. */
export type RoleTypes<Executors, R extends Roles<Executors>> = {
  readonly [Role in keyof R & string]: {
    /** What a run is given. */
    readonly input: InputOf<Executors[R[Role]['executor']]>
    /** What it brings back. */
    readonly output: OutputOf<Executors[R[Role]['executor']]>
  }
}

/**
 * Runs roles. Leaving its `await using` block drains it: runs in progress may go on for the cancel grace, then they are
 * cancelled. What takes any runner, whatever its roles, takes an {@link AnyRunner}.
 */
export interface Runner<
  Executors = Readonly<Record<string, unknown>>,
  R extends Roles<Executors> = Roles<Executors>,
> extends AsyncDisposable {
  /**
   * Starts a run. Never throws: what is wrong with it is in its outcome.
   *
   * Codes of a failed outcome: `UNKNOWN_ROLE`, `BAD_OPTIONS`, `SECRET_MISSING`, `SPEC_TOO_LARGE`, `WORKER_SPAWN_FAILED`,
   * `WORKER_LOST`, `CLOSED`, `DRAINING`, `LIMIT_…`, those of a refused assignment (`UNKNOWN_EXECUTOR`, `INPUT_INVALID`, …), and
   * the executor's own.
   */
  run<Role extends keyof R & string>(
    spec: TypedRunSpec<Role, InputOf<Executors[R[Role]['executor']]>>,
  ): Run<OutputOf<Executors[R[Role]['executor']]>>
  /**
   * Runs a parent's children in the background, each with one outcome record and one delivery.
   *
   * @param options - see {@link SchedulerOptions}
   * @throws GreenroomError `BAD_OPTIONS` naming the field
   */
  scheduler(options: SchedulerOptions): Scheduler<Executors, R>
  /** The names of its roles. */
  readonly roles: readonly string[]
  /** Whether this is a run for it: the role is one of its own. `composeRunners` goes by it. */
  shouldHandle(spec: Pick<RunSpec, 'role'>): boolean
  /** The transcripts. */
  readonly sessions: SessionStore
  /** What it is doing now, and how much it did. */
  stats(): RunnerStats
  /**
   * Takes no new runs, lets those in progress end, drains its schedulers, then closes. Readers do not hold runs back from then on: a reader
   * that stopped sees `skipped` in place of the deltas that it did not take in time.
   *
   * @param options - `graceMs`: how long runs may take before they are cancelled, and completion handlers before nobody
   *   waits for them (a second more at least, after the last run). = for ever
   */
  drain(options?: { readonly graceMs?: number }): Promise<void>
  /** Cancels every run, ends every worker, closes. Idempotent. */
  close(): Promise<void>
  /** Resolves when it is closed. */
  readonly closed: Promise<void>
  /** Never there: carries the types of its roles. */
  readonly '~roles'?: RoleTypes<Executors, R>
}

/** What the runs of each role are given and bring back, whatever they are. */
export type AnyRoleTypes = Readonly<
  Record<
    string,
    {
      /** What a run is given. */
      readonly input: unknown
      /** What it brings back. */
      readonly output: unknown
    }
  >
>

/**
 * A runner whatever the types of its roles: what a function that serves any of them takes. Every {@link Runner} is one.
 *
 * @example
 * ```ts
 * import type { AnyRunner } from '@greenroom/runner'
 *
 * export async function report(runner: AnyRunner): Promise<void> {
 *   console.log(runner.stats().executing, (await runner.run({ role: 'reporter' }).outcome).status)
 * }
 * ```
 */
export interface AnyRunner extends Omit<Runner, 'run' | 'scheduler' | '~roles'> {
  /** Starts a run; see {@link Runner.run}. */
  run(spec: TypedRunSpec<string, unknown>): Run<unknown>
  /** Runs a parent's children; see {@link Runner.scheduler}. */
  scheduler(options: SchedulerOptions): AnyScheduler
  /** Never there: carries the types of its roles. */
  readonly '~roles'?: AnyRoleTypes
}

/**
 * Creates a runner.
 *
 * @param options - see {@link RunnerOptions}
 * @throws GreenroomError `BAD_OPTIONS` naming the field, `UNSUPPORTED_PLATFORM`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`,
 * `STORE_DAMAGED`, `UNAUTHORIZED`, `UNSUPPORTED_VERSION`; `CONNECT_FAILED` when the bus cannot be reached for
 * `partitionGraceMs`
 *
 * @example
 * ```ts
 * import { createRunner } from '@greenroom/runner'
 *
 * await using runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   roles: { tester: { executor: 'test' } },
 * })
 * const run = runner.run({ role: 'tester', task: 'Run the tests' })
 * for await (const event of run) if (event.type === 'text-delta') process.stdout.write(event.text)
 * console.log((await run.outcome).status)
 * ```
 */
export function createRunner<
  Executors = Readonly<Record<string, unknown>>,
  const R extends Roles<Executors> = Roles<Executors>,
>(options: RunnerOptions<Executors, R>): Promise<Runner<Executors, R>>
export async function createRunner(options: RunnerOptions): Promise<Runner> {
  const config = checkOptions(options)
  using _alive = keepAlive()
  await using opening = new AsyncDisposableStack()
  const home = opening.use(await openHome(config))
  const around = await settleIn(config, home)
  return new LiveRunner(around, opening.move())
}

/** Puts the parts together. */
async function settleIn(config: Config, { bus, address, store }: Home): Promise<Surroundings> {
  const { clock, random, logger, dataDir } = config
  const journal = new Journal(store)
  const id = await journal.identity(random.id())
  const onError = (error: unknown): void => logger.warn('a message was dropped', { error: String(error) })
  const onState = (state: PeerState): void => {
    if (state === 'lost') logger.warn('the connection to the bus was lost; runs wait until it is back')
    if (state === 'attached') logger.warn('the connection to the bus is back')
  }
  const mailbox = { bus, address: `runner.${id}`, incarnation: random.id(), clock, onState, onError }
  const drive = await soon(config, (signal) => createDrive({ ...mailbox, signal }))
  const placement = createLocalPlacement({
    launcher: config.launcher,
    peer: drive.peer,
    bus: address,
    presenceRole: `worker-of.${id}`,
    environment: (also) => workerEnvironment([...config.env, ...also], dataDir),
    cancelGraceMs: config.cancelGraceMs,
    partitionGraceMs: config.partitionGraceMs,
    host: hostName,
    clock,
    random,
    logger,
  })
  const pool = createPool<WorkerNeed, PlacedWorker>({
    limits: { ...config.pool, maxProcesses: config.admission.maxProcesses },
    spawn: (need) => placement.acquire(need),
    processes: () => placement.processes,
    isCurrent: ({ fixed }) => {
      try {
        const { program = '', bundle = '' } = config.launcher.identify?.() ?? {}
        return fixed['launcher'] === program && fixed['bundle'] === bundle
      } catch {
        // Nobody can tell what it would start now: the next run will say why.
        return false
      }
    },
    clock,
    random,
    warn: (message, fields) => logger.warn(message, fields),
  })
  for (const [role, count = 0] of Object.entries(config.pool.prewarm))
    pool.keepReady(role, count, () => standardNeed(config, role))
  const parts = { config, journal, drive, placement, pool, admission: new Admission(config.admission) }
  if (config.sessions !== undefined)
    return { ...parts, sessions: withDeadline(config.sessions, clock), ownSessions: undefined }
  const ownSessions = new StoreSessions(store)
  return { ...parts, sessions: ownSessions, ownSessions }
}

/** Attaching waits for a broker for ever; whoever creates a runner wants to know that there is none. */
async function soon<T>({ clock, partitionGraceMs }: Config, attach: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController()
  const timer = clock.timer(partitionGraceMs, () => late.abort())
  try {
    return await attach(late.signal)
  } catch (cause) {
    if (!late.signal.aborted || !(cause instanceof Error)) throw cause
    throw new GreenroomError('CONNECT_FAILED', `not attached for ${partitionGraceMs} ms: ${cause.message}`, { cause })
  } finally {
    timer.cancel()
  }
}

/** How long leaving may take when the broker, or a completion handler, does not answer. */
const leaveMs = 1_000

class LiveRunner implements Runner {
  readonly closed: Promise<void>
  readonly #around: Surroundings
  readonly #home: AsyncDisposableStack
  /** Until they are settled. */
  readonly #runs = new Set<Execution>()
  readonly #schedulers = new Set<RunScheduler>()
  #refusal: 'DRAINING' | 'CLOSED' | undefined
  #closing: Promise<void> | undefined
  readonly #closed = Promise.withResolvers<void>()
  #started = 0
  /** While there are runs. */
  #alive: Disposable | undefined

  constructor(around: Surroundings, home: AsyncDisposableStack) {
    this.#around = around
    this.#home = home
    this.closed = this.#closed.promise
    void around.drive.closed.then(({ code, message }) => {
      if (this.#closing !== undefined) return undefined
      around.config.logger.warn('the runner lost its place on the bus and closes', { code, message })
      return this.close()
    })
  }

  get roles(): readonly string[] {
    return [...this.#around.config.roles.keys()]
  }

  shouldHandle(spec: Pick<RunSpec, 'role'>): boolean {
    // A caller in JavaScript may pass anything, and is told so by the run's outcome.
    return this.#around.config.roles.has(spec?.role)
  }

  get sessions(): SessionStore {
    return this.#around.sessions
  }

  run(spec: TypedRunSpec<string, JsonValue | undefined>): Execution {
    return this.#start(spec)
  }

  scheduler(options: SchedulerOptions): Scheduler {
    checkScheduler(options)
    const { journal, sessions, config } = this.#around
    const { clock, random, logger } = config
    const start: SchedulerParts['start'] = (spec, duty) => this.#start(spec, duty)
    const parts = { start, journal, sessions, clock, random, logger }
    const scheduler: RunScheduler = new RunScheduler(parts, options, () => this.#schedulers.delete(scheduler))
    this.#schedulers.add(scheduler)
    return scheduler
  }

  #start(spec: TypedRunSpec<string, JsonValue | undefined>, duty?: Duty): Execution {
    const refusal = this.#refusal === undefined ? undefined : new GreenroomError(this.#refusal)
    const run = new Execution(this.#around, spec, { refusal, duty })
    this.#started += 1
    this.#runs.add(run)
    this.#alive ??= keepAlive()
    void run.settled.then(() => this.#forget(run))
    return run
  }

  stats(): RunnerStats {
    const { drive, placement, pool, admission } = this.#around
    const runs = [...this.#runs].map((run) => run.status()).filter(({ phase }) => phase !== 'ended')
    return {
      runs,
      started: this.#started,
      ended: this.#started - runs.length,
      processes: placement.processes,
      pool: pool.stats(),
      executing: admission.executing,
      queued: admission.waiting,
      strayMessages: drive.strayMessages,
    }
  }

  async drain({ graceMs }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#refusal ??= 'DRAINING'
    // Or a loop that nobody goes on with would keep the drain waiting for ever.
    for (const run of this.#runs) run.hurry()
    using _alive = keepAlive()
    if (graceMs === undefined) await this.#allSettled()
    else await this.#settledWithin(graceMs)
    this.#around.pool.close()
    await this.#around.placement.settled()
    await this.close()
  }

  /** Runs have the grace, and handlers that, or else a second after the last run. */
  async #settledWithin(graceMs: number): Promise<void> {
    const { clock } = this.#around.config
    const settled = this.#allSettled()
    const over = Promise.withResolvers<void>()
    const timers = [
      clock.timer(graceMs, () => {
        this.#cancelAll('the runner is draining')
        void this.#allEnded().then(() => timers.push(clock.timer(leaveMs, over.resolve)))
      }),
    ]
    await Promise.race([settled, over.promise])
    for (const timer of timers) timer.cancel()
  }

  close(): Promise<void> {
    this.#refusal = 'CLOSED'
    this.#closing ??= this.#close().finally(this.#closed.resolve)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain({ graceMs: this.#around.config.cancelGraceMs })
  }

  async #close(): Promise<void> {
    const { drive, placement, pool, config } = this.#around
    using _alive = keepAlive()
    this.#cancelAll('the runner was closed')
    pool.close()
    await placement.close()
    await this.#allEnded()
    const late = Promise.withResolvers<void>()
    const timer = config.clock.timer(leaveMs, late.resolve)
    await Promise.race([this.#allSettled().then(() => drive.drain()), late.promise])
    timer.cancel()
    for (const scheduler of this.#schedulers) scheduler.end()
    await this.#home.disposeAsync()
  }

  #cancelAll(reason: string): void {
    for (const run of this.#runs) void run.cancel(reason)
  }

  async #allEnded(): Promise<void> {
    await Promise.all([...this.#runs].map((run) => run.outcome))
  }

  /** Also what schedulers deliver from an earlier life. Their streams end. */
  async #allSettled(): Promise<void> {
    await Promise.all([...this.#runs].map((run) => run.settled))
    await Promise.all([...this.#schedulers].map((scheduler) => scheduler.drain()))
  }

  #forget(run: Execution): void {
    this.#runs.delete(run)
    if (this.#runs.size > 0) return
    this.#alive?.[Symbol.dispose]()
    this.#alive = undefined
  }
}
