/**
 * A run's execution: the object behind {@link Run}. Leads it from plan to outcome and says where it stands.
 *
 * - *X1* There is exactly one outcome. It is recorded, with all that belongs to it, before the caller sees it; when it
 *   cannot be recorded the caller sees it all the same, and the worker's terminal stays on the bus.
 * - *X2* Steering texts that have no entry when the run ends are put into the transcript, before the senders of those
 *   without a receipt are answered.
 * - *X3* Messages are in the session's transcript as soon as they are acknowledged, where it is kept in the journal's
 *   database; a session store of the caller's own gets them at the end.
 * - *X4* Whatever it was given, nothing is thrown: what is wrong is in the outcome.
 * - *X5* A detached run that its runner leaves has no outcome yet: whoever waits for it is told so, and nothing is recorded.
 * - *X6* Its children end with it, unless it has completed.
 */
import { GreenroomError, type Outcome, type ReadEvent } from '@greenroom/proto'
import { followSignal, untilAbort } from './abort.ts'
import { Asking } from './asking.ts'
import { cancelledBy, endedAlone, leftOutcome, runAttempts, type AttemptHooks, type LoopEnd } from './attempt.ts'
import { budgetedHooks, type BudgetedRun } from './budgeted-run.ts'
import { openDesk, type ChildrenDesk } from './children-desk.ts'
import { leftDetached, takeOver } from './detached.ts'
import type { Attempt } from './drive/index.ts'
import { failedBy, withUsage } from './ending.ts'
import type { ExecutionOptions, Spec, Surroundings } from './execution-parts.ts'
import type { OpenRun } from './journal.ts'
import type { LogPart, PlacedWorker, PlaceKind } from './placement/index.ts'
import { planRun, type Plan } from './plan.ts'
import { outcomeOfLeftOver, outcomeOfRestored, settleLeftOver, type LeftOver } from './left-over.ts'
import { stampOf, standOf } from './place.ts'
import type { WorkerLease } from './places.ts'
import { Feed, type ReadAfter } from './reader.ts'
import { Recorder } from './recorder.ts'
import type { Occupant } from './room-maker.ts'
import { checkSend } from './config.ts'
import type { Run, RunPhase, RunStatus, SendOptions, SteerStatus } from './run.ts'
import type { RunChildren } from './run-children.ts'
import { RunJournal } from './run-journal.ts'
import { RunTime } from './run-time.ts'
import { settleLate, Steering } from './steering.ts'

const staysOpen = 'a run of an earlier life cannot be gone on with, and stays open'

/** See X1 to X6. */
export class Execution implements Run {
  readonly id: string
  readonly outcome: Promise<Outcome>
  /** Resolves when everything is done that follows the outcome. */
  readonly settled: Promise<void>
  readonly #around: Surroundings
  readonly #spec: Spec
  readonly #more: ExecutionOptions
  readonly #session: string
  /** The runs from the root to itself. */
  readonly path: readonly string[]
  /** See {@link Neighbour.isStandIn}. */
  readonly isStandIn: boolean
  readonly #feed: Feed
  readonly #journal: RunJournal
  readonly #children: RunChildren | undefined
  /** Undefined: it draws on none. */
  readonly #budget: BudgetedRun | undefined
  readonly #recorder: Recorder
  readonly #abort = new AbortController()
  readonly #time: RunTime
  /** X2 */
  readonly #steering = new Steering()
  readonly #asking: Asking
  readonly ask: Run['ask'] = (...asked) => this.#asking.ask(asked)
  #phase: RunPhase = 'planning'
  #isDetached: boolean
  /** Aborts when its runner leaves it (X5). */
  readonly #left = new AbortController()
  /** Whether nobody follows the attempt yet that is taken over. */
  #isTakingOver: boolean
  /** That of an earlier life. */
  #adopted: PlacedWorker | undefined
  /** Whether {@link Execution.#attempt} has not ended. */
  #isFollowing = false
  /** Where it is to go, once that is known. */
  #stamp: RunStatus['placement']
  #lease: WorkerLease | undefined
  #log: LogPart | undefined
  #attempt: Attempt | undefined
  #desk: ChildrenDesk | undefined
  #attempts: number
  #status: Outcome['status'] | undefined

  /**
   * @param more - see {@link ExecutionOptions}
   * @throws GreenroomError `LIMIT_BUDGET` for a child that is not begun
   */
  constructor(around: Surroundings, spec: Spec, more: ExecutionOptions = {}) {
    const { clock, random } = around.config
    const { earlier, start } = more
    this.#around = around
    this.#more = more
    this.#spec = typeof spec === 'object' && spec !== null ? spec : { role: String(spec) }
    this.id = earlier?.record.runId ?? random.id()
    this.path = [...(more.kin?.lineage ?? []), this.id]
    this.isStandIn = more.mark !== undefined
    const { budgets } = around
    this.#budget = earlier ? budgets.of(this.id) : budgets.open(this.path, this.#spec.budget, this.isStandIn)
    this.#children = more.family?.childrenOf(this.path)
    this.#session = this.#spec.session ?? this.id
    this.#time = new RunTime(clock, earlier?.record.startedAt)
    this.#attempts = earlier?.attempts.length ?? 0
    const left = earlier === undefined ? undefined : leftDetached(earlier)
    this.#isTakingOver = left !== undefined && earlier?.isRestored !== true
    if (this.#isTakingOver) this.#phase = 'running'
    this.#isDetached = this.#spec.detached ?? around.config.roles.get(this.#spec.role)?.detached ?? this.#isTakingOver
    // Of a detached one more may come.
    this.#feed = new Feed(this.id, around.journal, earlier?.attempts.slice(0, left === undefined ? undefined : -1))
    const isRecorded = earlier !== undefined
    const [session, budget] = [this.#session, this.#budget]
    this.#journal = new RunJournal({ around, runId: this.id, session, start, budget, isRecorded })
    for (const text of earlier?.texts ?? []) this.#steering.restore(text)
    this.#recorder = new Recorder({
      runId: this.id,
      journal: around.journal,
      feed: this.#feed,
      signal: this.#abort.signal,
      also: () => this.#budget?.operations ?? [],
      transcribe: (ref, seq, event) => this.#journal.transcribe(ref, seq, event),
      onBroken: (error) => this.#attempt?.break(error),
    })
    this.#asking = new Asking(around.config, { ...this.#spec, session: this.#session, kin: more.kin }, more.family)
    const lived = this.#live()
    this.outcome = lived.then(({ outcome }) => outcome)
    void this.outcome.then((outcome) => this.#asking.over(outcome))
    this.settled = lived.then((end) => this.#settle(end))
  }

  /** What others may want of it: one that is suspended has nothing. */
  get occupant(): Occupant | undefined {
    return this.#desk?.isOpen === true ? this.#desk : undefined
  }

  /** See {@link Neighbour.lacks}. */
  get lacks(): readonly string[] | PlaceKind | undefined {
    if (this.#phase === 'queued') return this.#stamp?.kind ?? 'local'
    return this.#phase === 'suspended' ? (this.#children?.awaited ?? []) : undefined
  }

  /** How far it is recorded. */
  get journal(): Pick<RunJournal, 'isOpen' | 'durable'> {
    return this.#journal
  }

  [Symbol.asyncIterator](): AsyncIterator<ReadEvent, undefined> {
    return this.#feed.read()
  }

  /** Reads from the event after that one on. */
  read(after: ReadAfter | undefined): AsyncIterator<ReadEvent, undefined> {
    return this.#feed.read(after)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel('the run was disposed of')
  }

  cancel(reason = 'cancelled'): Promise<Outcome> {
    if (!this.#abort.signal.aborted) {
      // X6: with one that is over go those that are to go.
      if (!this.#isOver) this.#more.family?.endChildren(this.id, 'cancelled')
      if (!this.#isOver) this.#phase = 'cancelling'
      this.#abort.abort(reason)
    }
    return this.outcome
  }

  /**
   * Lets it go on without this runner, if it is detached and recorded.
   *
   * @returns whether it does
   */
  leave(): boolean {
    const mayLeave = this.#isDetached && this.#journal.isDurable && !this.#abort.signal.aborted
    if (!mayLeave || this.#isOver) return false
    this.#left.abort()
    if (this.#isFollowing) {
      // Before its end is known here: whoever closes the placement must not end it.
      ;(this.#lease?.worker ?? this.#adopted)?.leave()
      this.#attempt?.leave()
    } else if (!this.#isTakingOver) this.#abort.abort('the runner was closed')
    return true
  }

  /** Its readers hold it back no more. */
  hurry(): void {
    this.#feed.hurry('run')
  }

  async send(text: string, options: SendOptions = {}, atOnce = false): Promise<SteerStatus> {
    checkSend(text, options)
    const { mode = 'now' } = options
    const id = this.#around.config.random.id()
    // There is nothing to keep it with before.
    if (this.#isDetached) await this.#journal.durable.catch(() => undefined)
    const isKept = this.#isDetached && !this.#isOver
    if (isKept) await this.#journal.keepText({ id, text, mode })
    const carrier = this.#isFollowing && this.#attempt?.isAccepted === true ? this.#attempt : undefined
    if (!this.#isOver) return this.#steering.send(id, text, mode, carrier, atOnce)
    await this.outcome
    if (!this.#left.signal.aborted) return this.#journal.appendLate(id, text)
    // X5: the next life of the runner sends it.
    if (isKept) return 'queued'
    throw new GreenroomError('CLOSED', 'the runner is closed')
  }

  workerLog(): readonly string[] {
    return [...(this.#log?.lines ?? [])]
  }

  status(): RunStatus {
    const { worker = this.#adopted, warm = false, miss } = this.#lease ?? {}
    const approvals = this.#around.arbiter.pending(this.id)
    return {
      runId: this.id,
      role: this.#spec.role,
      session: this.#session,
      phase: this.#phase,
      attempts: this.#attempts,
      events: this.#attempt?.received ?? 0,
      startedAt: this.#time.startedAt,
      ms: this.#time.ms,
      ...(this.#status === undefined ? {} : { status: this.#status }),
      ...(approvals === 0 ? {} : { approvals }),
      ...(this.#budget && { budget: this.#budget.left }),
      ...(this.#stamp === undefined ? {} : { placement: this.#stamp }),
      ...(worker === undefined ? {} : standOf(worker, warm, miss)),
    }
  }

  get #isOver(): boolean {
    return this.#phase === 'ending' || this.#phase === 'ended'
  }

  async #live(): Promise<LoopEnd & { readonly recorded: boolean }> {
    // Whoever made it holds it before anything happens.
    await Promise.resolve()
    const end = await this.#run()
    this.#log?.end()
    if (end.left === true) return this.#goAway(end.outcome)
    if (this.#left.signal.aborted) return this.#goAway(leftOutcome)
    this.#phase = 'ending'
    const recorded = await this.#record(end)
    this.#journal.ended(recorded)
    this.#close(end.outcome)
    if (end.outcome.status !== 'completed') this.#more.family?.endChildren(this.id, end.outcome.status)
    return { ...end, recorded }
  }

  #close({ status }: Outcome): void {
    this.#status = status
    this.#time.stop()
    this.#phase = 'ended'
    this.#feed.end()
  }

  /** X5 */
  async #goAway(outcome: Outcome): Promise<LoopEnd & { readonly recorded: boolean }> {
    this.#left.abort()
    // They are recorded.
    for (const { settle } of this.#steering.close()) settle('queued')
    this.#close(outcome)
    return { ...this.#over(outcome), recorded: false }
  }

  async #settle(end: LoopEnd & { readonly recorded: boolean }): Promise<void> {
    const { outcome, recorded, confirm, retire, acknowledge } = end
    if (this.#left.signal.aborted) return this.#more.duty?.admitted()
    // Before it is delivered: whoever is told may wait for another run, which needs this one's place.
    if (recorded) confirm()
    retire()
    this.#more.duty?.admitted()
    // Also what could not be recorded: nobody else would ever tell.
    await this.#more.duty?.deliver(this.id, outcome)
    if (recorded) acknowledge()
    await this.#around.arbiter.runEnded(this.id)
  }

  async #run(): Promise<LoopEnd> {
    const { signal } = this.#abort
    if (this.#more.earlier !== undefined)
      return this.#goOn(this.#more.earlier).catch((error: unknown) => this.#setAside(error))
    try {
      using _following = followSignal(this.#spec.signal, (reason) => void this.cancel(reason))
      if (this.#more.refusal !== undefined) throw this.#more.refusal
      if (signal.aborted) throw new GreenroomError('ABORTED')
      const why = await untilAbort(signal, this.#more.duty?.skip() ?? Promise.resolve(undefined))
      if (why !== undefined) return this.#over({ status: 'skipped', why })
      return await this.#tryAll(await this.#plan(), undefined)
    } catch (error) {
      return this.#over(signal.aborted ? cancelledBy(signal) : failedBy(error))
    }
  }

  /** What an earlier life left is settled first: a plan is needed only for what follows. */
  async #goOn(earlier: OpenRun): Promise<LoopEnd> {
    const isTakenOver = this.#isTakingOver
    const leftOver = await (isTakenOver
      ? this.#takeOver(earlier)
      : settleLeftOver({ ...this.#around, signal: this.#abort.signal }, earlier))
    if (isTakenOver && leftOver === undefined) return { ...this.#over(leftOutcome), left: true }
    if (leftOver !== undefined) this.#settled(leftOver)
    this.#recall()
    const { signal } = this.#abort
    try {
      await untilAbort(signal, this.#journal.retell())
      if (!earlier.isRestored) return await this.#tryAll(await this.#plan(), leftOver)
    } catch (error) {
      const ended = leftOver && outcomeOfLeftOver(leftOver, false, signal)
      const outcome = ended ?? (signal.aborted ? cancelledBy(signal) : failedBy(error))
      if (!earlier.isRestored) return this.#overWith(leftOver, withUsage(outcome, leftOver?.usage))
    }
    return this.#overWith(leftOver, outcomeOfRestored(leftOver))
  }

  /** What became of it cannot be read: it stays open for who repairs its records, and its worker, if any, goes on. */
  #setAside(error: unknown): LoopEnd {
    this.#around.config.logger.warn(staysOpen, { runId: this.id, error: String(error) })
    this.#adopted?.leave()
    this.#attempt?.leave()
    return { ...this.#over(failedBy(error)), left: true }
  }

  /** What the bus still has of it is stored by then. */
  #settled({ ref, record, isUnfenced }: LeftOver): void {
    if (isUnfenced === true) this.#journal.unfenced(ref, record)
    if (record.detached !== undefined)
      this.#feed.begin(ref.epoch, () => undefined, this.#around.journal.entries.last(ref))
  }

  /** Follows the attempt that goes on; undefined when it was left again. */
  #takeOver(earlier: OpenRun): Promise<LeftOver | undefined> {
    return takeOver(
      {
        ...this.#around,
        signal: this.#abort.signal,
        left: this.#left.signal,
        hooks: this.#hooks(),
        onAttempt: (attempt, worker, received) => {
          this.#isTakingOver = false
          this.#adopted = worker
          this.#log = worker.log.open()
          this.#enter('running')
          this.#follow(attempt, received)
          this.#recall()
        },
      },
      earlier,
    )
  }

  /** What it said, and took, in an earlier life. */
  #recall(): void {
    this.#journal.recall()
    if (this.#steering.isEmpty) return
    for (const event of this.#journal.said()) this.#steering.noteTaken(event)
  }

  #overWith(leftOver: LeftOver | undefined, outcome: Outcome): LoopEnd {
    const end = this.#over(outcome)
    if (leftOver === undefined) return end
    this.#journal.attemptEnded(leftOver.ref, leftOver.record)
    return leftOver.end.how === 'terminal' ? { ...end, acknowledge: leftOver.end.acknowledge } : end
  }

  #over(outcome: Outcome): LoopEnd {
    return endedAlone({ runId: this.id, epoch: Math.max(this.#attempts, 1) }, outcome)
  }

  /** The plan; whoever it has to ask, a cancel is not kept waiting. */
  async #plan(): Promise<Plan> {
    const { kin, duty, earlier } = this.#more
    const planned = planRun({
      ...this.#around,
      runId: this.id,
      session: this.#session,
      spec: this.#spec,
      startedAt: this.#time.startedAt,
      isResumed: earlier !== undefined,
      kin,
      root: duty?.parent ?? this.#around.journal.rootOf(this.id, kin),
    })
    return untilAbort(this.#abort.signal, planned)
  }

  async #tryAll(plan: Plan, leftOver: LeftOver | undefined): Promise<LoopEnd> {
    if (plan.place.kind !== 'local') this.#stamp = stampOf(plan.place)
    const over = new AbortController()
    const signal = AbortSignal.any([this.#abort.signal, over.signal])
    const begun = this.#begin(plan, signal)
    let unbegun: Outcome | undefined
    begun.catch((error: unknown) => {
      unbegun = this.#abort.signal.aborted ? undefined : failedBy(error)
      // Whatever it waits for: what is not recorded is not done.
      over.abort()
    })
    const end = await this.#attemptAll(plan, leftOver, begun, signal)
    // What follows must not be overtaken by a record of its begin.
    over.abort()
    return unbegun === undefined ? end : { ...end, outcome: unbegun }
  }

  #attemptAll(plan: Plan, leftOver: LeftOver | undefined, begun: Promise<void>, signal: AbortSignal): Promise<LoopEnd> {
    return runAttempts({
      ...this.#around,
      plan,
      signal,
      begun,
      earlier: this.#more.earlier?.attempts ?? [],
      budget: this.#budget,
      leftOver,
      // It was let in before its runner ended.
      exempt: this.#more.earlier !== undefined || (this.#more.duty?.exempt ?? false),
      onPhase: (phase) => {
        this.#lease = undefined
        this.#enter(phase)
        this.#steering.park()
      },
      onAdmitted: () => this.#more.duty?.admitted(),
      onLease: (lease, epoch) => {
        this.#enter('starting')
        this.#lease = lease
        this.#log?.end()
        this.#log = lease.worker.log.open()
        this.#attempts = epoch
      },
      onFull: (full) => this.#more.family?.makeRoom(this.path, full) ?? 'later',
      waitFor: (wait) => this.#children?.waitSuspended(wait, signal) ?? Promise.resolve([]),
      onEnd: (ref, record) => this.#journal.attemptEnded(ref, record),
      onAttempt: (attempt, permit, { worker }) => {
        this.#desk = openDesk({ ...this.#around, children: this.#children, plan, worker, attempt, permit })
        this.#follow(attempt, 0)
      },
      hooks: this.#hooks(),
    })
  }

  /** @param received - the last of its events that is stored already */
  #follow(attempt: Attempt, received: number): void {
    this.#attempt = attempt
    this.#isFollowing = true
    this.#budget?.follow(attempt)
    const { arbiter } = this.#around
    arbiter.follow(attempt.ref, { waits: () => attempt.waits('approval'), ask: (...one) => this.#desk?.ask(...one) })
    void attempt.ended.then(({ how }) => {
      this.#isFollowing = false
      if (how === 'left') (this.#lease?.worker ?? this.#adopted)?.leave()
      else arbiter.attemptEnded(attempt.ref)
    })
    this.#feed.begin(attempt.ref.epoch, (upTo) => attempt.ack(upTo), received)
  }

  #hooks(): AttemptHooks {
    return budgetedHooks(this.#budget, {
      record: (epoch, first, events) => {
        this.#recorder.record(epoch, first, events)
        for (const event of events) this.#steering.noteTaken(event)
      },
      flushed: () => this.#recorder.flushed(),
      onAccepted: () => {
        this.#enter('running')
        if (this.#attempt === undefined) return
        this.#steering.handOver(this.#attempt)
        this.#asking.accepted(this.#attempt)
      },
      onTerminal: () => this.#feed.hurry('attempt'),
      onSteerReceipt: (receipt) => this.#steering.receipt(receipt),
      onChildren: (request) => this.#desk?.take(request),
    })
  }

  #enter(phase: RunPhase): void {
    if (this.#phase !== 'cancelling') this.#phase = phase
  }

  async #begin({ record, sessionEntries, limits }: Plan, signal: AbortSignal): Promise<void> {
    if (this.#more.earlier !== undefined) return
    const parent = this.#more.duty?.parent
    const all = { ...record, ...this.#more.mark, ...(parent === undefined ? {} : { parent }) }
    await this.#journal.begin(all, sessionEntries, { signal, withinMs: limits.totalMs ?? Infinity })
  }

  /** Whether it was recorded. */
  async #record({ ref, outcome }: LoopEnd): Promise<boolean> {
    const late = this.#steering.close()
    const end = { ref, outcome, attempts: this.#attempts }
    const recorded =
      this.#more.refusal === undefined && (await this.#journal.finish(end, late, this.#more.duty?.operations(this.id)))
    settleLate(late, (id, text) => (recorded ? Promise.resolve('not-live') : this.#journal.appendLate(id, text)))
    return recorded
  }
}
