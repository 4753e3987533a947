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
 */
import { codeOf, GreenroomError, type JsonValue, type Outcome, type ReadEvent, type SteerMode } from '@greenroom/proto'
import { isStoreError, type Operation } from '@greenroom/store'
import { untilAbort } from './abort.ts'
import type { Admission } from './admission.ts'
import { runAttempts, type LoopEnd } from './attempt.ts'
import type { Config } from './config.ts'
import type { Attempt, Drive } from './drive/index.ts'
import type { Duty } from './duty.ts'
import { failedBy } from './ending.ts'
import { attemptOperation, type AttemptRecord, type Journal, type OpenRun, type StartKey } from './journal.ts'
import type { LogPart, PlacedWorker, Placement, WorkerNeed } from './placement/index.ts'
import { planRun, type Plan } from './plan.ts'
import type { Lease, Pool } from './pool/index.ts'
import { outcomeOfLeftOver, settleLeftOver, type LeftOver } from './left-over.ts'
import { Feed, type ReadAfter } from './reader.ts'
import { Recorder } from './recorder.ts'
import type { Run, RunPhase, RunSpec, RunStatus, SteerStatus } from './run.ts'
import type { SessionStore } from './session-store.ts'
import { Steering, type Steer } from './steering.ts'
import { Transcript } from './transcript.ts'
import type { StoreSessions } from './store-sessions.ts'

/** What executions work with: the runner's parts. */
export interface Surroundings {
  readonly config: Config
  readonly journal: Journal
  readonly sessions: SessionStore
  /** The same, when it is in the journal's database: then one transaction does both. */
  readonly ownSessions: StoreSessions | undefined
  readonly drive: Drive
  readonly placement: Placement
  readonly pool: Pool<WorkerNeed, PlacedWorker>
  readonly admission: Admission
  /** Waits for the end of a worker of an earlier life; false when nobody knows. */
  readonly isGone: (record: AttemptRecord) => Promise<boolean>
}

type Spec = RunSpec & { readonly input?: JsonValue | undefined }

/** What is special about an execution. */
export interface ExecutionOptions {
  /** Why it is not even tried. */
  readonly refusal?: GreenroomError | undefined
  /** What whoever ordered it wants. */
  readonly duty?: Duty | undefined
  /** What an earlier life of the runner left of it. */
  readonly earlier?: OpenRun
  /** By which it is found when it is started again. */
  readonly start?: StartKey
}

const retryMs = 200
const recordTries = 10

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
  #lease: Lease<PlacedWorker> | undefined
  #log: LogPart | undefined
  #attempt: Attempt | undefined
  #attempts: number
  #ms: number | undefined
  #isRecorded: boolean | undefined
  #status: Outcome['status'] | undefined

  /** @param more - see {@link ExecutionOptions} */
  constructor(around: Surroundings, spec: Spec, more: ExecutionOptions = {}) {
    const { clock, random } = around.config
    const { earlier } = more
    this.#around = around
    this.#refusal = more.refusal
    this.#duty = more.duty
    this.#spec = isObject(spec) ? spec : { role: String(spec) }
    this.#earlier = earlier
    this.#start = more.start
    this.id = earlier?.record.runId ?? random.id()
    this.#session = this.#spec.session ?? this.id
    this.#startedAt = earlier?.record.startedAt ?? clock.now()
    this.#startedTicks = clock.monotonic() - (clock.now() - this.#startedAt)
    this.#attempts = earlier?.attempts.length ?? 0
    this.#feed = new Feed(this.id, around.journal, earlier?.attempts)
    const { journal, sessions, ownSessions } = around
    this.#transcript = new Transcript({ runId: this.id, session: this.#session, journal, sessions, ownSessions })
    this.#recorder = new Recorder({
      runId: this.id,
      journal: around.journal,
      feed: this.#feed,
      clock,
      signal: this.#abort.signal,
      transcribe: (ref, seq, event) => this.#transcript.transcribe(ref, seq, event),
      onBroken: (error) => this.#attempt?.break(error),
    })
    if (earlier !== undefined) this.#recorder.messages.push(...around.journal.messagePlaces(this.id))
    this.#durable.promise.catch(() => undefined)
    const lived = this.#live()
    this.outcome = lived.then(({ outcome }) => outcome)
    this.settled = lived.then((end) => this.#settle(end))
  }

  /** Whether its outcome could be recorded; undefined before its end. */
  get isRecorded(): boolean | undefined {
    return this.#isRecorded
  }

  /** Resolves when it is recorded that it is to be done, or how it ended; rejects when neither can be. */
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
    const { worker, warm = false, miss } = this.#lease ?? {}
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
      ...(worker === undefined
        ? {}
        : {
            placement: { kind: worker.kind, host: worker.host },
            worker: {
              address: worker.address,
              warm,
              ...(miss === undefined ? {} : { miss }),
              ...(worker.pid === undefined ? {} : { pid: worker.pid }),
            },
          }),
    }
  }

  async #live(): Promise<LoopEnd & { readonly recorded: boolean }> {
    // Whoever made it holds it before anything happens.
    await Promise.resolve()
    const end = await this.#run()
    this.#log?.end()
    this.#phase = 'ending'
    const recorded = await this.#record(end)
    this.#isRecorded = recorded
    if (recorded) this.#durable.resolve()
    else this.#durable.reject(new GreenroomError('OUTCOME_UNKNOWN', 'the run could not be recorded'))
    this.#status = end.outcome.status
    this.#ms = this.#elapsed()
    this.#phase = 'ended'
    this.#feed.end()
    return { ...end, recorded }
  }

  async #settle(end: LoopEnd & { readonly recorded: boolean }): Promise<void> {
    const { outcome, recorded, confirm, retire, acknowledge } = end
    // Before it is delivered: whoever is told may wait for another run, which needs this one's place.
    if (recorded) confirm()
    retire()
    this.#duty?.admitted()
    // Also what could not be recorded: nobody else would ever tell.
    await this.#duty?.deliver(this.id, outcome)
    if (recorded) acknowledge()
  }

  /** The caller's signal is the run's. */
  #followSignal(): Disposable | undefined {
    const { signal } = this.#spec
    if (signal === undefined) return undefined
    if (typeof signal?.addEventListener !== 'function')
      throw new GreenroomError('BAD_OPTIONS', 'signal must be an AbortSignal')
    const onAbort = (): void => void this.cancel(reasonOf(signal))
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    return { [Symbol.dispose]: () => signal.removeEventListener('abort', onAbort) }
  }

  async #run(): Promise<LoopEnd> {
    const { signal } = this.#abort
    if (this.#earlier !== undefined) return this.#goOn(this.#earlier)
    try {
      using _following = this.#followSignal()
      if (this.#refusal !== undefined) throw this.#refusal
      if (signal.aborted) throw new GreenroomError('ABORTED')
      const why = await untilAbort(signal, this.#duty?.skip() ?? Promise.resolve(undefined))
      if (why !== undefined) return this.#over({ status: 'skipped', why })
      return await this.#tryAll(await this.#plan(), undefined)
    } catch (error) {
      return this.#over(signal.aborted ? { status: 'cancelled', reason: String(signal.reason) } : failedBy(error))
    }
  }

  /** What an earlier life left is settled first: a plan is needed only for what follows. */
  async #goOn(earlier: OpenRun): Promise<LoopEnd> {
    const leftOver = await settleLeftOver(this.#around, earlier)
    const { signal } = this.#abort
    try {
      if (this.#around.ownSessions === undefined) await untilAbort(signal, this.#retell())
      return await this.#tryAll(await this.#plan(), leftOver)
    } catch (error) {
      const outcome = leftOver === undefined ? undefined : outcomeOfLeftOver(leftOver, false, signal)
      const end = this.#over(
        outcome ?? (signal.aborted ? { status: 'cancelled', reason: String(signal.reason) } : failedBy(error)),
      )
      if (leftOver === undefined) return end
      this.#ends.push(attemptOperation(leftOver.ref, leftOver.record))
      return leftOver.end.how === 'terminal' ? { ...end, acknowledge: leftOver.end.acknowledge } : end
    }
  }

  /** What its earlier attempts said reaches a session store of the caller's own only now. */
  async #retell(): Promise<void> {
    await this.#transcript.give(await this.#transcript.move(this.#recorder.messages))
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
    })
    return untilAbort(this.#abort.signal, planned)
  }

  #tryAll(plan: Plan, leftOver: LeftOver | undefined): Promise<LoopEnd> {
    const { config, journal, drive, pool, admission } = this.#around
    const begun = this.#begin(plan)
    begun.then(this.#durable.resolve, () => undefined)
    return runAttempts({
      plan,
      pool,
      drive,
      journal,
      config,
      admission,
      signal: this.#abort.signal,
      begun,
      earlier: this.#earlier?.attempts ?? [],
      leftOver,
      record: (epoch, first, events) => {
        this.#recorder.record(epoch, first, events)
        for (const event of events) this.#steering.noteTaken(event)
      },
      flushed: () => this.#recorder.flushed(),
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
      onAttempt: (attempt) => {
        this.#attempt = attempt
        this.#feed.begin(attempt.ref.epoch, (upTo) => attempt.ack(upTo))
      },
      hooks: {
        onAccepted: () => {
          this.#enter('running')
          if (this.#attempt !== undefined) this.#steering.handOver(this.#attempt)
        },
        onTerminal: () => this.#feed.hurry('attempt'),
        onSteerReceipt: (receipt) => this.#steering.receipt(receipt),
      },
    })
  }

  #enter(phase: RunPhase): void {
    if (this.#phase !== 'cancelling') this.#phase = phase
  }

  /** Records the run, after its session has what it was asked to do. */
  async #begin({ record, sessionEntries }: Plan): Promise<void> {
    if (this.#earlier !== undefined) return
    const also = await this.#transcript.give(sessionEntries)
    // It took so long that the run has ended meanwhile, as cancelled or for want of a worker: it must not be open again.
    if (this.#phase === 'ending' || this.#phase === 'ended') throw new GreenroomError('ABORTED')
    const parent = this.#duty?.parent
    await this.#around.journal.begin(parent === undefined ? record : { ...record, parent }, also, this.#start)
  }

  /** Whether it was recorded. */
  async #record(end: LoopEnd): Promise<boolean> {
    const late = this.#steering.close()
    const recorded = this.#refusal === undefined && (await this.#persist(() => this.#finish(end, late)))
    for (const { id, text, settle } of late) {
      const kept = recorded ? Promise.resolve('not-live' as const) : this.#appendLate(text, id)
      // Who was told `queued` hears no more of it.
      kept.catch(() => undefined)
      settle(kept)
    }
    return recorded
  }

  async #finish({ ref, outcome }: LoopEnd, late: readonly Steer[]): Promise<void> {
    const { journal, config } = this.#around
    const entries = await this.#transcript.move(this.#recorder.messages)
    const all = [...entries, ...this.#transcript.late(ref, this.#feed.lastOf(ref.epoch), late)]
    const also = [...this.#ends, ...(await this.#transcript.give(all)), ...(this.#duty?.operations(this.id) ?? [])]
    await journal.finish(ref, outcome, config.clock.now(), also)
  }

  async #persist(write: () => Promise<void>): Promise<boolean> {
    const { clock, logger } = this.#around.config
    for (let tries = 1; ; tries += 1) {
      try {
        await write()
        return true
      } catch (error) {
        if (tries === recordTries || !mayHelp(error)) {
          logger.warn('the outcome of a run could not be recorded', { runId: this.id, error: String(error) })
          return false
        }
        await new Promise<void>((resolve) => void clock.timer(retryMs, resolve))
      }
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

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/**
 * Whether writing again may help; a session store of the caller's own is given the benefit of the doubt, but for one that
 * did not answer at all.
 */
function mayHelp(error: unknown): boolean {
  return isStoreError(error) ? error.retry === 'later' : codeOf(error) === undefined
}

/** Why a caller's signal aborted, as text for the executor and the outcome. */
function reasonOf({ reason }: AbortSignal): string {
  const why: unknown = reason
  return why instanceof Error ? why.message : String(why)
}
