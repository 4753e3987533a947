/**
 * A schedule: broker, runner and workers, all real, in one process, under one manual clock, with everything that goes
 * wrong drawn from a seed.
 *
 * ```text
 * runner ── its bus client ──┐              ┌── core, sessions ── disk
 * workers ── their clients ──┴── network ───┘                       runner's journal ── disk
 * ```
 */
import { connectBus } from '@greenroom/bus'
import { createManualClock, observeBus, type ManualClock } from '@greenroom/bus/testing'
import { createWiredBroker } from '@greenroom/broker/testing'
import { brokerSchema } from '@greenroom/broker'
import type { Bus, Outcome } from '@greenroom/proto'
import { createRunner, type LaunchSpec, type Launched, type Roles, type Runner } from '@greenroom/runner'
import type { Store } from '@greenroom/store'
import type { Executors } from '@greenroom/worker'
import { createInProcessLauncher, ProcessClock, type InProcessWorker } from '@greenroom/worker/testing'
import { Chance } from './chance.ts'
import { Checker } from './checker.ts'
import { Disk } from './disk.ts'
import { executorsOf } from './executors.ts'
import { Harm } from './harm.ts'
import { Journal } from './journal.ts'
import { LiveLane } from './live-lane.ts'
import type { Mutation } from './mutations.ts'
import { Network } from './network.ts'
import { drawFaultPlan, Seams } from './seams.ts'
import { Trace } from './trace.ts'
import { watchBus } from './watched-bus.ts'
import { drawWorkload, type Workload } from './workload.ts'

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
}

/** A runner with the executors of the simulator. */
export type SimulatedRunner = Runner<Executors, Roles<Executors>>
/** A scheduler of it. */
export type SimulatedScheduler = ReturnType<SimulatedRunner['scheduler']>

/** How to run a schedule. */
export interface WorldOptions {
  readonly mutation?: Mutation | undefined
  /** Gets each step. */
  readonly show?: ((line: string) => void) | undefined
}

/** See the file. */
export class World {
  readonly clock: ManualClock = createManualClock()
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
  readonly workers = new Map<string, InProcessWorker>()
  readonly journal: Journal
  readonly #clients: Chance
  readonly #mutation: Mutation | undefined
  #brokerClock: ProcessClock | undefined
  #runner: SimulatedRunner | undefined
  /** Spawns that are refused. */
  refusals = 0
  runnerAddress = ''
  /** The runner was away for too long, and closed. */
  isRunnerOver = false

  constructor(seed: number, { mutation, show }: WorldOptions = {}) {
    this.#mutation = mutation
    this.chance = new Chance(seed)
    this.#clients = this.chance.child()
    this.workload = drawWorkload(this.chance.child())
    this.trace = new Trace(() => this.clock.monotonic(), show)
    this.checker = new Checker(this.workload.jobs, this.trace)
    const plan = drawFaultPlan(this.chance)
    this.harm = new Harm(this, this.chance.child())
    this.seams = new Seams(plan, this.chance.child(), this.trace, () => this.harm.strike())
    const { clock } = this
    const pass = (site: string): void => this.seams.pass(site)
    this.network = new Network({ clock, chance: this.chance.child(), pass })
    this.brokerDisk = new Disk({ name: 'broker', clock, chance: this.chance.child(), pass })
    this.runnerDisk = new Disk({ name: 'runner', clock, chance: this.chance.child(), pass })
    this.live = new LiveLane(clock, pass)
    this.journal = new Journal(this.runnerDisk)
  }

  get runner(): SimulatedRunner {
    if (this.#runner === undefined) throw new Error('the runner is not there yet')
    return this.#runner
  }

  /** Starts the broker on what its disk holds. */
  async startBroker(): Promise<void> {
    const own = new ProcessClock(this.clock)
    this.#brokerClock = own
    const store = this.brokerDisk.open(brokerSchema)
    this.trace.add('broker starts')
    const broker = await createWiredBroker({
      store: this.#mutation?.store?.(store, 'broker') ?? store,
      clock: own,
      random: this.#clients.child().random,
      limits: { pingMs: 10_000 },
    })
    if (this.#brokerClock === own) this.network.up(broker)
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

  /** The broker is killed for good. */
  async startRunner(): Promise<void> {
    const { workload, clock } = this
    const { maxExecuting, maxProcesses, maxIdle } = workload
    const bus = observeBus(
      this.#client(() => this.runnerAddress || 'runner', 'runner'),
      {
        ...this.live.observer,
        onAttached: (peer) => (this.runnerAddress = peer.address),
      },
    )
    this.#runner = await createRunner<Executors, Roles<Executors>>({
      worker: { launch: (spec) => this.#launch(spec) },
      roles: {
        solo: { executor: 'solo' },
        shared: { executor: 'shared' },
        again: { executor: 'again', retry: { attempts: 3, backoffMs: 100 } },
      },
      bus,
      dataDir: null,
      openStore: (schema) => this.#tamper(this.journal.watch(this.runnerDisk.open(schema))),
      admission: { maxExecuting, maxProcesses },
      pool: { maxIdle },
      limits: { totalMs: 600_000, noProgressMs: 120_000 },
      logger: {
        warn: (message, fields) => this.trace.add(`warn ${message} ${JSON.stringify(fields ?? {})}`),
        output: (source, line) => this.trace.add(`[${source}] ${line}`),
      },
      clock,
      random: this.#clients.child().random,
    })
    void this.#runner.closed.then(() => {
      this.trace.add('the runner closed')
      this.isRunnerOver = true
      this.checker.gone(this.runnerAddress)
    })
  }

  #tamper(store: Store): Store {
    return this.#mutation?.store?.(store, 'runner') ?? store
  }

  /** A client of the broker, as whoever lives there. */
  #client(address: () => string, who: 'runner' | 'worker'): Bus {
    const { clock, network, checker, trace } = this
    const client = connectBus({
      url: 'ws://broker.simulated',
      token: 'simulated',
      clock,
      random: this.#clients.child().random,
      socket: (target, events) => network.socketOf(address())(target, events),
    })
    const watched = watchBus(client, checker, trace)
    return this.#mutation?.bus?.(watched, who) ?? watched
  }

  #launch(spec: LaunchSpec): Launched {
    const { clock, network, checker, workload } = this
    const { address } = spec
    const isOver = (): boolean => this.workers.get(address)?.state === 'ended'
    const launcher = createInProcessLauncher({
      bus: {
        client: () => this.#client(() => address, 'worker'),
        cut: () => network.cut(address),
        restore: () => network.restore(address),
      },
      executors: executorsOf(workload.jobs, checker, { address, isOver }),
      clock,
      observe: (worker) => {
        this.workers.set(address, worker)
        return { ...this.live.observer, onStep: (name) => this.seams.pass(`${address} ${name}`) }
      },
      refuse: () => this.#refusal(),
    })
    this.trace.add(`launch ${spec.role} ${address}`)
    const launched = launcher.launch(spec)
    void launched.exited.then(() => {
      network.restore(address)
      checker.gone(address)
    })
    return this.#mutation?.launched?.(launched) ?? launched
  }

  #refusal(): Error | undefined {
    if (this.refusals === 0) return undefined
    this.refusals -= 1
    return new Error('no worker can be started: injected fault')
  }

  /** Workers that have not ended. */
  get living(): InProcessWorker[] {
    return [...this.workers.values()].filter(({ state }) => state !== 'ended')
  }

  /** What the journal says of a run's end: distinct ones. */
  recorded(runId: string): readonly Outcome[] {
    return this.journal.outcomes(runId)
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
