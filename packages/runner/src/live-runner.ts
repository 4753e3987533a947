/** The runner at work: owns its runs and schedulers, and ends them. */
import {
  codeOf,
  decodePayload,
  encodePayload,
  GreenroomError,
  isJson,
  type BackupReceipt,
  type Children,
  type JsonValue,
} from '@greenroom/proto'
import type { RunnerApprovals } from './approval/index.ts'
import { askBy } from './asking.ts'
import { closeToolServers } from './bridge/index.ts'
import { checkDrain, checkScheduler } from './config.ts'
import { checkId, checkNames } from './option-check.ts'
import type { Duty } from './duty.ts'
import type { ExecutionOptions, Family, Surroundings } from './execution-parts.ts'
import { Execution } from './execution.ts'
import type { Kin, OpenRun, StartKey } from './journal.ts'
import { digestOf } from './pool/fingerprint.ts'
import { keepAlive } from './platform/surroundings.ts'
import { pastRun, runFrom, type HeldRun } from './past-run.ts'
import { isScarce, makeRoom } from './room-maker.ts'
import { RunChildren } from './run-children.ts'
import { RunScheduler, type Scheduler, type SchedulerOptions, type SchedulerParts } from './scheduler.ts'
import type { AttachOptions, Run, RunSpec, StartOptions, TypedRunSpec } from './run.ts'
import type { SessionStore } from './session-store.ts'
import { StandIns } from './stand-in.ts'
import { fromStore, unlessDamaged, type OnDamaged } from './store-error.ts'
import type { Runner, RunnerStats } from './runner.ts'

/** How long leaving may take when the broker, or a completion handler, does not answer. */
const leaveMs = 1_000

/** See {@link Runner}. */
export class LiveRunner implements Runner {
  readonly closed: Promise<void>
  readonly #around: Surroundings
  readonly #home: AsyncDisposableStack
  /** Until they are settled. */
  readonly #runs = new Set<Execution>()
  readonly #schedulers = new Set<RunScheduler>()
  /** Resumed runs whose parent had no scheduler then, and that parent. */
  readonly #orphaned = new Map<Execution, string>()
  /** Starts by key that are not recorded yet. */
  readonly #starts = new Map<
    string,
    { readonly runId: string; readonly digest: string; readonly recorded: Promise<Run> }
  >()
  /** Runs that ended and could not be recorded: the journal has them as open, and only the next life goes on with them. */
  readonly #unrecorded = new Map<string, Execution>()
  #refusal: 'DRAINING' | 'CLOSED' | undefined
  #closing: Promise<void> | undefined
  readonly #closed = Promise.withResolvers<void>()
  #started = 0
  readonly #standIns: StandIns
  readonly #family: Family = {
    askStandIn: (...asked) => this.#standIns.ask(...asked),
    childrenOf: (lineage) => this.#childrenOf(lineage),
    endChildren: (parent, status) => {
      for (const run of this.#runs) if (run.path.at(-2) === parent) void run.cancel(`its parent ended as ${status}`)
    },
    makeRoom: (...wanted) => makeRoom([...this.#runs], ...wanted),
  }
  /** While there are runs. */
  #alive: Disposable | undefined

  constructor(around: Surroundings, home: AsyncDisposableStack) {
    this.#around = around
    this.#home = home
    this.closed = this.#closed.promise
    const { sessions, config, admission } = around
    admission.isScarce = () => isScarce([...this.#runs], config.admission.maxProcesses)
    const start = (spec: RunSpec, more: ExecutionOptions): Execution => this.#start(spec, more)
    this.#standIns = new StandIns({ start, sessions, freshKey: () => config.random.id() })
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

  get approvals(): RunnerApprovals {
    return this.#around.arbiter
  }

  #childrenOf(lineage: readonly string[]): RunChildren {
    const { config, journal } = this.#around
    return new RunChildren({
      lineage,
      freshKey: () => config.random.id(),
      start: (spec, start, kin) => {
        this.#checkOpen()
        if (!config.roles.has(spec.role))
          throw new GreenroomError('UNKNOWN_ROLE', `no role "${spec.role}"; there are: ${this.roles.join(', ')}`)
        return this.#startOnce(spec, start, kin.childKey, kin)
      },
      attach: (runId) => this.attach(runId),
      kinOf: (runId) => journal.run(runId)?.kin,
      listOf: (parent) => journal.children.of(parent),
    })
  }

  get children(): Children {
    return this.#childrenOf([])
  }

  run(spec: TypedRunSpec<string, JsonValue | undefined>): Execution {
    return this.#start(spec)
  }

  scheduler(options: SchedulerOptions): Scheduler {
    checkScheduler(options)
    const { journal, sessions, config } = this.#around
    const { clock, random, logger } = config
    const start: SchedulerParts['start'] = (spec, duty) => this.#start(spec, { duty })
    const resume: SchedulerParts['resume'] = (earlier, duty) => this.#resume(earlier, duty)
    const openRuns: SchedulerParts['openRuns'] = (parent) =>
      this.#openRuns().filter(({ record }) => record.parent === parent)
    const resumed: SchedulerParts['resumed'] = (parent) =>
      [...this.#orphaned].filter(([, of]) => of === parent).map(([run]) => run)
    const parts = { start, openRuns, resume, resumed, journal, sessions, clock, random, logger }
    const scheduler: RunScheduler = new RunScheduler(parts, options, () => this.#schedulers.delete(scheduler))
    this.#schedulers.add(scheduler)
    return scheduler
  }

  async start(spec: TypedRunSpec<string, JsonValue | undefined>, options: StartOptions = {}): Promise<Run> {
    this.#checkOpen()
    checkNames('options', options, { idempotencyKey: true })
    const { idempotencyKey } = options
    if (idempotencyKey === undefined) return durable(this.#start(spec))
    if (typeof idempotencyKey !== 'string' || idempotencyKey === '')
      throw new GreenroomError('BAD_OPTIONS', 'idempotencyKey must be a text')
    return this.#startOnce(spec, startKey(idempotencyKey, spec), idempotencyKey)
  }

  /** What was started by this key before is not started again. */
  async #startOnce(
    spec: TypedRunSpec<string, JsonValue | undefined>,
    start: StartKey,
    name: string,
    kin?: Kin,
  ): Promise<Run> {
    const starting = this.#starts.get(start.key)
    const known = starting ?? this.#around.journal.started(start.key)
    if (known === undefined) {
      const run = this.#start(spec, { start, kin })
      const recorded = durable(run).finally(() => this.#starts.delete(start.key))
      // Until then it is known here only.
      this.#starts.set(start.key, { runId: run.id, digest: start.digest, recorded })
      return recorded
    }
    if (known.digest !== start.digest)
      throw new GreenroomError('ID_CONFLICT', `"${name}" started another order: run ${known.runId}`)
    return starting?.recorded ?? this.attach(known.runId)
  }

  async attach(runId: string, options: AttachOptions = {}): Promise<HeldRun> {
    checkId('runId', runId)
    checkNames('options', options, { after: true })
    const { after } = options
    checkAfter(after)
    try {
      return await this.#find(runId, after)
    } catch (error) {
      throw fromStore(error)
    }
  }

  async #find(runId: string, after: AttachOptions['after']): Promise<HeldRun> {
    const { journal } = this.#around
    const live = [...this.#runs].find((run) => run.id === runId) ?? this.#unrecorded.get(runId)
    if (live !== undefined) return runFrom(live, () => live.read(after))
    if (this.#refusal === 'CLOSED') throw new GreenroomError('CLOSED')
    const record = journal.run(runId)
    const outcome = journal.outcome(runId)
    if (record !== undefined && outcome !== undefined) {
      const send = (text: string): Promise<void> => this.#say(record.session, text)
      const ask: Run['ask'] = (...asked) =>
        askBy(this.#around.config.clock, asked, (...one) => this.#standIns.ask(record, ...one))
      return Promise.resolve(pastRun(journal, record, outcome, { after, send, ask }))
    }
    const open = journal.openRun(runId)
    if (open === undefined) throw new GreenroomError('UNKNOWN_RUN', `no run ${runId}`)
    this.#checkOpen()
    const run = this.#resume(open)
    return runFrom(run, () => run.read(after))
  }

  async resume(): Promise<readonly Run[]> {
    this.#checkOpen()
    return Promise.resolve(this.#openRuns().map((run) => this.#resume(run)))
  }

  /** Adds a text to a session, after all that is there. */
  #say(session: string, text: string): Promise<void> {
    const { sessions, config } = this.#around
    const [runId, id] = [config.random.id(), config.random.id()]
    return sessions.append(session, [{ runId, epoch: 0, seq: 0, message: { id, role: 'user', content: text } }])
  }

  /** What an earlier life left open, and nobody goes on with yet. */
  #openRuns(): OpenRun[] {
    // Whoever drains begins nothing.
    if (this.#refusal !== undefined) return []
    const live = new Set([...[...this.#runs].map(({ id }) => id), ...this.#unrecorded.keys()])
    const { journal, config } = this.#around
    const setAside: OnDamaged = (runId, error) =>
      config.logger.warn('a run of an earlier life is damaged: it is not gone on with', { runId, error: String(error) })
    return journal.openRuns(setAside).filter(({ record }) => !live.has(record.runId))
  }

  /** Goes on with a run of an earlier life; its parent, if it has one, is told by its scheduler, now or later. */
  #resume(earlier: OpenRun, duty?: Duty): Execution {
    const { runId: _runId, startedAt, delayMs = 0, parent, kin, isStandIn = false, ...spec } = earlier.record
    const leftMs = Math.max(0, startedAt + delayMs - this.#around.config.clock.now())
    const told = duty ?? (parent === undefined ? undefined : this.#dutyTo(parent, earlier))
    const run = this.#start({ ...spec, delayMs: leftMs }, { earlier, duty: told, kin })
    if (kin !== undefined) this.#endOrphan(run, kin)
    if (isStandIn) void run.cancel('whoever asked is gone')
    if (duty === undefined && parent !== undefined) this.#orphaned.set(run, parent)
    return run
  }

  /** Its parent may have ended in an earlier life, and could not take it with it any more. */
  #endOrphan(run: Execution, { lineage }: Kin): void {
    const [ended] = unlessDamaged(
      lineage.at(-1) ?? '',
      () => [this.#around.journal.outcome(lineage.at(-1) ?? '') ?? []].flat(),
      () => undefined,
    )
    if (ended !== undefined && ended.status !== 'completed') void run.cancel(`its parent ended as ${ended.status}`)
  }

  #dutyTo(parent: string, { record }: OpenRun): Duty {
    const { journal, config } = this.#around
    const child = { runId: record.runId, session: record.session, role: record.role }
    return {
      parent,
      exempt: true,
      admitted: () => undefined,
      skip: () => Promise.resolve(undefined),
      operations: () => [journal.completions.note(parent, child, config.clock.now())],
      deliver: async (_runId, outcome) => {
        const scheduler = [...this.#schedulers].find((one) => one.parent === parent)
        await scheduler?.deliver({ ...child, parent, outcome })
      },
    }
  }

  #checkOpen(): void {
    if (this.#refusal !== undefined) throw new GreenroomError(this.#refusal)
  }

  #start(spec: TypedRunSpec<string, JsonValue | undefined>, more: ExecutionOptions = {}): Execution {
    const refusal = this.#refusal === undefined ? undefined : new GreenroomError(this.#refusal)
    const run = new Execution(this.#around, spec, { ...more, refusal, family: this.#family })
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

  async drain(options: { readonly graceMs?: number } = {}): Promise<void> {
    checkDrain(options)
    const { graceMs } = options
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
    const { drive, placement, places, pool, config, arbiter } = this.#around
    using _alive = keepAlive()
    this.#cancelAll('the runner was closed')
    pool.close()
    places.refuse()
    await placement.close()
    await this.#allEnded()
    const late = Promise.withResolvers<void>()
    const timer = config.clock.timer(leaveMs, late.resolve)
    const settled = this.#allSettled().then(() => Promise.all([drive.drain(), places.drain()]))
    await Promise.all([Promise.race([settled, late.promise]), closeToolServers(config.bridge, config.clock)])
    timer.cancel()
    await places.close()
    arbiter.close()
    for (const scheduler of this.#schedulers) scheduler.end()
    await this.#home.disposeAsync()
  }

  backup(path: string): Promise<BackupReceipt> {
    return this.#around.backUp(path)
  }

  /** Ends all that is in progress, but for detached runs, which go on without it. */
  #cancelAll(reason: string): void {
    for (const run of this.#runs) if (!run.leave()) void run.cancel(reason)
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
    this.#orphaned.delete(run)
    // For its ancestors nobody may get on any more.
    if (run.path.at(-2) !== undefined) this.#around.places.noteRoom()
    if (run.journal.isOpen) this.#unrecorded.set(run.id, run)
    if (this.#runs.size > 0) return
    this.#alive?.[Symbol.dispose]()
    this.#alive = undefined
  }
}

/** A run, once it is recorded. */
async function durable(run: Execution): Promise<Run> {
  await run.journal.durable
  return run
}

/** Keys may be anything; the journal's are short and plain. */
function startKey(key: string, spec: RunSpec): StartKey {
  const { signal: _signal, ...order } = isObject(spec) ? spec : {}
  return { key: digestOf(key, startDomain), digest: digestOf(plainOf(order), startDomain) }
}

/** @throws GreenroomError `INPUT_INVALID`, `SPEC_TOO_LARGE` */
function plainOf(order: object): JsonValue {
  try {
    const plain: unknown = decodePayload(encodePayload(order))
    return isJson(plain) ? plain : null
  } catch (cause) {
    const code = codeOf(cause) === 'FRAME_TOO_LARGE' ? 'SPEC_TOO_LARGE' : 'INPUT_INVALID'
    throw new GreenroomError(code, cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function isObject(value: unknown): value is RunSpec {
  return typeof value === 'object' && value !== null
}

const startDomain = 'greenroom start'

function checkAfter(after: AttachOptions['after']): void {
  const isPlace = (value: unknown): boolean => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
  if (after === undefined || (isPlace(after?.epoch) && isPlace(after?.seq) && after.epoch > 0)) return
  throw new GreenroomError('BAD_OPTIONS', 'after must be an event, or its epoch and seq')
}
