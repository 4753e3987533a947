/**
 * The program around the runner: asks for the jobs, reads, cancels and steers; after the runner's death it is started again
 * with it, and finds out what became of what it had asked for.
 */
import { codeOf, type Message, type Outcome, type ReadEvent } from '@greenroom/proto'
import type { Run, RunSpec } from '@greenroom/runner'
import type { Chance } from './chance.ts'
import { needlessDoubt } from './doubt.ts'
import type { RunnerLife, SimulatedRunner, SimulatedScheduler } from './life.ts'
import type { OpenInquiry } from './talk-rules.ts'
import { Task } from './task.ts'
import type { Inquiry } from './workload.ts'
import type { World } from './world.ts'

type Step = 'schedule' | 'resume' | 'attach'

/** What a next life does first. */
const orders: readonly [readonly Step[], ...(readonly Step[])[]] = [
  ['schedule', 'resume', 'attach'],
  ['resume', 'schedule', 'attach'],
  ['attach', 'schedule', 'resume'],
  ['resume', 'attach', 'schedule'],
  ['attach', 'resume', 'schedule'],
]

/** With which errors a run may not be taken. */
const mayRefuse: ReadonlySet<string> = new Set(['CLOSED', 'OUTCOME_UNKNOWN', 'STORAGE_FULL'])

/** See the file. */
export class Program {
  readonly tasks: readonly Task[]
  readonly #world: World
  readonly #chance: Chance
  #life: RunnerLife | undefined
  #scheduler: SimulatedScheduler | undefined
  #isBegun = false
  /** What it asked. */
  readonly #inquiring: OpenInquiry[] = []

  constructor(world: World, chance: Chance) {
    this.#world = world
    this.#chance = chance
    this.tasks = world.workload.jobs.map((job, index) => new Task(job, world.manner.hows[index] ?? 'run'))
  }

  /** Whether nothing more comes, and a runner is there that does nothing. */
  get isOver(): boolean {
    const runner = this.#alive?.runner
    const isAnswered = this.#inquiring.every(({ isOver, isForgotten }) => isOver || isForgotten())
    return this.#isBegun && this.tasks.every(({ isOver }) => isOver) && isAnswered && runner?.stats().runs.length === 0
  }

  /** What is not over. */
  get whatHangs(): string {
    const runs = this.#alive?.runner?.stats().runs ?? []
    const open = this.tasks.filter(({ isOver }) => !isOver)
    return [
      ...open.map(({ job, standing, isRead }) => `job ${job.index} is ${standing}${isRead ? '' : ', being read'}`),
      ...runs.map(({ runId, phase, attempts }) => `${runId} ${phase} attempt ${attempts}`),
      ...(this.#alive === undefined ? ['there is no runner'] : []),
    ].join(', ')
  }

  get #alive(): RunnerLife | undefined {
    return this.#life?.isOver === false ? this.#life : undefined
  }

  /** From now on jobs are asked for, each at its time. */
  open(): void {
    const { clock } = this.#world
    for (const task of this.tasks)
      clock.timer(task.job.atMs, () => {
        task.standing = 'due'
        void this.#ask(task)
      })
  }

  /** A life of the runner is up. */
  async begin(life: RunnerLife): Promise<void> {
    const { runner } = life
    if (runner === undefined) return
    this.#world.approvals?.begin(life, runner.approvals)
    this.#isBegun = false
    this.#life = life
    // Its last life could not record its end: this one does, perhaps as another one.
    for (const task of this.tasks) if (this.#world.checker.isUnrecorded(task.runId)) task.reopen()
    this.#scheduler = undefined
    const [first] = orders
    for (const step of life.number === 1 ? first : this.#chance.one(orders)) {
      await this.#do(step, life, runner)
      if (life.number > 1) await this.#pause(this.#chance.one([0, 0, 0, 300, 3_000]))
      if (life.isOver) return
    }
    this.#isBegun = true
    for (const task of this.tasks) void this.#ask(task)
  }

  async #do(step: Step, life: RunnerLife, runner: SimulatedRunner): Promise<void> {
    const { checker, journal, trace } = this.#world
    switch (step) {
      case 'schedule':
        this.#scheduler = runner.scheduler({
          parent: 'parent',
          onCompletion: ({ runId, outcome }) => {
            if (!life.isOver) checker.completed(runId, outcome)
          },
        })
        return void this.#drainStream(this.#scheduler, life)
      case 'resume':
        if (life.number === 1) return
        for (const run of await this.#unless(life, () => runner.resume())) {
          trace.add(`resumed ${run.id}`)
          if (!journal.has(run.id)) checker.violate('I8', `${run.id} is resumed, and was never recorded`)
          if (journal.outcomes(run.id).length > 0) checker.violate('I8', `${run.id} is resumed, and has ended`)
        }
        return
      case 'attach':
        if (life.number === 1) return
        await Promise.all(this.tasks.map((task) => this.#find(task, life, runner)))
    }
  }

  /** What is refused by a runner that closes comes in its next life. */
  async #unless<T>(life: RunnerLife, ask: () => Promise<readonly T[]>): Promise<readonly T[]> {
    try {
      return await ask()
    } catch (error) {
      if (codeOf(error) !== 'CLOSED' && !life.isOver) this.#world.checker.violate('I8', String(error))
      return []
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#world.clock.timer(ms, resolve))
  }

  // ─── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #ask(task: Task): Promise<void> {
    const { trace, clock, checker } = this.#world
    const life = this.#alive
    const runner = life?.runner
    if (task.standing !== 'due' || life === undefined || runner === undefined || !this.#isBegun) return
    const { job } = task
    trace.add(`start ${job.index} ${job.role} ${job.acts.map((act) => JSON.stringify(act)).join(' ')}`)
    task.standing = 'asked'
    task.life = life
    task.askedAt = clock.monotonic()
    task.asks += 1
    try {
      const run = task.how === 'run' ? runner.run(this.#specOf(task)) : await this.#askDurably(task, runner)
      if (life.isOver) return
      task.isDurable = task.how === 'start' || task.how === 'keyed'
      if (task.isDurable) trace.add(`promised ${job.index} ${run.id}`)
      this.#follow(task, run, life)
    } catch (error) {
      if (life.isOver) return
      trace.add(`refused ${job.index}: ${String(error)}`)
      const code = codeOf(error)
      // A full disk takes nothing of a run that begins.
      if (!mayRefuse.has(code ?? '')) checker.violate('I1', `job ${job.index}: ${String(error)}`)
      task.standing = code === 'CLOSED' ? 'due' : 'refused'
    }
  }

  #askDurably(task: Task, runner: SimulatedRunner): Promise<Run> {
    const spec = this.#specOf(task)
    if (task.how === 'keyed') return runner.start(spec, { idempotencyKey: `key ${task.job.index}` })
    if (task.how === 'start' || this.#scheduler === undefined) return runner.start(spec)
    return this.#scheduler.enqueue(spec)
  }

  // ─── in a next life ────────────────────────────────────────────────────────────────────────────────────────────

  /** What became of a job that an earlier life was asked for. */
  async #find(task: Task, life: RunnerLife, runner: SimulatedRunner): Promise<void> {
    const { journal, checker, trace } = this.#world
    if (task.standing === 'waiting' || task.standing === 'due' || task.standing === 'lost' || task.isOver) return
    const { job, how } = task
    const recorded = task.runId ?? journal.runsOf(job.index).at(-1)
    if (recorded === undefined) {
      // Nobody knows of it: whoever has a key may ask again.
      task.standing = how === 'keyed' ? 'due' : 'lost'
      trace.add(`job ${job.index} is ${task.standing}: its runner ended before it was recorded`)
      return
    }
    try {
      const isAskedAgain = how === 'keyed' && this.#chance.happens(0.5)
      const run = isAskedAgain ? await this.#askDurably(task, runner) : await runner.attach(recorded)
      if (life.isOver) return
      if (run.id !== recorded && journal.has(recorded))
        checker.violate('I8', `the key of job ${job.index} started ${recorded}, and then ${run.id}`)
      task.life = life
      this.#follow(task, run, life)
    } catch (error) {
      if (!life.isOver) this.#notFound(task, recorded, error)
    }
  }

  #notFound(task: Task, runId: string, error: unknown): void {
    const { journal, checker, trace } = this.#world
    trace.add(`attach ${task.job.index}: ${String(error)}`)
    if (codeOf(error) === 'CLOSED') return
    // What was refused has an outcome when somebody has to be told of it, and nothing else.
    const [outcome] = journal.outcomes(runId)
    if (codeOf(error) === 'UNKNOWN_RUN' && !journal.has(runId) && (outcome !== undefined || !task.isDurable)) {
      if (outcome === undefined) task.standing = 'lost'
      else {
        task.outcome = outcome
        task.isRead = true
        checker.outcome(task.job.index, runId, outcome)
      }
      return
    }
    checker.violate('I8', `job ${task.job.index} was promised as ${runId}: ${String(error)}`)
  }

  // ─── following ─────────────────────────────────────────────────────────────────────────────────────────────────

  #follow(task: Task, run: Run, life: RunnerLife): void {
    const { checker, clock, trace } = this.#world
    const { job } = task
    task.standing = 'promised'
    task.run = run
    task.runId = run.id
    checker.asked(job.index, run.id)
    void run.outcome.then((outcome) => life.isOver || this.#ended(task, run.id, outcome, life))
    if (!task.isRead) void this.#read(task, run, life)
    if (task.outcome !== undefined) return
    const isOwn = (): boolean => task.run === run && !life.isOver
    const inMs = (at: number): number => Math.max(0, at - job.atMs + task.askedAt - clock.monotonic())
    if (job.cancelAtMs !== undefined)
      clock.timer(inMs(job.cancelAtMs), () => isOwn() && void run.cancel('as the job says'))
    for (const inquiry of job.inquiries ?? [])
      clock.timer(inMs(inquiry.atMs), () => {
        if (task.inquired.has(inquiry)) return
        task.inquired.add(inquiry)
        if (isOwn()) void this.#inquire(inquiry, job.index, run, life)
      })
    if (job.steerAtMs !== undefined && !task.isSteered)
      clock.timer(inMs(job.steerAtMs), () => {
        if (!isOwn() || task.isSteered) return
        task.isSteered = true
        run.send('a text').catch((error: unknown) => trace.add(`send: ${String(error)}`))
      })
  }

  /** Asks about a job. */
  async #inquire(how: Inquiry, job: number, run: Run, life: RunnerLife): Promise<void> {
    const { talk } = this.#world
    const inquiry = talk?.asks(how, { runId: run.id, job }, () => life.isOver)
    if (talk === undefined || inquiry === undefined) return
    this.#inquiring.push(inquiry)
    try {
      const answer = await run.ask(inquiry.text, { mode: how.mode, timeoutMs: how.withinMs })
      if (life.isOver) return
      talk.answered(inquiry, answer)
    } catch (error) {
      if (life.isOver) return
      talk.failed(inquiry, codeOf(error), String(error))
    }
    talk.inTime(inquiry)
  }

  #ended(task: Task, runId: string, outcome: Outcome, life: RunnerLife): void {
    const { checker, harm, trace } = this.#world
    if (isLeft(outcome)) return trace.add(`job ${task.job.index} goes on without its runner`)
    task.outcome = outcome
    harm.told()
    checker.outcome(task.job.index, runId, outcome)
    this.#world.approvals?.rules.ended(runId, outcome)
    const doubt = needlessDoubt(this.#world, life, runId, outcome)
    if (doubt !== undefined) checker.violate('I8', doubt)
  }

  async #read(task: Task, run: Run, life: RunnerLife): Promise<void> {
    const { reader, readMs } = task.job
    const last = task.read?.at(-1)
    let events: AsyncIterable<ReadEvent> = run
    if (last !== undefined) {
      // Whoever wrote down how far he was reads on from there; others from the start.
      if (this.#chance.happens(0.5)) events = await this.#after(life, run, last)
      else task.read = []
    }
    for await (const event of events) {
      if (life.isOver) return
      task.read?.push(event)
      if (reader === 'leaves' && (task.read?.length ?? 0) >= 3) break
      if (readMs > 0) await this.#pause(readMs)
    }
    if (life.isOver) return
    // What ends because its runner leaves is read on in the next life.
    const hasLeft = reader === 'leaves' && (task.read?.length ?? 0) >= 3
    if (hasLeft || !isLeft(await run.outcome)) task.isRead = true
  }

  async #after(life: RunnerLife, run: Run, last: ReadEvent): Promise<AsyncIterable<ReadEvent>> {
    const seq = last.type === 'skipped' ? last.last : last.seq
    return (await life.runner?.attach(run.id, { after: { epoch: last.epoch, seq } })) ?? run
  }

  async #drainStream(scheduler: SimulatedScheduler, life: RunnerLife): Promise<void> {
    for await (const { type } of scheduler) if (!life.isOver) this.#world.trace.add(type)
  }

  /** All that the present life says of a run, from its start. */
  async review({ runId = '' }: Task): Promise<{ readonly outcome: Outcome; readonly read: ReadEvent[] } | undefined> {
    const life = this.#alive
    const [run] = life?.runner === undefined ? [] : await this.#unless(life, () => this.#attached(life, runId))
    if (run === undefined) return undefined
    const read: ReadEvent[] = []
    for await (const event of run) read.push(event)
    return { outcome: await run.outcome, read }
  }

  async #attached({ runner }: RunnerLife, runId: string): Promise<readonly Run[]> {
    return runner === undefined ? [] : [await runner.attach(runId)]
  }

  /** What a job's session has. */
  async transcript({ job }: Task): Promise<readonly Message[]> {
    return (await this.#alive?.runner?.sessions.messages(`session-${job.index}`)) ?? []
  }

  #specOf({ job }: Task): RunSpec {
    const spec = {
      role: job.role,
      task: `job ${job.index}`,
      input: job.index,
      ...(job.budget && { budget: job.budget }),
    }
    if (this.#world.generation === 1) return spec
    const detached = this.#world.manner.detached.has(job.index) ? { detached: true } : {}
    return { ...spec, session: `session-${job.index}`, ...detached }
  }
}

/** Whether that is no outcome: its runner closed, and the run goes on. */
function isLeft(outcome: Outcome): boolean {
  return outcome.status === 'failed' && outcome.code === 'CLOSED' && outcome.mayStillRun === true
}
