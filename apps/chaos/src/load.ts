/**
 * The work of one runner: jobs that it gives itself, and those that its earlier lives left.
 *
 * Everything is in the ledger before or after it happens, so that a later life, and the checker, know what is owed.
 */
import { codeOf, type Outcome } from '@greenroom/proto'
import type { Run, Runner, Scheduler } from '@greenroom/runner'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Chance } from './chance.ts'
import {
  append,
  entryOf,
  machineMs,
  readRunnerLedger,
  type Entry,
  type Kind,
  type Order,
  type RunnerLine,
} from './ledger.ts'
import { drawDetached, drawKind, drawOrder, roleOf, type roles } from './roles.ts'
import type { RunnerSetup } from './setup.ts'
import type { executors } from './worker.ts'

/** The runner that works. */
export type ChaosRunner = Runner<typeof executors, typeof roles>

/** A job, as far as the ledger tells. */
interface Job {
  readonly job: string
  readonly kind: Kind
  readonly keyed: boolean
  readonly detached: boolean
  readonly order: Order
  run?: string
  isOver: boolean
  /** The last entry that a reader saw. */
  after?: Entry
}

const startTries = 5
const someMs = 4_000

/** See the head of this file. */
export class Load {
  /** Which life of the runner this is, from 1 on. */
  readonly life: number
  readonly #runner: ChaosRunner
  readonly #scheduler: Scheduler<typeof executors, typeof roles>
  readonly #setup: RunnerSetup
  readonly #chance: Chance
  readonly #left: readonly Job[]
  #isWorking = false
  #count = 0
  readonly #jobs = new Set<Job>()

  constructor(runner: ChaosRunner, setup: RunnerSetup) {
    this.#runner = runner
    this.#setup = setup
    const { life, open } = readLives(readRunnerLedger(setup.ledger))
    this.life = life + 1
    this.#left = open
    this.#add({ t: 'life', life: this.life, at: machineMs() })
    this.#chance = new Chance(setup.seed, this.life)
    this.#scheduler = runner.scheduler({
      parent: setup.name,
      onCompletion: ({ runId, outcome }) => this.#add({ t: 'told', run: runId, outcome: { output: null, ...outcome } }),
    })
    for (let lane = 0; lane < setup.lanes; lane += 1) void this.#lane()
  }

  /** How many jobs are in progress. */
  get jobs(): number {
    return this.#jobs.size
  }

  /** How many of them are detached, execute, and will for some seconds more. */
  get detached(): number {
    return [...this.#jobs].filter(
      ({ detached, order, after }) =>
        detached && after !== undefined && (order.entries - after.said.n) * order.everyMs > someMs,
    ).length
  }

  /** Gives itself work. */
  work(): void {
    this.#isWorking = true
  }

  /** Gives itself no more. */
  rest(): void {
    this.#isWorking = false
  }

  /** Goes on with what earlier lives left. */
  async resume(): Promise<void> {
    const late = this.#chance.happens(0.5)
    if (!late) await this.#runner.resume()
    for (const job of this.#left) void this.#track(job, this.#goOn(job))
    if (late) await this.#runner.resume()
  }

  async #lane(): Promise<void> {
    for (;;) {
      // It keeps nobody from leaving.
      await sleep(this.#chance.between(0, 1_000), undefined, { ref: false })
      if (!this.#isWorking) continue
      const kind = drawKind(this.#chance)
      this.#count += 1
      const job = `${this.#setup.name}-${this.life}-${this.#count}`
      const order = drawOrder(this.#chance, kind, job)
      const keyed = kind !== 'child' && this.#chance.happens(0.5)
      // What is detached needs a broker that outlives the runner.
      const detached = this.#setup.bus !== null && drawDetached(this.#chance, kind)
      const asked = { job, kind, keyed, detached, order }
      this.#add({ t: 'asked', ...asked })
      const begun: Job = { ...asked, isOver: false }
      await this.#track(begun, this.#begin(begun))
    }
  }

  async #track(job: Job, work: Promise<void>): Promise<void> {
    this.#jobs.add(job)
    try {
      await work
    } catch (error) {
      // The runner closes: the next life goes on.
      if (!['CLOSED', 'DRAINING'].includes(codeOf(error) ?? '')) throw error
    } finally {
      this.#jobs.delete(job)
    }
  }

  async #begin(job: Job): Promise<void> {
    const { kind, order, detached } = job
    const spec = { role: roleOf[kind], input: order, task: job.job, detached }
    if (kind === 'child') {
      const run = await this.#scheduler.enqueue(spec)
      this.#add({ t: 'queued', job: job.job, run: run.id })
      return this.#follow(job, run)
    }
    for (let tries = 1; ; tries += 1) {
      const run = await this.#tryStart(job, spec)
      if (typeof run !== 'string') {
        this.#add({ t: 'started', job: job.job, run: run.id })
        return this.#follow(job, run)
      }
      // With a key it may be asked for again: it is started once.
      if (!job.keyed || tries === startTries) return this.#add({ t: 'refused', job: job.job, code: run })
      await sleep(500)
    }
  }

  /** A run that is owed, or why it is not. */
  async #tryStart(job: Job, spec: Parameters<ChaosRunner['start']>[0]): Promise<Run<unknown> | string> {
    try {
      const run = await this.#runner.start(spec, job.keyed ? { idempotencyKey: job.job } : {})
      const early = await Promise.race([run.outcome, nextTurn(undefined)])
      // It could not even be recorded: nothing of it was done.
      return early !== undefined && isUnrecordable(early) ? early.code : run
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined || ['CLOSED', 'DRAINING'].includes(code)) throw error
      return code
    }
  }

  async #goOn(job: Job): Promise<void> {
    // It was asked for, and nobody knows whether it was started: with a key that can be settled.
    if (job.run === undefined) return job.keyed ? this.#begin(job) : undefined
    try {
      await this.#follow(job, await this.#attach(job, job.run))
    } catch (error) {
      if (codeOf(error) !== 'UNKNOWN_RUN') throw error
      this.#add({ t: 'unknown', job: job.job })
    }
  }

  #attach({ after }: Job, run: string): Promise<Run> {
    return this.#runner.attach(run, after === undefined ? {} : { after: { epoch: after.epoch, seq: after.seq } })
  }

  /** Reads it, while it runs or afterwards; its outcome is the last that the ledger has of it. */
  async #follow(job: Job, run: Run<unknown>): Promise<void> {
    if (job.kind === 'cancelled') void this.#cancelSoon(job, run)
    const isReadLate = this.#chance.happens(0.3)
    if (!isReadLate) await this.#read(job, run)
    const outcome = await run.outcome
    // The runner closes, and it goes on.
    if (isLeft(outcome)) return
    // A child that could not even be recorded is nowhere to be read.
    if (isReadLate && !isUnrecordable(outcome)) await this.#read(job, await this.#attach(job, run.id))
    job.isOver = true
    this.#add({ t: 'outcome', job: job.job, outcome: { output: null, ...outcome } })
  }

  async #read(job: Job, run: Run<unknown>): Promise<void> {
    for await (const event of run) {
      const entry = entryOf(event)
      if (entry === undefined) continue
      this.#add({ t: 'entry', job: job.job, entry })
      job.after = entry
    }
  }

  async #cancelSoon(job: Job, run: Run<unknown>): Promise<void> {
    await sleep(this.#chance.between(0, 800))
    if (job.isOver) return
    this.#add({ t: 'cancel', job: job.job })
    await run.cancel('chaos')
  }

  #add(line: RunnerLine): void {
    append(this.#setup.ledger, line)
  }
}

function isLeft(outcome: Outcome<unknown>): boolean {
  return outcome.status === 'failed' && outcome.code === 'CLOSED' && outcome.mayStillRun === true
}

function isUnrecordable(outcome: Outcome<unknown>): outcome is Outcome<unknown> & { readonly code: string } {
  return outcome.status === 'failed' && ['STORAGE_FULL', 'COMMIT_UNKNOWN'].includes(outcome.code)
}

/** How many lives there were, and the jobs that they left. */
function readLives(lines: readonly RunnerLine[]): { readonly life: number; readonly open: Job[] } {
  let life = 0
  const jobs = new Map<string, Job>()
  for (const line of lines) {
    const job = 'job' in line ? jobs.get(line.job) : undefined
    if (line.t === 'life') ({ life } = line)
    else if (line.t === 'asked') jobs.set(line.job, { ...line, isOver: false })
    else if (job === undefined) continue
    else if (line.t === 'started' || line.t === 'queued') job.run = line.run
    else if (line.t === 'entry') job.after = line.entry
    else if (line.t === 'outcome' || line.t === 'unknown' || line.t === 'refused') jobs.delete(line.job)
  }
  return { life, open: [...jobs.values()] }
}
