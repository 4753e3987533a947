/** One schedule from its start to its last check. */
import type { Outcome, ReadEvent } from '@greenroom/proto'
import type { Run } from '@greenroom/runner'
import type { Job } from './workload.ts'
import { World, type Report, type SimulatedScheduler, type WorldOptions } from './world.ts'

/** Faults stop after this, in virtual milliseconds. */
const harmMs = 90_000
/** All is over after this, in virtual milliseconds: the longest limit is `totalMs`. */
const boundMs = 1_800_000

/** A job that was started. */
interface Started {
  readonly job: Job
  run: Run | undefined
  read: ReadEvent[] | undefined
  isRead: boolean
}

/**
 * Runs the schedule of a seed.
 *
 * @param seed - decides everything
 */
export async function runSchedule(seed: number, options: WorldOptions = {}): Promise<Report> {
  const world = new World(seed, options)
  const schedule = new Schedule(world)
  await schedule.play()
  const { checker, trace, harm, workload } = world
  return {
    seed,
    violations: checker.violations,
    digest: trace.digest(),
    steps: trace.steps,
    runs: workload.jobs.length,
    faults: harm.happened,
    outcomes: workload.jobs.map(({ index }) => wordOf(checker.outcomeOf(index))),
  }
}

function wordOf(outcome: Outcome | undefined): string {
  if (outcome?.status === 'failed') return outcome.code
  return outcome?.status ?? 'none'
}

class Schedule {
  readonly #world: World
  readonly #started: Started[] = []
  #scheduler: SimulatedScheduler | undefined

  constructor(world: World) {
    this.#world = world
  }

  async play(): Promise<void> {
    const { clock, seams, workload, checker, harm, runnerDisk } = this.#world
    await this.#world.startBroker()
    let isReady = false
    void this.#world.startRunner().then(() => (isReady = true))
    await this.#world.until(() => isReady, 1_000)
    this.#scheduler = this.#world.runner.scheduler({
      parent: 'parent',
      onCompletion: ({ runId, outcome }) => checker.completed(runId, outcome),
    })
    void this.#drainStream(this.#scheduler)
    seams.open()
    for (const job of workload.jobs) clock.timer(job.atMs, () => void this.#start(job))
    await this.#world.until(() => this.#isOver, harmMs)
    seams.close()
    await harm.end()
    if (!(await this.#world.until(() => this.#isOver, boundMs))) checker.violate('I7', this.#whatHangs())
    // What is late still arrives.
    await this.#world.until(() => false, 60_000)
    if (runnerDisk.store !== undefined) this.#checkRuns()
    checker.finishMessages()
    await this.#close()
  }

  get #isOver(): boolean {
    const { workload, checker, runner } = this.#world
    const isAllStarted = this.#started.length === workload.jobs.length
    const areOut = this.#started.every(
      ({ job, run }) => checker.outcomeOf(job.index) !== undefined || (run === undefined && this.#world.isRunnerOver),
    )
    return (
      isAllStarted &&
      areOut &&
      this.#started.every(({ run, read, isRead }) => run === undefined || read === undefined || isRead) &&
      runner.stats().runs.length === 0
    )
  }

  #whatHangs(): string {
    const { runner } = this.#world
    const reading = this.#started
      .filter(({ read, isRead }) => read !== undefined && !isRead)
      .map(({ job }) => job.index)
    const runs = runner.stats().runs.map(({ runId, phase, attempts }) => `${runId} ${phase} attempt ${attempts}`)
    return `it hangs: ${runs.join(', ')}; readers of ${reading.join(', ')}`
  }

  async #start(job: Job): Promise<void> {
    const { runner, checker, trace, clock } = this.#world
    trace.add(`start ${job.index} ${job.role} ${job.acts.map((act) => JSON.stringify(act)).join(' ')}`)
    const started: Started = { job, run: undefined, read: job.reader === 'none' ? undefined : [], isRead: false }
    this.#started.push(started)
    const spec = { role: job.role, task: `job ${job.index}`, input: job.index }
    const run = job.scheduled ? await this.#enqueue(spec) : runner.run(spec)
    if (run === undefined) return
    started.run = run
    checker.asked(job.index, run.id)
    void run.outcome.then((outcome) => checker.outcome(job.index, outcome))
    if (started.read !== undefined) void this.#read(started, run, started.read)
    if (job.cancelAtMs !== undefined) clock.timer(job.cancelAtMs - job.atMs, () => void run.cancel('as the job says'))
    if (job.steerAtMs !== undefined)
      clock.timer(
        job.steerAtMs - job.atMs,
        () => void run.send('a text').catch((error: unknown) => trace.add(`send: ${String(error)}`)),
      )
  }

  /** A scheduler whose runner has closed takes nothing. */
  async #enqueue(spec: Parameters<SimulatedScheduler['enqueue']>[0]): Promise<Run | undefined> {
    try {
      return await this.#scheduler?.enqueue(spec)
    } catch (error) {
      this.#world.trace.add(`enqueue: ${String(error)}`)
      return undefined
    }
  }

  async #read(started: Started, run: Run, read: ReadEvent[]): Promise<void> {
    const { clock } = this.#world
    const { reader, readMs } = started.job
    for await (const event of run) {
      read.push(event)
      if (reader === 'leaves' && read.length === 3) break
      if (readMs > 0) await new Promise<void>((resolve) => void clock.timer(readMs, resolve))
    }
    started.isRead = true
  }

  async #drainStream(scheduler: SimulatedScheduler): Promise<void> {
    for await (const { type } of scheduler) this.#world.trace.add(type)
  }

  #checkRuns(): void {
    const { checker, journal } = this.#world
    for (const { job, run, read } of this.#started) {
      if (run === undefined) {
        if (!this.#world.isRunnerOver) checker.violate('I7', `job ${job.index} was never taken`)
        continue
      }
      checker.finishRun(job, run.id, this.#world.recorded(run.id), journal.has(run.id))
      checker.finishEntries(job, journal.entries(run.id), job.reader === 'all' ? read : undefined)
    }
  }

  /** I6 */
  async #close(): Promise<void> {
    const { runner, checker, network, clock, brokerDisk } = this.#world
    const { executing, queued, runs, pool, processes } = runner.stats()
    if (executing + queued + runs.length > 0)
      checker.violate('I6', `${executing} permits are held, ${queued} runs wait, ${runs.length} go on`)
    if (processes !== this.#world.living.length || processes !== pool.idle)
      checker.violate(
        'I6',
        `${processes} processes are counted, ${this.#world.living.length} live, ${pool.idle} are idle`,
      )
    const { isRunnerOver } = this.#world
    let isClosed = false
    void runner.drain().then(() => (isClosed = true))
    if (!(await this.#world.until(() => isClosed, 120_000))) checker.violate('I7', 'the runner does not close')
    await this.#world.until(() => false, 60_000)
    const { connections = 0, mailboxes = 0, messages = [], owners = 0 } = network.broker?.stats() ?? {}
    // What came for a runner that was declared gone waits for its next life.
    if (!isRunnerOver && connections + mailboxes + messages.length + owners > 0)
      checker.violate(
        'I6',
        `the broker has ${connections} connections, ${mailboxes} mailboxes, ${owners} owners; ${messages.join(', ')}`,
      )
    const open = brokerDisk.store?.scan('mailbox', { prefix: 'worker.', bodies: false }) ?? []
    if (!isRunnerOver && open.length > 0) checker.violate('I6', `the mailbox ${open[0]?.key} of a worker is still open`)
    this.#world.killBroker()
    await clock.settle()
    if (clock.timers.length > 0) checker.violate('I6', `timers are left: ${JSON.stringify(clock.timers)}`)
    if (this.#world.living.length > 0) checker.violate('I6', `${this.#world.living.length} workers are left`)
  }
}
