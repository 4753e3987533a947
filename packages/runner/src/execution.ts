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
 * - *X6* A session store of the caller's own is told of a run only when that is recorded, with what it is told: so what
 *   was refused leaves nothing there, and what a crash kept from it the next life tells.
 */
import { GreenroomError, type Outcome, type ReadEvent, type SteerMode } from '@greenroom/proto'
import { isStoreError, type Operation } from '@greenroom/store'
import { followSignal, untilAbort } from './abort.ts'
import { cancelledBy, leftOutcome, runAttempts, type AttemptHooks, type LoopEnd } from './attempt.ts'
import { leftDetached, takeOver } from './detached.ts'
import type { Attempt } from './drive/index.ts'
import type { Duty } from './duty.ts'
import { failedBy } from './ending.ts'
import type { ExecutionOptions, Spec, Surroundings } from './execution-parts.ts'
import { attemptOperation, type OpenRun, type StartKey } from './journal.ts'
import type { LogPart, PlacedWorker } from './placement/index.ts'
import { planRun, type Plan } from './plan.ts'
import type { Lease } from './pool/index.ts'
import { outcomeOfLeftOver, outcomeOfRestored, settleLeftOver, type LeftOver } from './left-over.ts'
import { placeOf } from './place.ts'
import { Feed, type ReadAfter } from './reader.ts'
import { Recorder } from './recorder.ts'
import type { Run, RunPhase, RunStatus, SteerStatus } from './run.ts'
import { settleLate, Steering, type Steer } from './steering.ts'
import { fromStore } from './store-error.ts'
import { Transcript } from './transcript.ts'

/** See X1 and X2. */
export class Execution implements Run {
  readonly id: string
  readonly outcome: Promise<Outcome>
  /** Resolves when everything is done that follows the outcome. */
  readonly settled: Promise<void>
  readonly #around: Surroundings
  readonly #spec: Spec
  readonly #refusal: GreenroomError | undefined
  readonly #duty: Duty | undefined
  readonly #earlier: OpenRun | undefined
  readonly #start: StartKey | undefined
  readonly #durable = Promise.withResolvers<void>()
  readonly #session: string
  readonly #feed: Feed
  readonly #recorder: Recorder
  readonly #transcript: Transcript
  readonly #abort = new AbortController()
  readonly #startedAt: number
  readonly #startedTicks: number
  /** X2 */
  readonly #steering = new Steering()
  /** What records the ends of its attempts, in the transaction that records the outcome. */
  readonly #ends: Operation[] = []
  #phase: RunPhase = 'planning'
  #isDetached: boolean
  #isDurable: boolean
  /** Aborts when its runner leaves it (X5). */
  readonly #left = new AbortController()
  /** Whether nobody follows the attempt yet that is taken over. */
  #isTakingOver: boolean
  /** That of an earlier life. */
  #adopted: PlacedWorker | undefined
  /** Whether {@link Execution.#attempt} has not ended. */
  #isFollowing = false
  #lease: Lease<PlacedWorker> | undefined
  #log: LogPart | undefined
  #attempt: Attempt | undefined
  #attempts: number
  #ms: number | undefined
  /** Whether the journal has it as open, or may have it. */
  #isOpen: boolean
  /** Whether there was no room for it. */
  #isRefused = false
  #status: Outcome['status'] | undefined

  /** @param more - see {@link ExecutionOptions} */
  constructor(around: Surroundings, spec: Spec, more: ExecutionOptions = {}) {
    const { clock, random } = around.config
    const { earlier } = more
    this.#around = around
    this.#refusal = more.refusal
    this.#duty = more.duty
    this.#spec = typeof spec === 'object' && spec !== null ? spec : { role: String(spec) }
    this.#earlier = earlier
    this.#isOpen = earlier !== undefined
    this.#start = more.start
    this.id = earlier?.record.runId ?? random.id()
    this.#session = this.#spec.session ?? this.id
    this.#startedAt = earlier?.record.startedAt ?? clock.now()
    this.#startedTicks = clock.monotonic() - (clock.now() - this.#startedAt)
    this.#attempts = earlier?.attempts.length ?? 0
    const left = earlier === undefined ? undefined : leftDetached(earlier)
    this.#isTakingOver = left !== undefined && earlier?.isRestored !== true
    this.#isDetached = this.#spec.detached ?? around.config.roles.get(this.#spec.role)?.detached ?? this.#isTakingOver
    this.#isDurable = earlier !== undefined
    // Of a detached one more may come.
    this.#feed = new Feed(this.id, around.journal, earlier?.attempts.slice(0, left === undefined ? undefined : -1))
    const { journal, sessions, ownSessions } = around
    this.#transcript = new Transcript({ runId: this.id, session: this.#session, journal, sessions, ownSessions, clock })
    this.#recorder = new Recorder({
      runId: this.id,
      journal: around.journal,
      feed: this.#feed,
      signal: this.#abort.signal,
      transcribe: (ref, seq, event) => this.#transcript.transcribe(ref, seq, event),
      onBroken: (error) => this.#attempt?.break(error),
    })
    this.#durable.promise.catch(() => undefined)
    const lived = this.#live()
    this.outcome = lived.then(({ outcome }) => outcome)
    this.settled = lived.then((end) => this.#settle(end))
  }

  /** Whether the journal has it as open, or may have it: after its end only the next life goes on with it. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /**
   * Resolves when it is recorded that it is to be done, or how it ended; rejects when neither can be: with `STORAGE_FULL`
   * when it is certain that nothing is stored.
   */
  get durable(): Promise<void> {
    return this.#durable.promise
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
      if (this.#phase !== 'ending' && this.#phase !== 'ended') this.#phase = 'cancelling'
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
    const mayLeave = this.#isDetached && this.#isDurable && !this.#abort.signal.aborted
    if (!mayLeave || this.#phase === 'ending' || this.#phase === 'ended') return false
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

  send(text: string, { mode = 'now' }: { readonly mode?: SteerMode } = {}): Promise<SteerStatus> {
    if (this.#phase === 'ending' || this.#phase === 'ended') return this.outcome.then(() => this.#appendLate(text))
    const carrier = this.#attempt?.isAccepted === true ? this.#attempt : undefined
    return this.#steering.send(this.#around.config.random.id(), text, mode, carrier)
  }

  workerLog(): readonly string[] {
    return [...(this.#log?.lines ?? [])]
  }

  status(): RunStatus {
    const { worker = this.#adopted, warm = false, miss } = this.#lease ?? {}
    return {
      runId: this.id,
      role: this.#spec.role,
      session: this.#session,
      phase: this.#phase,
      attempts: this.#attempts,
      events: this.#attempt?.received ?? 0,
      startedAt: this.#startedAt,
      ms: this.#ms ?? this.#elapsed(),
      ...(this.#status === undefined ? {} : { status: this.#status }),
      ...(worker === undefined ? {} : placeOf(worker, warm, miss)),
    }
  }

  async #live(): Promise<LoopEnd & { readonly recorded: boolean }> {
    // Whoever made it holds it before anything happens.
    await Promise.resolve()
    const end = await this.#run()
    this.#log?.end()
    if (this.#left.signal.aborted || end.left === true) return this.#goAway()
    this.#phase = 'ending'
    const recorded = await this.#record(end)
    if (recorded) this.#durable.resolve()
    else this.#durable.reject(new GreenroomError('OUTCOME_UNKNOWN', 'the run could not be recorded'))
    this.#close(end.outcome)
    return { ...end, recorded }
  }

  #close({ status }: Outcome): void {
    this.#status = status
    this.#ms = this.#elapsed()
    this.#phase = 'ended'
    this.#feed.end()
  }

  /** X5 */
  async #goAway(): Promise<LoopEnd & { readonly recorded: boolean }> {
    this.#left.abort()
    // What was sent to its worker waits there for it.
    const isSent = this.#attempt?.isAccepted === true
    const untold = Promise.reject(new GreenroomError('CLOSED'))
    untold.catch(() => undefined)
    for (const { settle } of this.#steering.close()) settle(isSent ? 'queued' : untold)
    this.#close(leftOutcome)
    return { ...this.#over(leftOutcome), recorded: false }
  }

  async #settle(end: LoopEnd & { readonly recorded: boolean }): Promise<void> {
    const { outcome, recorded, confirm, retire, acknowledge } = end
    if (this.#left.signal.aborted) return this.#duty?.admitted()
    // Before it is delivered: whoever is told may wait for another run, which needs this one's place.
    if (recorded) confirm()
    retire()
    this.#duty?.admitted()
    // Also what could not be recorded: nobody else would ever tell.
    await this.#duty?.deliver(this.id, outcome)
    if (recorded) acknowledge()
  }

  async #run(): Promise<LoopEnd> {
    const { signal } = this.#abort
    if (this.#earlier !== undefined) return this.#goOn(this.#earlier)
    try {
      using _following = followSignal(this.#spec.signal, (reason) => void this.cancel(reason))
      if (this.#refusal !== undefined) throw this.#refusal
      if (signal.aborted) throw new GreenroomError('ABORTED')
      const why = await untilAbort(signal, this.#duty?.skip() ?? Promise.resolve(undefined))
      if (why !== undefined) return this.#over({ status: 'skipped', why })
      return await this.#tryAll(await this.#plan(), undefined)
    } catch (error) {
      return this.#over(signal.aborted ? cancelledBy(signal) : failedBy(error))
    }
  }

  /** What an earlier life left is settled first: a plan is needed only for what follows. */
  async #goOn(earlier: OpenRun): Promise<LoopEnd> {
    const isTakenOver = this.#isTakingOver
    const leftOver = isTakenOver ? await this.#takeOver(earlier) : await this.#settleLeftOver(earlier)
    if (isTakenOver && leftOver === undefined) return { ...this.#over(leftOutcome), left: true }
    const { signal } = this.#abort
    try {
      // What its earlier attempts said reaches a session store of the caller's own only now.
      if (this.#around.ownSessions === undefined)
        await untilAbort(signal, this.#transcript.retell(this.#recorder.messages))
      if (!earlier.isRestored) return await this.#tryAll(await this.#plan(), leftOver)
    } catch (error) {
      const outcome = leftOver === undefined ? undefined : outcomeOfLeftOver(leftOver, false, signal)
      if (!earlier.isRestored)
        return this.#overWith(leftOver, outcome ?? (signal.aborted ? cancelledBy(signal) : failedBy(error)))
    }
    return this.#overWith(leftOver, outcomeOfRestored(leftOver))
  }

  /** What the bus still has of it is stored by then. */
  async #settleLeftOver(earlier: OpenRun): Promise<LeftOver | undefined> {
    const leftOver = await settleLeftOver(this.#around, earlier)
    if (leftOver?.record.detached !== undefined) {
      const { ref } = leftOver
      this.#feed.begin(ref.epoch, () => undefined, this.#around.journal.lastSeq(ref))
    }
    this.#recall()
    return leftOver
  }

  /** Follows the attempt that goes on; undefined when it was left again. */
  #takeOver(earlier: OpenRun): Promise<LeftOver | undefined> {
    this.#stored()
    return takeOver(
      {
        ...this.#around,
        signal: this.#abort.signal,
        left: this.#left.signal,
        hooks: this.#hooks(),
        onAttempt: (attempt, worker, received) => {
          this.#isTakingOver = false
          this.#recall()
          this.#adopted = worker
          this.#log = worker.log.open()
          this.#enter('running')
          this.#follow(attempt, received)
        },
      },
      earlier,
    )
  }

  /** What it said in an earlier life is part of its transcript. */
  #recall(): void {
    this.#recorder.messages.push(...this.#around.journal.messagePlaces(this.id))
  }

  #overWith(leftOver: LeftOver | undefined, outcome: Outcome): LoopEnd {
    const end = this.#over(outcome)
    if (leftOver === undefined) return end
    this.#ends.push(attemptOperation(leftOver.ref, leftOver.record))
    return leftOver.end.how === 'terminal' ? { ...end, acknowledge: leftOver.end.acknowledge } : end
  }

  /** It ended without a worker that would have to know. */
  #over(outcome: Outcome): LoopEnd {
    const ref = { runId: this.id, epoch: Math.max(this.#attempts, 1) }
    const nothing = (): void => undefined
    return { ref, outcome, confirm: nothing, retire: nothing, acknowledge: nothing }
  }

  /** The plan; whoever it has to ask, a cancel is not kept waiting. */
  async #plan(): Promise<Plan> {
    const { config, sessions, drive } = this.#around
    const planned = planRun({
      runId: this.id,
      session: this.#session,
      spec: this.#spec,
      startedAt: this.#startedAt,
      isResumed: this.#earlier !== undefined,
      config,
      sessions,
      replyTo: drive.peer.address,
      whyNotDetached: this.#around.whyNotDetached,
    })
    return untilAbort(this.#abort.signal, planned)
  }

  async #tryAll(plan: Plan, leftOver: LeftOver | undefined): Promise<LoopEnd> {
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
    const { config, journal, drive, pool, admission } = this.#around
    return runAttempts({
      plan,
      pool,
      drive,
      journal,
      config,
      admission,
      signal,
      begun,
      earlier: this.#earlier?.attempts ?? [],
      leftOver,
      // It was let in before its runner ended.
      exempt: this.#earlier !== undefined || (this.#duty?.exempt ?? false),
      onPhase: (phase) => {
        this.#lease = undefined
        this.#enter(phase)
      },
      onAdmitted: () => this.#duty?.admitted(),
      onLease: (lease, epoch) => {
        this.#enter('starting')
        this.#lease = lease
        this.#log?.end()
        this.#log = lease.worker.log.open()
        this.#attempts = epoch
      },
      onEnd: (ref, record) => this.#ends.push(attemptOperation(ref, record)),
      onAttempt: (attempt) => this.#follow(attempt, 0),
      hooks: this.#hooks(),
    })
  }

  /** @param received - the last of its events that is stored already */
  #follow(attempt: Attempt, received: number): void {
    this.#attempt = attempt
    this.#isFollowing = true
    void attempt.ended.then(({ how }) => {
      this.#isFollowing = false
      if (how === 'left') (this.#lease?.worker ?? this.#adopted)?.leave()
    })
    this.#feed.begin(attempt.ref.epoch, (upTo) => attempt.ack(upTo), received)
  }

  #hooks(): AttemptHooks {
    return {
      record: (epoch, first, events) => {
        this.#recorder.record(epoch, first, events)
        for (const event of events) this.#steering.noteTaken(event)
      },
      flushed: () => this.#recorder.flushed(),
      onAccepted: () => {
        this.#enter('running')
        if (this.#attempt !== undefined) this.#steering.handOver(this.#attempt)
      },
      onTerminal: () => this.#feed.hurry('attempt'),
      onSteerReceipt: (receipt) => this.#steering.receipt(receipt),
    }
  }

  #enter(phase: RunPhase): void {
    if (this.#phase !== 'cancelling') this.#phase = phase
  }

  /** Records the run together with what its session was told (X6). */
  async #begin({ record, sessionEntries, limits }: Plan, signal: AbortSignal): Promise<void> {
    if (this.#earlier !== undefined) return this.#stored()
    const { journal } = this.#around
    const parent = this.#duty?.parent
    const all = parent === undefined ? record : { ...record, parent }
    const also = this.#transcript.opening(sessionEntries)
    this.#isOpen = true
    try {
      await journal.begin(all, also, this.#start, { signal, withinMs: limits.totalMs ?? Infinity })
    } catch (error) {
      if (isStoreError(error, 'STORAGE_FULL')) {
        this.#isOpen = false
        this.#isRefused = true
        this.#durable.reject(fromStore(error))
      }
      throw error
    }
    this.#stored()
    if (this.#around.ownSessions !== undefined) return
    await this.#transcript.give(sessionEntries)
    this.#recorder.messages.push(...sessionEntries)
  }

  /** It is recorded that it is to be done. */
  #stored(): void {
    this.#isDurable = true
    this.#durable.resolve()
  }

  /** Whether it was recorded. */
  async #record(end: LoopEnd): Promise<boolean> {
    const late = this.#steering.close()
    const recorded = this.#refusal === undefined && (await this.#finish(end, late))
    if (recorded) this.#isOpen = false
    settleLate(late, (id, text) => (recorded ? Promise.resolve('not-live') : this.#appendLate(text, id)))
    return recorded
  }

  /** Whether that could be done. */
  async #finish({ ref, outcome }: LoopEnd, late: readonly Steer[]): Promise<boolean> {
    const { journal, config } = this.#around
    try {
      if (this.#isRefused && this.#duty === undefined) {
        // There is no room for it, and nobody who would have to be told of its end in another life.
        if (this.#attempts > 0) await journal.discard(ref)
        return false
      }
      // What a begin of unknown fate left in the journal is told all the same.
      if (!this.#isDurable) this.#recall()
      const entries = await this.#transcript.move(this.#recorder.messages)
      const all = [...entries, ...this.#transcript.late(ref, this.#feed.lastOf(ref.epoch), late)]
      const told = await this.#transcript.give(all)
      const operations = [...this.#ends, ...told, ...(this.#duty?.operations(this.id) ?? [])]
      await journal.finish(ref, outcome, config.clock.now(), operations)
      return true
    } catch (error) {
      config.logger.warn('the outcome of a run could not be recorded', { runId: this.id, error: String(error) })
      return false
    }
  }

  #appendLate(text: string, id = this.#around.config.random.id()): Promise<SteerStatus> {
    const ref = { runId: this.id, epoch: Math.max(this.#attempts, 1) }
    return this.#transcript.appendLate(ref, id, text)
  }

  #elapsed(): number {
    return Math.round(this.#around.config.clock.monotonic() - this.#startedTicks)
  }
}
