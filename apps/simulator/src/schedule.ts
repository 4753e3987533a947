/** One schedule from its start to its last check. */
import type { Outcome } from '@greenroom/proto'
import type { JournalEntry } from './checker.ts'
import type { Task } from './task.ts'
import { World, type Report, type WorldOptions } from './world.ts'

/** Faults stop after this, in virtual milliseconds. */
const harmMs = 90_000
/** All is over after this, in virtual milliseconds: the longest limit is `totalMs`. */
const boundMs = 1_800_000
/** So long a detached worker waits for its run, and may take to leave, in milliseconds. */
const detachedIdleMs = 660_000
/** After this nobody has used a mailbox for too long, in milliseconds. */
const mailboxTtlMs = 8 * 24 * 3_600_000

/**
 * Runs the schedule of a seed.
 *
 * @param seed - decides everything
 */
export async function runSchedule(seed: number, options: WorldOptions = {}): Promise<Report> {
  const world = new World(seed, options)
  using _broken = options.mutation?.patch?.(world.clock)
  await new Schedule(world).play()
  const { checker, trace, harm, workload, program, journal } = world
  return {
    seed,
    violations: checker.violations,
    digest: trace.digest(),
    steps: trace.steps,
    runs: workload.jobs.length,
    faults: harm.happened,
    outcomes: program.tasks.map(wordOf),
    children: journal.kinRuns().map(({ runId }) => childWordOf(journal.outcomes(runId)[0])),
    decisions: journal.approvals().map(({ decision }) => `${decision?.decider} ${decision?.allowed}`),
  }
}

function wordOf({ outcome, standing }: Task): string {
  if (outcome?.status === 'failed') return outcome.code
  return outcome?.status ?? standing
}

function childWordOf(outcome: Outcome | undefined): string {
  return outcome?.status === 'failed' ? outcome.code : (outcome?.status ?? 'none')
}

class Schedule {
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  async play(): Promise<void> {
    const { seams, checker, harm, program, queues, budgets, talk } = this.#world
    await this.#world.startBroker()
    this.#world.startRunner()
    await this.#world.until(() => this.#world.life?.runner !== undefined, 1_000)
    seams.open()
    program.open()
    queues?.open()
    await this.#world.until(() => this.#isOver, harmMs)
    seams.close()
    await harm.end()
    if (!(await this.#world.until(() => program.isOver, boundMs)))
      checker.violate('I7', `it hangs: ${program.whatHangs}`)
    await this.#settle()
    if (this.#world.needsAnotherLife) {
      if (!(await this.#world.renewRunner())) checker.violate('I7', 'the runner does not close')
      await this.#untilOver()
      await this.#settle()
    }
    for (const task of program.tasks) await this.#checkTask(task)
    checker.finishMessages()
    this.#world.approvals?.finish()
    this.#world.family?.finish({ since: this.#world.lives === 1 ? 0 : harmMs, hasSlept: harm.sleptMs > 0 })
    budgets?.finish()
    talk?.finish()
    await this.#close()
  }

  /** What is late still arrives, and workers that were told to leave are gone. */
  async #settle(): Promise<void> {
    const world = this.#world
    await world.until(() => false, 60_000)
    // One whose runner died before it had a run for it waits for one.
    if (!(await world.until(() => world.detached.length === 0, detachedIdleMs)))
      world.checker.violate('I6', `${world.detached.length} detached workers do not leave`)
  }

  get #isOver(): boolean {
    return this.#world.program.isOver && this.#world.queues?.isOver !== false
  }

  async #untilOver(): Promise<void> {
    const { program, queues, checker } = this.#world
    if (await this.#world.until(() => this.#isOver, boundMs)) return
    checker.violate('I7', `it hangs: ${program.whatHangs}; ${queues?.whatHangs ?? 'no queues'}`)
  }

  /** I1, I5, I8 */
  async #checkTask(task: Task): Promise<void> {
    const { job, how, runId, standing, read } = task
    const { checker, journal, lives } = this.#world
    if (standing === 'lost' || standing === 'refused') {
      for (const id of journal.runsOf(job.index)) this.#checkUnasked(id)
      return
    }
    if (runId === undefined) return checker.violate('I7', `job ${job.index} was never taken`)
    const found = { recorded: this.#world.recorded(runId), isThere: journal.hasAnything(runId) }
    checker.finishRun(job, runId, how === 'enqueue', found, lives)
    const entries = journal.entries(runId)
    checker.finishEntries(job, runId, entries, job.reader === 'all' ? read : undefined)
    if (this.#world.generation === 1) return
    await this.#checkTranscript(task, entries)
    // Of one that hangs there would be no end of it.
    if (lives === 1 || !journal.has(runId) || checker.outcomeOf(runId) === undefined) return
    const again = await this.#world.program.review(task)
    if (again === undefined) return checker.violate('I7', 'there is no runner')
    checker.outcome(job.index, runId, again.outcome)
    checker.finishReader(job, entries, again.read)
  }

  /** I5 */
  async #checkTranscript(task: Task, entries: readonly JournalEntry[]): Promise<void> {
    const { checker, journal, manner, program } = this.#world
    const { job, asks, isSteered } = task
    const texts = (await program.transcript(task)).map(({ content }) => (typeof content === 'string' ? content : ''))
    const least = journal.runsOf(job.index).length
    // Elsewhere it is stored before the run is, and stays when that is lost.
    const most = manner.sessionsMs === undefined ? least : asks
    this.#world.talk?.session(texts)
    checker.finishSession(job, entries, texts, { tasks: [least, most], steered: Number(isSteered) })
  }

  /** Nobody waits for it: it has its end all the same. */
  #checkUnasked(runId: string): void {
    const { length } = this.#world.recorded(runId)
    if (length !== 1) this.#world.checker.violate('I1', `${runId} has ${length} outcomes in the journal`)
  }

  /** Mailboxes of workers that never attached, and whose runner died, end when nobody uses them for a week. */
  async #outliveMailboxes(): Promise<void> {
    const { clock, brokerDisk } = this.#world
    const open = brokerDisk.store?.scan('mailbox', { prefix: 'worker.', bodies: false }) ?? []
    if (this.#world.lives === 1 || !open.some(({ meta }) => meta['lifetime'] === undefined)) return
    clock.suspend(mailboxTtlMs, { quietly: true })
    await this.#world.until(() => false, 180_000)
    for (const { key, meta } of open)
      if (meta['lifetime'] !== undefined) this.#world.checker.violate('I6', `mailbox ${key} was open too long`)
  }

  /** I6 */
  async #close(): Promise<void> {
    const { checker, network, clock, brokerDisk, life, queues } = this.#world
    const { executing = 0, queued = 0, runs = [], pool, processes } = life?.runner?.stats() ?? {}
    if (executing + queued + runs.length > 0)
      checker.violate('I6', `${executing} permits are held, ${queued} runs wait, ${runs.length} go on`)
    if (processes !== this.#world.living.length || processes !== pool?.idle)
      checker.violate(
        'I6',
        `${processes} processes are counted, ${this.#world.living.length} live, ${pool?.idle} are idle`,
      )
    if (
      !(await this.#world.done(async () => {
        await queues?.finish()
        await queues?.leave()
      }))
    )
      checker.violate('I7', 'the queues do not close')
    if (!(await this.#world.endRunner())) checker.violate('I7', 'the runner does not close')
    await this.#world.until(() => false, 60_000)
    await this.#outliveMailboxes()
    const { connections = 0, mailboxes = 0, messages = [], owners = 0 } = network.broker?.stats() ?? {}
    if (connections + mailboxes + messages.length + owners > 0)
      checker.violate(
        'I6',
        `the broker has ${connections} connections, ${mailboxes} mailboxes, ${owners} owners; ${messages.join(', ')}`,
      )
    const open = brokerDisk.store?.scan('mailbox', { prefix: 'worker.', bodies: false }) ?? []
    if (open.length > 0) checker.violate('I6', `the mailbox ${open[0]?.key} of a worker is still open`)
    this.#world.killBroker()
    await clock.settle()
    if (clock.timers.length > 0) checker.violate('I6', `timers are left: ${JSON.stringify(clock.timers)}`)
    if (this.#world.living.length > 0) checker.violate('I6', `${this.#world.living.length} workers are left`)
  }
}
