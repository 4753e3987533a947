/**
 * One life of the runner: a process of its own in all but name, from its start until it leaves or is killed.
 *
 * Once it is killed nothing of it is seen any more: its timers never fire, its connection is gone, what waits for its disk
 * waits for ever. What it still computes in this turn, as a promise that was settled before, changes nothing outside.
 */
import { observeBus } from '@greenroom/bus/testing'
import {
  createRunner,
  type LaunchSpec,
  type Launched,
  type Roles,
  type Runner,
  type RunnerOptions,
  type SessionStore,
} from '@greenroom/runner'
import { storeWith, type Store } from '@greenroom/store'
import type { Executors } from '@greenroom/worker'
import { ProcessClock, type InProcessWorker } from '@greenroom/worker/testing'
import { detachedDir } from './detached-dir.ts'
import type { World } from './world.ts'

/** A runner with the executors of the simulator. */
export type SimulatedRunner = Runner<Executors, Roles<Executors>>
/** A scheduler of it. */
export type SimulatedScheduler = ReturnType<SimulatedRunner['scheduler']>

/** See the file. */
export class RunnerLife {
  /** 1, 2, … */
  readonly number: number
  /** As the network knows its process. */
  readonly host: string
  /** When it began, in virtual milliseconds. */
  readonly beganAt: number
  /** Those that it started. */
  readonly workers: InProcessWorker[] = []
  readonly #world: World
  readonly #clock: ProcessClock
  #runner: SimulatedRunner | undefined
  #isOver = false

  constructor(world: World, number: number) {
    this.#world = world
    this.number = number
    this.host = `runner-${number}`
    this.beganAt = world.clock.monotonic()
    this.#clock = new ProcessClock(world.clock)
  }

  /** It was killed, or has ended by itself. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Undefined as long as it starts. */
  get runner(): SimulatedRunner | undefined {
    return this.#runner
  }

  /** Starts; never settles when it is killed before. */
  async start(): Promise<SimulatedRunner> {
    const { workload, live, checker, trace } = this.#world
    const { maxExecuting, maxProcesses, maxIdle } = workload
    const bus = observeBus(
      this.#world.client(this.host, 'runner', { clock: this.#clock, life: this.number }),
      live.observer,
    )
    const runner = await createRunner<Executors, Roles<Executors>>({
      worker: {
        canDetach: true,
        launch: (spec) => this.#launch(spec),
        hasEnded: (address) => (this.#world.workers.get(address)?.state ?? 'ended') === 'ended',
      },
      roles: this.#world.roles,
      bus,
      dataDir: this.#world.generation < 4 ? null : detachedDir,
      openStore: (schema) => this.#mortal(this.#world.openJournal(schema, this.number)),
      ...this.#sessions(),
      admission: { maxExecuting, maxProcesses },
      pool: { maxIdle },
      ...this.#approvals(),
      limits: { totalMs: 600_000, noProgressMs: 120_000 },
      logger: {
        warn: (message, fields) => {
          if (this.#isOver) return
          trace.add(`warn ${message} ${JSON.stringify(fields ?? {})}`)
          if (message === 'the outcome of a run could not be recorded') checker.unrecorded(String(fields?.['runId']))
        },
        output: (source, line) => this.#isOver || trace.add(`[${source}] ${line}`),
      },
      clock: this.#clock,
      random: this.#world.clientRandom(),
    })
    this.#runner = runner
    return runner
  }

  #approvals(): Pick<RunnerOptions, 'approvals'> {
    const { approvals } = this.#world
    return approvals === undefined ? {} : { approvals: approvals.options(this) }
  }

  /** What it would still say when it is dead, nobody hears. */
  #sessions(): Pick<RunnerOptions, 'sessions'> {
    const sessions = this.#world.ownSessions
    if (sessions === undefined) return {}
    const append: SessionStore['append'] = (id, entries) =>
      this.#isOver ? new Promise(() => undefined) : sessions.append(id, entries)
    return { sessions: { ...sessions, append } }
  }

  /** It has ended by itself, or never came up. */
  end(): void {
    this.#isOver = true
    this.#clock.end()
  }

  /**
   * Kills it.
   *
   * @param how - `alone`: its workers lose their lifeline; `with workers`: they die with it
   */
  kill(how: 'alone' | 'with workers'): void {
    const { network, runnerDisk } = this.#world
    this.end()
    network.die(this.host)
    runnerDisk.cut()
    for (const worker of this.workers.filter(({ state }) => state !== 'ended')) {
      if (how === 'with workers') worker.kill()
      else if (!this.#world.isDetached(worker.address)) worker.orphan()
    }
  }

  #launch(spec: LaunchSpec): Launched {
    const launched = this.#isOver ? undefined : this.#world.launch(spec)
    if (launched === undefined) throw new Error('this process is dead')
    const worker = this.#world.workers.get(spec.address)
    if (worker !== undefined) this.workers.push(worker)
    const exited = Promise.withResolvers<Awaited<Launched['exited']>>()
    void launched.exited.then((exit) => this.#isOver || exited.resolve(exit))
    return {
      stdin: launched.stdin,
      stderr: launched.stderr,
      exited: exited.promise,
      kill: (signal) => {
        if (!this.#isOver) launched.kill(signal)
      },
    }
  }

  /** The store as this life has it: when that is over, it says nothing and does nothing. */
  #mortal(store: Store): Store {
    const isOver = (): boolean => this.#isOver
    return {
      ...storeWith(store, {
        commit: (batch, options) => (isOver() ? new Promise(() => undefined) : store.commit(batch, options)),
        get: (collection, key) => (isOver() ? undefined : store.get(collection, key)),
      }),
      scan: (collection, range) => (isOver() ? [] : store.scan(collection, range)),
      keys: (collection, range) => (isOver() ? [] : store.keys(collection, range)),
      count: (collection, range) => (isOver() ? 0 : store.count(collection, range)),
    }
  }
}
