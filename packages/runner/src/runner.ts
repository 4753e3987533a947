/** The runner: the single owner of its runs, its journal and the processes it starts. */
import { codeOf, GreenroomError, type BackupReceipt, type Children } from '@greenroom/proto'
import type { RunnerApprovals } from './approval/index.ts'
import { assemble } from './assembly.ts'
import { checkOptions, type Config } from './config.ts'
import { LiveRunner } from './live-runner.ts'
import type { InputOf, OutputOf } from './entry.ts'
import { openHome } from './home.ts'
import type { Roles, RunnerOptions } from './options.ts'
import { type PoolStats } from './pool/index.ts'
import { openApprovalsDoor } from './platform/approvals-door.ts'
import { keepAlive } from './platform/surroundings.ts'
import { type AnyScheduler, type Scheduler, type SchedulerOptions } from './scheduler.ts'
import type { AttachOptions, Run, RunSpec, RunStatus, StartOptions, TypedRunSpec } from './run.ts'
import { Retention } from './retention.ts'
import type { SessionStore } from './session-store.ts'
import { fromStore } from './store-error.ts'

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
  /** Messages that belonged to no attempt in progress (late, fenced or foreign), and answers that nobody waited for any more. */
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
   * `WORKER_LOST`, `STORAGE_FULL`, `CLOSED`, `DRAINING`, `LIMIT_…`, those of a refused assignment (`UNKNOWN_EXECUTOR`, `INPUT_INVALID`, …), and
   * the executor's own.
   */
  run<Role extends keyof R & string>(
    spec: TypedRunSpec<Role, InputOf<Executors[R[Role]['executor']]>>,
  ): Run<OutputOf<Executors[R[Role]['executor']]>>
  /**
   * Starts a run and waits until that is recorded: from then on no crash loses it (see `resume`), and a disk that fails or
   * is full only holds it up, for as long as its total limit says. One that could not even be planned has ended; its
   * outcome says why, and its key is free again.
   *
   * @param spec - as for `run`
   * @param options - see {@link StartOptions}
   * @throws GreenroomError `STORAGE_FULL` when there is no room for it: nothing of it is stored; `ID_CONFLICT`, `BAD_OPTIONS`,
   * `INPUT_INVALID` or `SPEC_TOO_LARGE` (with a key), `OUTCOME_UNKNOWN` when neither it nor its end could be recorded;
   * `DRAINING`, `CLOSED`
   */
  start<Role extends keyof R & string>(
    spec: TypedRunSpec<Role, InputOf<Executors[R[Role]['executor']]>>,
    options?: StartOptions,
  ): Promise<Run<OutputOf<Executors[R[Role]['executor']]>>>
  /**
   * A run by its id, of this life of the runner or an earlier one: its entries from the first one on, then what follows,
   * and its outcome. One that an earlier life left open goes on, as by `resume`.
   *
   * @param runId - its id
   * @param options - see {@link AttachOptions}
   * @throws GreenroomError `UNKNOWN_RUN`, `BAD_OPTIONS`, `DRAINING`, `CLOSED`
   */
  attach(runId: string, options?: AttachOptions): Promise<Run>
  /**
   * Goes on with every run that an earlier life of the runner left open. What had not begun is begun; what had ended has
   * its outcome; of what was in a worker's hands and left no word the outcome is `OUTCOME_UNKNOWN`, unless its role, or
   * its executor, is `idempotent`. Schedulers do it for their own jobs. Runs that were open in a backup that the data folder was restored from
   * are never done again: without a last word on the bus their outcome is `OUTCOME_UNKNOWN`, whatever anybody says of them.
   *
   * @throws GreenroomError `DRAINING`, `CLOSED`
   */
  resume(): Promise<readonly Run[]>
  /**
   * Runs a parent's children in the background, each with one outcome record and one delivery.
   *
   * @param options - see {@link SchedulerOptions}
   * @throws GreenroomError `BAD_OPTIONS` naming the field
   */
  scheduler(options: SchedulerOptions): Scheduler<Executors, R>
  /**
   * Starts, awaits, steers and ends runs as an executor does with its children. A run that it started and that is kept in
   * `dataDir` is found again by its key in another life of the runner.
   */
  readonly children: Children
  /** The names of its roles. */
  readonly roles: readonly string[]
  /** Whether this is a run for it: the role is one of its own. `composeRunners` goes by it. */
  shouldHandle(spec: Pick<RunSpec, 'role'>): boolean
  /** The transcripts. */
  readonly sessions: SessionStore
  /** What its runs ask for, and answers to it. */
  readonly approvals: RunnerApprovals
  /** What it is doing now, and how much it did. */
  stats(): RunnerStats
  /**
   * Writes a backup of its database while it works: one moment of its journal, its transcripts and, with the embedded
   * broker, all messages. `greenroom restore` makes a data folder of it; what a runner makes of that is told at `resume`.
   *
   * @param path - the file, outside of the data folder; an older backup there is replaced once the new one is whole
   * @returns where it is, and how large
   * @throws GreenroomError `BAD_OPTIONS` (a path inside the data folder, or of a file that is no backup), `STORE_DAMAGED`, `IO_FAILED`,
   * `MISSING_FEATURE` with `dataDir: null`, `CLOSED`
   */
  backup(path: string): Promise<BackupReceipt>
  /**
   * Takes no new runs, lets those in progress end, drains its schedulers, then closes. Readers do not hold runs back from then on: a reader
   * that stopped sees `skipped` in place of the deltas that it did not take in time.
   *
   * @param options - `graceMs`: how long runs may take before they are cancelled, or left if they are detached, and completion
   *   handlers before nobody waits for them (a second more at least, after the last run). = for ever
   * @throws GreenroomError `BAD_OPTIONS`
   */
  drain(options?: { readonly graceMs?: number }): Promise<void>
  /**
   * Cancels every run, ends every worker, closes. Detached runs go on: whoever waits for their outcome here is told `CLOSED`
   * with `mayStillRun`, and a later life has the outcome. Idempotent.
   */
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
export interface AnyRunner extends Omit<Runner, 'run' | 'start' | 'scheduler' | '~roles'> {
  /** Starts a run; see {@link Runner.run}. */
  run(spec: TypedRunSpec<string, unknown>): Run<unknown>
  /** Starts a run and waits until that is recorded; see {@link Runner.start}. */
  start(spec: TypedRunSpec<string, unknown>, options?: StartOptions): Promise<Run<unknown>>
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
 * `STORE_DAMAGED`, `STORAGE_FULL` and `COMMIT_UNKNOWN` when its first record cannot be written, `UNAUTHORIZED`,
 * `UNSUPPORTED_VERSION`; `CONNECT_FAILED` when the bus cannot be reached for `partitionGraceMs`; `MISSING_FEATURE` when a
 * role is detached and nothing can outlive the runner
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
  try {
    return await open(checkOptions(options))
  } catch (error) {
    throw withTodo(fromStore(error))
  }
}

/** The same error; of a folder that is in use, with what to do. */
function withTodo(error: unknown): unknown {
  if (codeOf(error) !== 'DATA_DIR_IN_USE' || !(error instanceof Error)) return error
  const message = `${error.message} Stop it, or give this runner another dataDir.`
  return new GreenroomError('DATA_DIR_IN_USE', message, { cause: error.cause })
}

async function open(config: Config): Promise<Runner> {
  using _alive = keepAlive()
  await using opening = new AsyncDisposableStack()
  const home = opening.use(await openHome(config))
  const around = await assemble(config, home)
  const { retentionMs, clock, logger } = config
  const warn = (error: unknown): void => logger.warn('old runs could not be forgotten', { error: String(error) })
  if (retentionMs !== null) opening.use(new Retention(around, clock, retentionMs, warn))
  const { dataDir } = config
  if (dataDir !== null && config.openStore === undefined) {
    try {
      opening.defer(await openApprovalsDoor(dataDir, around.arbiter))
    } catch (error) {
      // Whoever decides in the runner's own program does so without.
      logger.warn('approvals cannot be decided from the command line', { error: String(error) })
    }
  }
  return new LiveRunner(around, opening.move())
}
