/**
 * The checker: what must hold of a schedule.
 *
 * - *I1* Every run that was started has exactly one outcome, to its caller and in the journal, in all lives of the runner; a
 *   job's handler is called with it, once in each life at most, and only once when there is one life. Nothing executes after
 *   its outcome was told, but what that says may still run.
 * - *I2* No (run, epoch) executes twice; no two epochs of a run overlap; epochs grow. What is lost, and cannot still run,
 *   does not.
 * - *I3* Only what was claimed executes, and what was withdrawn never does. What was claimed is not tried again unless it
 *   is declared idempotent, or failed by its executor's own words.
 * - *I4* What was receipted is delivered, unless it was taken back or its receiver is gone; first deliveries keep the order
 *   of their places; what was acked, and confirmed, never comes again.
 * - *I5* Entries are in the journal exactly once and in order: all of them, when the run completed; a reader that read to
 *   the end saw just these, and no delta twice or out of order.
 * - *I6* In the end nothing is left: permits, slots, messages, mailboxes, timers.
 * - *I7* Nothing hangs: all of it within a bounded virtual time.
 * - *I8* What was promised is there in the next life of the runner, what executes is recorded, and the outcome is unknown
 *   only of what a worker may have claimed.
 * - *I9* A worker that is told that its life is over ends at once.
 * - *I10* A detached run goes on without its runner: what its worker did to the end, and left, is its outcome.
 * - *I11* No outcome is `INTERNAL`, which is said of defects.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Outcome, ReadEvent, Revocation } from '@greenroom/proto'
import { tagOf } from './executors.ts'
import { isInquiry, isOfStandIn } from './talk-rules.ts'
import type { Job } from './workload.ts'
import type { Trace } from './trace.ts'

/** So long a broker remembers what became of a message, in milliseconds. */
const memoryMs = 86_400_000

/** One execution of an attempt. */
export interface Execution {
  readonly job: number
  /** The run; empty when it is not recorded. */
  readonly runId: string
  /** Whether its worker outlives its runner. */
  readonly isDetached: boolean
  readonly epoch: number
  readonly address: string
  /** What it tries to tell, in order. */
  readonly tags: readonly string[]
  /** The tag for its next entry. */
  tag(): string
  isOver: boolean
  /** Whether its executor came to an end. */
  isDone: boolean
}

/** An entry as the journal has it. */
export interface JournalEntry {
  readonly epoch: number
  readonly seq: number
  readonly tag: string | undefined
  readonly isMessage: boolean
}

interface Message {
  readonly to: string
  readonly id: string
  /** When it was heard of first. */
  readonly at: number
  seq: number | undefined
  delivered: boolean
  acked: boolean
  claimed: boolean
  mayExpire: boolean
  mayMove: boolean
  revoked: Revocation | undefined
}

/** What the checker asks others. */
export interface CheckerParts {
  /** The runs of a job that are in the journal. */
  readonly runsOf: (job: number) => readonly string[]
  /** Whether an attempt is recorded as suspended. */
  readonly wasSuspended: (runId: string, epoch: number) => boolean
  /** Whether a worker outlives its runner. */
  readonly isDetached: (address: string) => boolean
  /** Whether a job is a child that its parent does not name. */
  readonly isUnkeyed: (job: number) => boolean
}

/** Collects what happened; `violations` says what must not. */
export class Checker {
  readonly violations: string[] = []
  readonly #trace: Trace
  readonly #jobs: readonly Job[]
  readonly #executions: Execution[] = []
  readonly #messages = new Map<string, Message>()
  readonly #last = new Map<string, number>()
  readonly #runs = new Map<string, number>()
  readonly #gone = new Set<string>()
  readonly #saidAll = new Set<string>()
  readonly #outcomes = new Map<string, Outcome>()
  readonly #told = new Map<string, number>()
  /** Runs whose outcome was given out without a record, as their runner said. */
  readonly #unrecorded = new Set<string>()
  readonly #known: CheckerParts

  constructor(jobs: readonly Job[], trace: Trace, known: CheckerParts) {
    this.#jobs = jobs
    this.#trace = trace
    this.#known = known
  }

  /** Something must not be. */
  violate(rule: string, text: string): void {
    this.#trace.add(`VIOLATION ${rule}: ${text}`)
    this.violations.push(`${rule}: ${text}`)
  }

  // ─── executions ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether a run executes somewhere. */
  isExecuting(runId: string): boolean {
    return this.#executions.some((one) => one.runId === runId && !one.isOver)
  }

  /** Whether it may as well be that run which executes: of several of one job that begin at once in one worker nobody can tell. */
  mayBe({ job, epoch, address }: Execution, runId: string): boolean {
    return this.#executions.some(
      (one) => one.runId === runId && one.job === job && one.epoch === epoch && one.address === address,
    )
  }

  /** A run was asked for. */
  asked(job: number, runId: string): void {
    this.#runs.set(runId, job)
  }

  /** I2, I3, I8 */
  started(job: number, epoch: number, address: string): Execution {
    this.#trace.add(`execute ${job}.${epoch} at ${address}`)
    const tags: string[] = []
    const tag = (): string => {
      const next = `${job}.${epoch}.${tags.length}`
      tags.push(next)
      return next
    }
    const recorded = this.#known.runsOf(job)
    if (recorded.length === 0) this.violate('I8', `job ${job}.${epoch} executes and is not recorded`)
    const runId = this.#runOf(recorded, epoch, address)
    const isDetached = this.#known.isDetached(address)
    const execution: Execution = { job, runId, isDetached, epoch, address, tags, tag, isOver: false, isDone: false }
    for (const other of this.#executions)
      if (other.job === job && this.#isSameOrder(other, execution)) this.#compare(other, execution)
    this.#executions.push(execution)
    const before = this.#unrecorded.has(runId) ? undefined : this.#outcomes.get(runId)
    if (before !== undefined && !mayStillRun(before))
      this.violate('I1', `${runId} ended as ${before.status}, and job ${job}.${epoch} executes`)
    const message = this.#messages.get(`${address} run-${runId}-${epoch}`)
    if (message?.claimed !== true) this.violate('I3', `job ${job}.${epoch} executes without a claim`)
    if (message?.revoked === 'withdrawn') this.violate('I3', `job ${job}.${epoch} was withdrawn and executes`)
    return execution
  }

  /** Of several runs of one job in one worker it is the one that was claimed and has not begun. */
  #runOf(recorded: readonly string[], epoch: number, address: string): string {
    const sent = recorded.filter((id) => this.#messages.has(`${address} run-${id}-${epoch}`))
    const isNext = (id: string): boolean =>
      this.#messages.get(`${address} run-${id}-${epoch}`)?.claimed === true &&
      !this.#executions.some((other) => other.runId === id && other.epoch === epoch)
    return sent.find(isNext) ?? sent[0] ?? ''
  }

  /** A child without a key is another one whenever its parent asks for it; of all others there is one run at a time. */
  #isSameOrder(other: Execution, { job, runId }: Execution): boolean {
    return other.runId === runId || !this.#known.isUnkeyed(job)
  }

  #compare(other: Execution, { job, epoch }: Execution): void {
    if (other.epoch === epoch) this.violate('I2', `job ${job}.${epoch} executes twice`)
    if (other.epoch > epoch) this.violate('I2', `job ${job}.${epoch} executes after ${job}.${other.epoch}`)
    if (!other.isOver) this.violate('I2', `job ${job}.${other.epoch} still runs when ${job}.${epoch} starts`)
    const mayRepeat = this.#jobs[job]?.role === 'again' && (other.isOver || this.#gone.has(other.address))
    if (!mayRepeat && !this.#known.wasSuspended(other.runId, other.epoch))
      this.violate('I3', `job ${job}.${other.epoch} executed, and is tried again`)
  }

  /** @param isDone - whether its executor came to its end: it was not suspended */
  ended(execution: Execution, isDone = true): void {
    this.#trace.add(`executed ${execution.job}.${execution.epoch}`)
    execution.isOver = true
    execution.isDone = isDone
  }

  /**
   * A worker is no more: neither is what it executed.
   *
   * @param hasSaidAll - it was detached, and left in order
   */
  gone(address: string, hasSaidAll = false): void {
    this.#trace.add(`gone ${address}`)
    if (hasSaidAll) this.#saidAll.add(address)
    this.#gone.add(address)
    for (const execution of this.#executions) if (execution.address === address) execution.isOver = true
  }

  /** I9: a moment later. */
  fenced(address: string, state: 'running' | 'suspended' | 'ended' | undefined): void {
    this.#trace.add(`fenced ${address}`)
    if (state === 'running') this.violate('I9', `${address} was fenced, and goes on`)
  }

  // ─── messages ──────────────────────────────────────────────────────────────────────────────────────────────────

  receipted(to: string, id: string, seq: number): void {
    const message = this.#message(to, id)
    if (message.seq !== undefined && message.seq !== seq && !message.mayMove && !this.#isForgotten(message))
      this.violate('I4', `${id} to ${to} had place ${message.seq}, now ${seq}`)
    message.seq = seq
  }

  /** I4 */
  delivered(to: string, id: string): void {
    const message = this.#message(to, id)
    if (message.acked && !this.#isForgotten(message))
      this.violate('I4', `${id} comes to ${to} again though it was acked`)
    if (message.claimed) this.violate('I4', `${id} comes to ${to} again though it was claimed`)
    message.delivered = true
  }

  /** First deliveries of one lane keep their order. */
  inOrder(to: string, lane: string, seq: number): void {
    const key = `${to} ${lane}`
    if (seq < (this.#last.get(key) ?? 0)) this.violate('I4', `place ${seq} of ${to} was overtaken`)
    this.#last.set(key, Math.max(seq, this.#last.get(key) ?? 0))
  }

  /** Whether it was never delivered before. */
  isNew(to: string, id: string): boolean {
    return !this.#message(to, id).delivered
  }

  /** An operator put it back: it has another place now, or soon. */
  requeued(to: string, id: string): void {
    this.#message(to, id).mayMove = true
  }

  /** It has a time to live. */
  mayExpire(to: string, id: string): void {
    this.#message(to, id).mayExpire = true
  }

  acked(to: string, id: string): void {
    this.#message(to, id).acked = true
  }

  claimed(to: string, id: string): void {
    const message = this.#message(to, id)
    if (message.revoked === 'withdrawn') this.violate('I4', `${id} to ${to} was withdrawn and is claimed`)
    message.claimed = true
  }

  revoked(to: string, id: string, answer: Revocation): void {
    const message = this.#message(to, id)
    if (answer !== 'claimed' && message.claimed && !this.#isForgotten(message))
      this.violate('I4', `${id} to ${to} was claimed and is ${answer}`)
    message.revoked = answer === 'unknown' ? 'withdrawn' : answer
  }

  /** After a day nobody remembers what became of a message. */
  #isForgotten({ at }: Message): boolean {
    return this.#trace.now() - at > memoryMs
  }

  #message(to: string, id: string): Message {
    const key = `${to} ${id}`
    let message = this.#messages.get(key)
    if (message === undefined) {
      message = {
        to,
        id,
        at: this.#trace.now(),
        seq: undefined,
        delivered: false,
        acked: false,
        claimed: false,
        mayExpire: false,
        mayMove: false,
        revoked: undefined,
      }
      this.#messages.set(key, message)
    }
    return message
  }

  // ─── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A caller has its outcome. */
  outcome(job: number, runId: string, outcome: Outcome): void {
    const words = outcome.status === 'failed' ? `failed ${outcome.code}: ${outcome.message}` : outcome.status
    const lost = outcome.eventsLost === undefined ? '' : `, lost from ${outcome.eventsLost.first} on`
    this.#trace.add(`outcome ${job} ${words}${lost}`)
    this.#compareOutcome(runId, outcome, 'before, now')
    if (codeOf(outcome) === 'INTERNAL') this.violate('I11', `job ${job} ended as a defect: ${words}`)
    const isDead = codeOf(outcome) === 'WORKER_LOST' && !mayStillRun(outcome)
    for (const { epoch, isOver } of this.#executions.filter((one) => isDead && one.job === job))
      if (!isOver) this.violate('I2', `job ${job}.${epoch} still runs, and its worker is lost`)
    const last = this.#executions.filter((one) => one.job === job).at(-1)
    // What a worker that was given up says days later is late, and after it another one may have been lost.
    const isLate = last?.isDone !== true || !this.#saidAll.has(last.address) || this.#outcomes.has(runId)
    const isFollowed = [...this.#messages.values()].some(({ id }) => id === `run-${runId}-${(last?.epoch ?? 0) + 1}`)
    if (codeOf(outcome) === 'WORKER_LOST' && !isLate && !isFollowed)
      this.violate('I10', `job ${job}.${last.epoch} was done, and its worker left in order: WORKER_LOST`)
    this.#outcomes.set(runId, outcome)
  }

  /** The runner said that it gave an outcome out and could not record it: its next life may come to another one. */
  unrecorded(runId: string): void {
    this.#unrecorded.add(runId)
  }

  /** Whether some run has no record of its end, and says so. */
  get hasUnrecorded(): boolean {
    return this.#unrecorded.size > 0
  }

  isUnrecorded(runId: string | undefined): boolean {
    return runId !== undefined && this.#unrecorded.has(runId)
  }

  outcomeOf(runId: string | undefined): Outcome | undefined {
    return runId === undefined ? undefined : this.#outcomes.get(runId)
  }

  /** A job's handler was called. */
  completed(runId: string, outcome: Outcome): void {
    this.#told.set(runId, (this.#told.get(runId) ?? 0) + 1)
    this.#compareOutcome(runId, outcome, 'to its caller, to its handler')
  }

  #compareOutcome(runId: string, outcome: Outcome, words: string): void {
    const own = this.#outcomes.get(runId)
    if (own === undefined || this.#unrecorded.has(runId) || isDeepStrictEqual(own, outcome)) return
    this.violate('I1', `${runId} ended as ${own.status} ${words} ${outcome.status}`)
  }

  /**
   * I1: to be called for each run when all is settled.
   *
   * @param recorded - its outcomes in the journal, equal ones once
   * @param isThere - whether anything else of the run is in the journal
   * @param lives - how many the runner had
   */
  finishRun(
    { index }: Job,
    runId: string,
    isScheduled: boolean,
    { recorded, isThere }: { readonly recorded: readonly Outcome[]; readonly isThere: boolean },
    lives: number,
  ): void {
    const own = this.#outcomes.get(runId)
    if (own === undefined) return this.violate('I7', `job ${index} has no outcome`)
    // A runner that takes nothing new has nobody who could ask for it either; a full disk takes nothing of a run.
    const why = codeOf(own)
    const isRefused = why === 'CLOSED' || (why === 'STORAGE_FULL' && !isThere && !isScheduled)
    if (recorded.length !== 1 && !(isRefused && recorded.length === 0))
      this.violate('I1', `job ${index} has ${recorded.length} outcomes in the journal`)
    for (const outcome of recorded) this.#compareOutcome(runId, outcome, 'to its caller, in the journal')
    const told = this.#told.get(runId) ?? 0
    if (told < Number(isScheduled) || told > (isScheduled ? lives : 0))
      this.violate('I1', `the handler of job ${index} was called ${told} times in ${lives} lives`)
  }

  /** I4: to be called when all is settled. */
  finishMessages(): void {
    for (const { to, id, seq, delivered, mayExpire, revoked } of this.#messages.values()) {
      if (seq === undefined || delivered || mayExpire || revoked !== undefined || this.#gone.has(to)) continue
      this.violate('I4', `${id} to ${to} was receipted and is lost`)
    }
  }

  /**
   * I5.
   *
   * @param entries - what the journal has of the run
   * @param read - what a reader saw that read to the end; undefined when there was none
   */
  finishEntries(
    job: Job,
    runId: string,
    entries: readonly JournalEntry[],
    read: readonly ReadEvent[] | undefined,
  ): void {
    const outcome = this.#outcomes.get(runId)
    const last = Math.max(0, ...this.#executions.filter((one) => one.job === job.index).map(({ epoch }) => epoch))
    for (const execution of this.#executions.filter((one) => one.job === job.index)) {
      const { epoch, tags } = execution
      const stored = entries.flatMap((entry) => (entry.epoch === epoch && entry.tag !== undefined ? [entry.tag] : []))
      const { eventsLost } = outcome ?? {}
      const isAll = outcome?.status === 'completed' && epoch === last && eventsLost === undefined
      if (eventsLost !== undefined && epoch === last && !this.#gone.has(execution.address))
        this.violate('I5', `job ${job.index}.${epoch} lost events ${eventsLost.first} on, and its worker lives`)
      const expected = isAll ? tags : tags.slice(0, stored.length)
      if (stored.join() !== expected.join())
        this.violate('I5', `job ${job.index}.${epoch} told ${tags.join()}, the journal has ${stored.join()}`)
    }
    if (read !== undefined) this.finishReader(job, entries, read)
  }

  /**
   * I5: each message once, in order.
   *
   * @param texts - what the session of a job has
   * @param tasks - how often it may have the job's task
   * @param steered - how often it may have the text that the run was sent
   */
  finishSession(
    { index }: Job,
    entries: readonly JournalEntry[],
    texts: readonly string[],
    { tasks, steered }: { readonly tasks: readonly [least: number, most: number]; readonly steered: number },
  ): void {
    const count = (text: string): number => texts.filter((one) => one === text).length
    const own = texts.filter(
      (text) => text !== `job ${index}` && text !== 'a text' && !isInquiry(text) && !isOfStandIn(text),
    )
    const told = entries.flatMap(({ tag, isMessage }) => (isMessage && tag !== undefined ? [tag] : []))
    if (own.join() !== told.join())
      this.violate('I5', `the session of job ${index} has ${own.join()}, the journal has ${told.join()}`)
    const [least, most] = tasks
    const had = count(`job ${index}`)
    if (had < least || had > most) this.violate('I5', `the session of job ${index} has its task ${had} times`)
    if (count('a text') > steered) this.violate('I5', `the session of job ${index} has a text too often`)
  }

  /** I5: what a reader saw that read to the end. */
  finishReader(job: Job, entries: readonly JournalEntry[], read: readonly ReadEvent[]): void {
    const seen = read.flatMap((event) => {
      const tag = tagOf({ ...event })
      return tag === undefined ? [] : [tag]
    })
    const stored = entries.flatMap(({ tag }) => (tag === undefined ? [] : [tag]))
    if (seen.join() !== stored.join())
      this.violate('I5', `the reader of job ${job.index} saw ${seen.join()}, the journal has ${stored.join()}`)
    let epoch = 0
    let next = 1
    for (const event of read) {
      if (event.epoch !== epoch) next = 1
      epoch = event.epoch
      const [first, end] = event.type === 'skipped' ? [event.first, event.last] : [event.seq, event.seq]
      if (first !== next)
        this.violate('I5', `the reader of job ${job.index} saw ${epoch}.${first} where ${next} is due`)
      next = end + 1
    }
  }
}

function codeOf(outcome: Outcome): string | undefined {
  return outcome.status === 'failed' ? outcome.code : undefined
}

function mayStillRun(outcome: Outcome): boolean {
  return outcome.status === 'failed' && outcome.mayStillRun === true
}
