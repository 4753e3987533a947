/**
 * Several runners behind one door.
 *
 * - *C1* A run goes to the first runner that says `shouldHandle`, and to no other.
 * - *C2* All that a runner can be told, every member is told: the compiler demands a decision here for whatever a runner
 *   learns to do, since a member that was left out would be left out silently. Schedulers, children and backups stay with
 *   the members: what those have to deliver is in their member's database, and a backup is one database's.
 */
import { codeOf, GreenroomError, type Outcome } from '@greenroom/proto'
import { CompositeApprovals } from './approval/index.ts'
import type { EndReason, PoolStats } from './pool/index.ts'
import type { Run, StartOptions, TypedRunSpec } from './run.ts'
import type { AnyRoleTypes, AnyRunner, Runner, RunnerStats } from './runner.ts'
import type { SessionStore } from './session-store.ts'

/** A runner, or several behind one door already, whatever the types of its roles. */
export interface ComposableRunner extends Omit<AnyRunner, 'scheduler' | 'children' | 'sessions' | 'backup'> {
  /** The transcripts, where it is one runner. */
  readonly sessions?: SessionStore
  /** The transcripts by role, where it is several. */
  sessionsOf?(role: string): SessionStore | undefined
}

/** The roles of all members: for one that several have, the first decides. */
export type ComposedRoles<Members extends readonly ComposableRunner[]> = Members extends readonly [
  infer First extends ComposableRunner,
  ...infer Others extends readonly ComposableRunner[],
]
  ? NonNullable<First['~roles']> & Omit<ComposedRoles<Others>, keyof NonNullable<First['~roles']>>
  : Readonly<Record<never, never>>

/** Several runners behind one door. Leaving its `await using` block disposes of each of them. */
export interface CompositeRunner<Types extends AnyRoleTypes = AnyRoleTypes> extends Omit<
  Runner,
  'run' | 'start' | 'scheduler' | 'children' | 'sessions' | 'backup' | '~roles'
> {
  /**
   * Starts a run with the first member that handles it. Never throws; see {@link Runner.run}. The outcome of a role that
   * none has is `UNKNOWN_ROLE`, naming those that there are; the first member keeps the record of it.
   */
  run<Role extends keyof Types & string>(spec: TypedRunSpec<Role, Types[Role]['input']>): Run<Types[Role]['output']>
  /** Starts a run and waits until that is recorded; see {@link Runner.start}. A key is one member's. */
  start<Role extends keyof Types & string>(
    spec: TypedRunSpec<Role, Types[Role]['input']>,
    options?: StartOptions,
  ): Promise<Run<Types[Role]['output']>>
  /**
   * The transcripts of the member that handles a role. A session is one member's: the same name at another member is
   * another session.
   *
   * @param role - one of its roles; undefined is the answer for any other
   */
  sessionsOf(role: keyof Types & string): SessionStore | undefined
  /** Never there: carries the types of its roles. */
  readonly '~roles'?: Types
}

/**
 * Puts several runners behind one door: each with a worker file, a data folder and options of its own. What the door is
 * told (`drain`, `close`), each of them is told; what it tells is all of theirs together.
 *
 * @param runners - at least one; for a role that several have, the first is asked
 * @throws GreenroomError `BAD_OPTIONS`
 *
 * @example
 * ```ts
 * import { composeRunners, createRunner } from '@greenroom/runner'
 *
 * await using runner = composeRunners(
 *   await createRunner({
 *     worker: new URL('./reviewer.ts', import.meta.url),
 *     roles: { reviewer: { executor: 'review' } },
 *     dataDir: '.greenroom/reviews',
 *   }),
 *   await createRunner({
 *     worker: new URL('./tester.ts', import.meta.url),
 *     roles: { tester: { executor: 'test' } },
 *     dataDir: '.greenroom/tests',
 *   }),
 * )
 * console.log((await runner.run({ role: 'tester', task: 'Run the tests' }).outcome).status)
 * ```
 */
export function composeRunners<const Members extends readonly [ComposableRunner, ...ComposableRunner[]]>(
  ...runners: Members
): CompositeRunner<ComposedRoles<Members>>
export function composeRunners(...runners: readonly ComposableRunner[]): CompositeRunner {
  const [first] = runners
  if (first === undefined) throw new GreenroomError('BAD_OPTIONS', 'runners must be one at least')
  const roles = (): readonly string[] => [...new Set(runners.flatMap((runner) => runner.roles))]
  const memberOf = (spec: { readonly role: string }): ComposableRunner | undefined =>
    runners.find((runner) => runner.shouldHandle(spec))
  const closed = Promise.all(runners.map((runner) => runner.closed)).then(() => undefined)
  return {
    run(spec) {
      const member = memberOf(spec)
      if (member !== undefined) return member.run(spec)
      const run = first.run(spec)
      return explained(run, `no role "${run.status().role}"; there are: ${roles().join(', ')}`)
    },
    start: (spec, options) => (memberOf(spec) ?? first).start(spec, options),
    async attach(runId, options) {
      for (const runner of runners) {
        try {
          return await runner.attach(runId, options)
        } catch (error) {
          // One that is closed must not hide what others have.
          if (codeOf(error) !== 'UNKNOWN_RUN' && codeOf(error) !== 'CLOSED') throw error
        }
      }
      throw new GreenroomError('UNKNOWN_RUN', `no run ${runId}`)
    },
    resume: async () => (await Promise.all(runners.map((runner) => runner.resume()))).flat(),
    get roles() {
      return roles()
    },
    shouldHandle: (spec) => memberOf(spec) !== undefined,
    sessionsOf(role) {
      const member = memberOf({ role })
      return member?.sessions ?? member?.sessionsOf?.(role)
    },
    approvals: new CompositeApprovals(runners.map(({ approvals }) => approvals)),
    stats: () => merged(runners.map((runner) => runner.stats())),
    drain: (options) => all(runners.map((runner) => runner.drain(options))),
    close: () => all(runners.map((runner) => runner.close())),
    closed,
    [Symbol.asyncDispose]: () => all(runners.map((runner) => runner[Symbol.asyncDispose]())),
  }
}

/** Waits for each, whatever becomes of the others. */
async function all(endings: readonly PromiseLike<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(endings)).find((ending) => ending.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

function merged(stats: readonly RunnerStats[]): RunnerStats {
  const sum = (count: (one: RunnerStats) => number): number => stats.reduce((total, one) => total + count(one), 0)
  return {
    runs: stats.flatMap(({ runs }) => runs),
    started: sum(({ started }) => started),
    ended: sum(({ ended }) => ended),
    processes: sum(({ processes }) => processes),
    pool: mergedPools(stats.map(({ pool }) => pool)),
    executing: sum(({ executing }) => executing),
    queued: sum(({ queued }) => queued),
    strayMessages: sum(({ strayMessages }) => strayMessages),
  }
}

function mergedPools(pools: readonly PoolStats[]): PoolStats {
  const sum = (count: (one: PoolStats) => number): number => pools.reduce((total, one) => total + count(one), 0)
  const ended = (why: EndReason): number => sum((one) => one.ended[why])
  return {
    idle: sum((one) => one.idle),
    busy: sum((one) => one.busy),
    hits: sum((one) => one.hits),
    misses: {
      first: sum(({ misses }) => misses.first),
      busy: sum(({ misses }) => misses.busy),
      differs: sum(({ misses }) => misses.differs),
    },
    ended: {
      idle: ended('idle'),
      age: ended('age'),
      uses: ended('uses'),
      full: ended('full'),
      evicted: ended('evicted'),
      untrusted: ended('untrusted'),
      closed: ended('closed'),
      gone: ended('gone'),
    },
  }
}

/** A run of a role that nobody has: its member knows only its own. */
function explained(run: Run<unknown>, message: string): Run<unknown> {
  const explain = (outcome: Outcome<unknown>): Outcome<unknown> =>
    outcome.status === 'failed' && outcome.code === 'UNKNOWN_ROLE' ? { ...outcome, message } : outcome
  return {
    id: run.id,
    outcome: run.outcome.then(explain),
    send: (text, options) => run.send(text, options),
    ask: (question, options) => run.ask(question, options),
    cancel: async (reason) => explain(await run.cancel(reason)),
    status: () => run.status(),
    workerLog: () => run.workerLog(),
    [Symbol.asyncIterator]: () => run[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: () => run[Symbol.asyncDispose](),
  }
}
