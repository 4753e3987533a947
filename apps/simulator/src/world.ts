/**
 * A schedule: broker, runner and workers, all real, in one process, under one manual clock, with everything that goes
 * wrong drawn from a seed.
 *
 * ```text
 * program ── runner, life after life ─┐              ┌── core, sessions ── disk
 * workers ── their clients ───────────┴── network ───┘                       runner's journal ── disk
 * ```
 */
import { connectBus } from '@greenroom/bus'
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { createWiredBroker } from '@greenroom/broker/testing'
import { brokerSchema } from '@greenroom/broker'
import type { Bus, Clock, Outcome, Random } from '@greenroom/proto'
import { createMemorySessions } from '@greenroom/runner'
import type { LaunchSpec, Launched, RoleOptions, SessionStore } from '@greenroom/runner'
import { storeWith, type Operation, type Schema, type Store } from '@greenroom/store'
import { createInProcessLauncher, ProcessClock, type InProcessWorker } from '@greenroom/worker/testing'
import { Approvals } from './approvals.ts'
import { Chance } from './chance.ts'
import { BudgetRules } from './budget-rules.ts'
import { Checker, type CheckerParts } from './checker.ts'
import { Disk } from './disk.ts'
import { executorsOf, type Rules } from './executors.ts'
import { FamilyRules } from './family-rules.ts'
import { Harm } from './harm.ts'
import { isSuspension, Journal } from './journal.ts'
import { RunnerLife } from './life.ts'
import { Program } from './program.ts'
import { drawQuestions } from './questions.ts'
import { Queues } from './queues.ts'
import { LiveLane } from './live-lane.ts'
import type { Mutation, Who } from './mutations.ts'
import { Network } from './network.ts'
import { drawFaultPlan, Seams } from './seams.ts'
import { drawTalk } from './talk.ts'
import { TalkRules } from './talk-rules.ts'
import { Trace } from './trace.ts'
import { drawSpending } from './spending.ts'
import { drawTrees, isParent, spawnIn, unkeyed } from './trees.ts'
import { watchBus } from './watched-bus.ts'
import { drawManner, drawWorkload, plainManner, withParents, type Job, type Manner, type Workload } from './workload.ts'

/** What became of a schedule. */
export interface Report {
  readonly seed: number
  readonly violations: readonly string[]
  /** Of all steps: two runs of a seed have the same. */
  readonly digest: string
  readonly steps: number
  readonly runs: number
  readonly faults: readonly string[]
  /** How each run ended: the code of a failure, else the status. */
  readonly outcomes: readonly string[]
  /** The same of each child. */
  readonly children: readonly string[]
  /** What became of what runs asked for: who decided, and what. */
  readonly decisions: readonly string[]
}

/**
 * What may be drawn: a regression names the generation that it was found with, and so keeps its schedule when there is more
 * to draw. 1: one life of the runner; 2: the runner dies, too; 3: there are queues; 4: runs are detached, and harm aims at told
 * outcomes; 5: and at revocations; 6: runs ask for approvals; 7: and have children; 8: trees have budgets;
 * 9: runs are asked, and ancestors decide.
 */
export type Generation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9
/** What new seeds are drawn with. */
export const latest: Generation = 9

/** What all schedules of a series are to have. */
export type Aim = 'approvals' | 'children' | 'budgets' | 'talk'

/** How to run a schedule. */
export interface WorldOptions {
  readonly mutation?: Mutation | undefined
  /** = {@link latest} */
  readonly generation?: Generation | undefined
  /** What all schedules are to have. = nothing */
  readonly aim?: Aim | undefined
  /** Gets each step. */
  readonly show?: ((line: string) => void) | undefined
}

/** Another life of the runner begins so much later when it ended by itself, in milliseconds. */
const restartMs = 1_000

/** See the file. */
export class World {
  readonly clock: ManualClock = createManualClock()
  readonly generation: Generation
  readonly chance: Chance
  readonly trace: Trace
  readonly checker: Checker
  readonly network: Network
  readonly seams: Seams
  readonly brokerDisk: Disk
  readonly runnerDisk: Disk
  readonly live: LiveLane
  readonly harm: Harm
  readonly workload: Workload
  readonly manner: Manner
  readonly program: Program
  readonly queues: Queues | undefined
  /** When runs ask for some. */
  readonly approvals: Approvals | undefined
  /** When runs have children. */
  readonly family: FamilyRules | undefined
  /** When trees have budgets. */
  readonly budgets: BudgetRules | undefined
  /** When runs are asked. */
  readonly talk: TalkRules | undefined
  readonly workers = new Map<string, InProcessWorker>()
  readonly journal: Journal
  /** The runner's present life; undefined while there is none. */
  life: RunnerLife | undefined
  /** How many there were. */
  lives = 0
  /** When each began, in virtual milliseconds. */
  readonly begins: number[] = []
  readonly #clients: Chance
  readonly #asking: Chance
  readonly #mutation: Mutation | undefined
  #brokerClock: ProcessClock | undefined
  #isEnding = false
  readonly #detached = new Set<string>()
  readonly #sessions: SessionStore | undefined
  /** Spawns that are refused. */
  refusals = 0

  constructor(seed: number, { mutation, generation = latest, aim, show }: WorldOptions = {}) {
    this.#mutation = mutation
    this.generation = generation
    this.chance = new Chance(seed)
    this.#clients = this.chance.child()
    const workload = drawWorkload(this.chance.child())
    this.trace = new Trace(() => this.clock.monotonic(), show)
    const plan = drawFaultPlan(this.chance)
    this.harm = new Harm(this, this.chance.child())
    this.seams = new Seams(plan, this.chance.child(), this.trace, () => this.harm.strike())
    const { clock } = this
    const pass = (site: string): void => this.seams.pass(site)
    this.network = new Network({ clock, chance: this.chance.child(), pass })
    this.brokerDisk = new Disk({ name: 'broker', clock, chance: this.chance.child(), pass })
    this.runnerDisk = new Disk({ name: 'runner', clock, chance: this.chance.child(), pass })
    this.live = new LiveLane(clock, pass)
    this.journal = new Journal(this.runnerDisk, () => clock.monotonic())
    const [manners, program, queues] = [this.chance.child(), this.chance.child(), this.chance.child()]
    const [questions, deciders] = [this.chance.child(), this.chance.child()]
    this.#asking = this.chance.child()
    const isOfTrees = aim === 'children' || aim === 'budgets' || aim === 'talk'
    const asking =
      generation < 6 ? undefined : drawQuestions(questions, workload, aim === 'approvals' || aim === 'talk')
    const trees = generation < 7 ? undefined : drawTrees(this.chance.child(), asking ?? workload, isOfTrees)
    const grown = trees ?? asking ?? workload
    const spending = generation < 8 ? undefined : drawSpending(this.chance.child(), grown, aim === 'budgets')
    const spent = spending ?? grown
    const how = { isAimed: aim === 'talk', isAsking: asking !== undefined }
    const talk = generation < 9 ? undefined : drawTalk(this.chance.child(), spent, how)
    this.workload = talk ?? spent
    const { jobs, children = [] } = this.workload
    const parents = new Set(jobs.filter(isParent).map(({ index }) => index))
    this.manner =
      generation === 1 ? plainManner(jobs) : withParents(drawManner(manners, jobs, generation >= 4), parents)
    const { sessionsMs } = this.manner
    this.#sessions = sessionsMs === undefined ? undefined : slowSessions(clock, sessionsMs)
    this.program = new Program(this, program)
    this.checker = new Checker([...jobs, ...children], this.trace, this.#known)
    this.family = trees === undefined ? undefined : this.#familyRules()
    this.budgets = spending === undefined ? undefined : this.#budgetRules()
    this.talk = talk === undefined ? undefined : this.#talkRules()
    this.queues = generation < 3 ? undefined : new Queues(this, queues)
    this.approvals = asking === undefined ? undefined : new Approvals(this, deciders)
  }

  /** All jobs, those of children too, by their index. */
  get jobs(): readonly Job[] {
    return [...this.workload.jobs, ...(this.workload.children ?? [])]
  }

  get #rules(): Rules {
    const { approvals, family, budgets, talk } = this
    return {
      approvals: approvals?.rules,
      family,
      budgets,
      talk,
      decideAs: approvals && ((...as) => approvals.as(...as)),
    }
  }

  get #known(): CheckerParts {
    return {
      runsOf: (job) => this.journal.runsOf(job),
      wasSuspended: (runId, epoch) => this.journal.wasSuspended(runId, epoch),
      isDetached: (address) => this.isDetached(address),
      isUnkeyed: unkeyed(this.jobs),
    }
  }

  #familyRules(): FamilyRules {
    const { checker, journal, jobs, workload } = this
    const isPresent = (address: string): boolean =>
      !this.isDetached(address) && this.life?.workers.some((worker) => worker.address === address) === true
    return new FamilyRules({ checker, journal, jobs, maxExecuting: workload.maxExecuting, isPresent })
  }

  #budgetRules(): BudgetRules {
    const { checker, journal, jobs } = this
    const given = new Map(jobs.map(({ index, budget }) => [index, budget]))
    for (const { children, budget } of jobs.flatMap(({ acts }) => acts.flatMap(spawnIn)))
      for (const child of children) given.set(child, budget)
    return new BudgetRules({ checker, journal, budgetOf: (job) => given.get(job) })
  }

  #talkRules(): TalkRules {
    const { checker, jobs, clock, harm } = this
    return new TalkRules({
      later: (ms, act) => void clock.timer(ms, act),
      hasEnded: (runId) => this.journal.outcomes(runId).length > 0,
      checker,
      jobs,
      now: () => clock.monotonic(),
      sleptMs: () => harm.sleptMs,
    })
  }

  // ─── the broker ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Starts the broker on what its disk holds. */
  async startBroker(): Promise<void> {
    const own = new ProcessClock(this.clock)
    this.#brokerClock = own
    const store = this.brokerDisk.open(brokerSchema)
    const { maxAttempts = 16, mailboxMessages = 100_000 } = { ...this.queues?.bounds, ...this.#mutation?.broker }
    this.trace.add('broker starts')
    const broker = await createWiredBroker({
      store: this.#mutation?.store?.(this.#aimed(store), 'broker', 1) ?? this.#aimed(store),
      clock: own,
      random: this.clientRandom(),
      maxAttempts,
      operatorToken: Queues.token,
      limits: { pingMs: 10_000, mailboxMessages },
    })
    if (this.#brokerClock === own) this.network.up(broker)
  }

  /** The broker's store, at whose revocations harm may aim. */
  #aimed(store: Store): Store {
    if (this.generation < 5) return store
    return storeWith(store, {
      commit: (batch, options) => {
        if (batch.some(withdraws)) this.harm.withdrawing()
        return store.commit(batch, options)
      },
    })
  }

  /** Kills the broker, and cuts the power of its disk. */
  killBroker(): void {
    this.trace.add('broker is killed')
    this.network.down()
    this.#brokerClock?.end()
    this.#brokerClock = undefined
    this.brokerDisk.cut()
  }

  get isBrokerUp(): boolean {
    return this.#brokerClock !== undefined
  }

  // ─── the runner ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Begins the runner's next life, when it has none. */
  startRunner(): void {
    if (this.life !== undefined || this.#isEnding) return
    this.lives += 1
    const life = new RunnerLife(this, this.lives)
    this.begins.push(life.beganAt)
    this.life = life
    this.trace.add(`life ${life.number} of the runner begins`)
    life.start().then(
      (runner) => {
        void runner.closed.then(() => this.#lifeOver(life, 'the runner closed'))
        void this.program.begin(life)
      },
      (error: unknown) => this.#lifeOver(life, `the runner did not come up: ${String(error)}`),
    )
  }

  #lifeOver(life: RunnerLife, why: string): void {
    if (life.isOver) return
    this.trace.add(why)
    life.end()
    this.life = undefined
    this.clock.timer(restartMs, () => this.startRunner())
  }

  /**
   * Kills the runner.
   *
   * @param how - see {@link RunnerLife.kill}
   * @param forMs - then its next life begins
   */
  killRunner(how: 'alone' | 'with workers', forMs: number): void {
    const { life } = this
    if (life === undefined) return
    this.trace.add(`life ${life.number} of the runner is killed ${how}`)
    life.kill(how)
    this.life = undefined
    this.clock.timer(forMs, () => this.startRunner())
  }

  /** Whether the schedule is to have one more life of the runner, after an orderly end. */
  get needsAnotherLife(): boolean {
    if (this.generation === 1) return false
    return this.manner.endsTwice || this.checker.hasUnrecorded || this.journal.unsettled().length > 0
  }

  /** Drains the runner, and begins its next life; says whether it came to its end. */
  async renewRunner(): Promise<boolean> {
    const isClosed = await this.#drainRunner()
    await this.until(() => this.life?.runner !== undefined, 60_000)
    return isClosed
  }

  /** Drains the runner for good; says whether that came to its end. */
  endRunner(): Promise<boolean> {
    this.#isEnding = true
    this.approvals?.leave()
    return this.#drainRunner()
  }

  #drainRunner(): Promise<boolean> {
    return this.done(async () => this.life?.runner?.drain())
  }

  /** Does something that takes virtual time; says whether it came to its end. */
  done(work: () => Promise<void>): Promise<boolean> {
    let isDone = false
    void work().then(() => (isDone = true))
    return this.until(() => isDone, 120_000)
  }

  /** Its roles. */
  get roles(): Readonly<Record<string, RoleOptions>> {
    return {
      solo: { executor: 'solo', ...this.#postureOf('solo') },
      shared: { executor: 'shared', ...this.#postureOf('shared') },
      again: {
        executor: 'again',
        ...this.#postureOf('again'),
        retry: { attempts: 3, backoffMs: 100 },
        ...(this.manner.declares ? { idempotent: true } : {}),
      },
      ...(this.family === undefined ? {} : { pliant: { executor: 'pliant' } }),
    }
  }

  #postureOf(role: Job['role']): Pick<RoleOptions, 'posture'> {
    return this.approvals === undefined ? {} : { posture: this.approvals.deciders.postures[role] }
  }

  /** Where it keeps transcripts, when that is not its database. */
  get ownSessions(): SessionStore | undefined {
    return this.#sessions
  }

  /** The runner's database, for one life. */
  openJournal(schema: Schema, life: number): Store {
    const store = this.journal.watch(this.#asked(this.runnerDisk.open(schema)))
    return this.#mutation?.store?.(store, 'runner', life) ?? store
  }

  /** The runner's store, at whose questions, decisions and suspensions harm may aim. */
  #asked(store: Store): Store {
    if (this.approvals === undefined && this.family === undefined) return store
    return storeWith(store, {
      commit: (batch, options) => {
        if (this.family !== undefined && batch.some(isSuspension)) this.harm.suspending()
        if (
          this.approvals !== undefined &&
          batch.some((one) => 'put' in one && (one.put === 'approval' || one.put === 'decision'))
        )
          this.harm.asking()
        return store.commit(batch, options)
      },
    })
  }

  /** What was recorded of a run's end: distinct ones. */
  recorded(runId: string): readonly Outcome[] {
    return this.journal.outcomes(runId)
  }

  // ─── clients and workers ───────────────────────────────────────────────────────────────────────────────────────

  /** Chance for one more part of the product. */
  clientRandom(): Random {
    return this.#clients.child().random
  }

  /** A client of the broker, as whoever lives there. */
  client(
    host: string,
    who: Who,
    { clock = this.clock, life = 1 }: { readonly clock?: Clock; readonly life?: number } = {},
  ): Bus {
    const { network, checker, trace } = this
    const client = connectBus({
      url: 'wss://broker.simulated',
      token: 'simulated',
      clock,
      random: this.clientRandom(),
      socket: network.socketOf(host),
    })
    const onFenced = (): void => {
      if (who === 'worker' || who === 'detached')
        this.clock.timer(1, () => checker.fenced(host, this.workers.get(host)?.state))
    }
    const watched = watchBus(client, checker, trace, onFenced)
    return this.#mutation?.bus?.(watched, who, life) ?? watched
  }

  /** Starts a worker. */
  launch(spec: LaunchSpec): Launched {
    const { clock, network, checker } = this
    const { address } = spec
    const isOver = (): boolean => this.workers.get(address)?.state === 'ended'
    const launcher = createInProcessLauncher({
      bus: {
        client: () => this.client(address, spec.output === undefined ? 'worker' : 'detached'),
        cut: () => network.cut(address),
        restore: () => network.restore(address),
      },
      executors: executorsOf(this.jobs, checker, { address, isOver }, this.#rules),
      clock,
      random: this.#asking.child().random,
      observe: (worker) => {
        this.workers.set(address, worker)
        return { ...this.live.observer, onStep: (name) => this.seams.pass(`${address} ${name}`) }
      },
      refuse: () => this.#refusal(),
    })
    this.trace.add(`launch ${spec.role} ${address}`)
    if (spec.output !== undefined) this.#detached.add(address)
    const launched = launcher.launch(spec)
    void launched.exited.then(({ code }) => {
      network.restore(address)
      checker.gone(address, code === 0 && this.isDetached(address))
    })
    return this.#mutation?.launched?.(launched) ?? launched
  }

  #refusal(): Error | undefined {
    if (this.refusals === 0) return undefined
    this.refusals -= 1
    return new Error('no worker can be started: injected fault')
  }

  /** Whether a worker outlives its runner. */
  isDetached(address: string): boolean {
    return this.#detached.has(address)
  }

  /** Those that do, and have not ended. */
  get detached(): InProcessWorker[] {
    return this.living.filter(({ address }) => this.isDetached(address))
  }

  /** Workers that have not ended. */
  get living(): InProcessWorker[] {
    return [...this.workers.values()].filter(({ state }) => state !== 'ended')
  }

  /**
   * Moves time on, from timer to timer, until something holds.
   *
   * @returns whether it does, within so many milliseconds
   */
  async until(isDone: () => boolean, withinMs: number): Promise<boolean> {
    const end = this.clock.monotonic() + withinMs
    for (;;) {
      await this.clock.settle()
      if (isDone()) return true
      this.harm.sleep()
      const next = this.clock.timers[0]
      if (next === undefined || this.clock.monotonic() + next.inMs > end) return false
      this.clock.jump(next.inMs)
    }
  }
}

/** Whether it takes an assignment back. */
function withdraws(operation: Operation): boolean {
  return 'put' in operation && operation.put === 'receipt' && operation.meta['state'] === 'withdrawn'
}

/** Transcripts somewhere else, which outlive the runner. */
function slowSessions(clock: Clock, ms: number): SessionStore {
  const sessions = createMemorySessions()
  return {
    ...sessions,
    append: async (id, entries) => {
      if (ms > 0) await new Promise<void>((resolve) => void clock.timer(ms, resolve))
      await sessions.append(id, entries)
    },
  }
}
