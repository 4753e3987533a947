/**
 * One attempt: a run in the hands of one worker, from its assignment to its end.
 *
 * ```text
 * assign ─► wait ─┬─ terminal ─────────► complete: all events up to lastSeq are stored
 *                 ├─ worker gone ──────► settle: withdrawn → unclaimed · its stored terminal · lost
 *                 ├─ silent, refused ──► revoke: withdrawn → unclaimed · claimed → end the worker, then as gone
 *                 └─ cancelled, ───────► revoke: withdrawn → unclaimed · claimed → cancel, then as waiting
 *                    or a limit exceeded
 * take over ─► revoke: withdrawn → unclaimed · claimed → wait, as above        (a detached one of an earlier life)
 * ```
 *
 * - *A2* `unclaimed` is proof that nothing ran: the broker withdrew the assignment.
 * - *A3* A worker that does not end within the cancel grace and a second is ended by force, whatever it waits for.
 * - *A4* Of a detached run the bus stores each entry (R10): all that were stored are here when a message has come that the
 *   runner sent to itself afterwards, on the lane of data.
 * - *A5* A resident worker is never ended from here: it is given up, and what it had claimed may still run.
 */
import {
  GreenroomError,
  codeOf,
  encodeMessage,
  kinds,
  parseMessage,
  type ApprovalAnswer,
  type ApprovalAsk,
  type BridgeResult,
  type Budget,
  type ChildrenResult,
  type Delivery,
  type LiveMessage,
  type Outgoing,
  type Peer,
  type Run,
  type RunMessages,
  type RunRef,
  type SteerMode,
  type Timer,
} from '@greenroom/proto'
import { encodeAssignment } from './assignment.ts'
import type { AttemptEnd, UntrippedEnd } from './attempt-end.ts'
import type { AttemptOptions, HandedOver } from './attempt-options.ts'
import { Limiter, reasonOf, type LimiterSeams, type Spent } from './limiter.ts'
import type { Exceeded } from './meter.ts'
import { Markers, type Lane } from './markers.ts'
import { Questions } from './questions.ts'
import { sendWhenRoom } from './room-send.ts'
import { WorkerLine } from './worker-line.ts'
import { acknowledge, WorkerReports } from './worker-reports.ts'

type Turn = 'terminal' | 'gone' | 'refused' | 'silent' | 'cancel' | 'withdrawn'

const resumeMs = 500
/** In times of `settleMs`: a worker that has lost its connection may take one of it to come back, or else is gone. */
const patience = 2
/** How much longer than the cancel grace a worker may take before it is ended by force (A3). */
const forceMs = 1_000

/** An attempt in progress. */
export class Attempt {
  /** Which run, and which try of it. */
  readonly ref: RunRef
  /** How it ended. Never rejects. */
  readonly ended: Promise<AttemptEnd>
  /** What its executor is asked, once {@link Attempt.isAccepted}. */
  readonly questions: Questions
  readonly #options: AttemptOptions
  readonly #peer: Peer
  readonly #seams: LimiterSeams
  readonly #reports: WorkerReports
  readonly #line: WorkerLine
  readonly #limiter: Limiter
  readonly #exceeded = new AbortController()
  /** Aborts when its caller or a limit ends it. */
  readonly #signal: AbortSignal
  readonly #silent = Promise.withResolvers<void>()
  /** They follow A4, and what a worker that died had stored. */
  readonly #markers: Markers
  /** For how many decisions its worker waits, and how often for its run's children. */
  readonly #waiting = { approval: 0, children: 0 }
  #isLeft = false
  /** Resolves when the last text is on its way. */
  #steered: Promise<void> = Promise.resolve()
  /** How often its worker was wanted. */
  #wanted = 0
  readonly #left = Promise.withResolvers<UntrippedEnd>()
  readonly #broken = Promise.withResolvers<never>()
  #cancelling = false
  readonly #timers = new Set<Timer>()

  constructor(peer: Peer, seams: LimiterSeams, options: AttemptOptions) {
    this.#options = options
    this.#peer = peer
    this.#seams = seams
    const startedAt = isHandedOver(options.run) ? options.run.startedAt : seams.clock.now()
    this.#line = new WorkerLine(peer, options.worker.address, seams.clock, startedAt)
    this.#signal = AbortSignal.any([options.signal, this.#exceeded.signal])
    const { run, acceptMs, worker } = options
    const { limits = {} } = run
    this.#limiter = new Limiter(seams, {
      acceptMs,
      limits,
      pid: worker.pid,
      onSilent: this.#silent.resolve,
      onTrip: (trip) => this.#exceeded.abort(reasonOf(trip, limits)),
      onExcess: () => worker.kill(),
    })
    if (peer.state !== 'attached') this.#limiter.hold('detached')
    this.ref = { runId: options.run.runId, epoch: options.run.epoch }
    this.#markers = new Markers(peer, seams.clock, this.ref, 'marker')
    this.#reports = new WorkerReports({
      peer,
      clock: seams.clock,
      limiter: this.#limiter,
      ref: this.ref,
      received: isHandedOver(run) ? run.received : 0,
      onBroken: this.#broken.reject,
      attempt: options,
    })
    this.#broken.promise.catch(() => undefined)
    this.ended = this.#live()
    this.questions = new Questions({ peer, to: worker.address, ref: this.ref, clock: seams.clock, ended: this.ended })
  }

  get #isDetached(): boolean {
    return this.#options.run.detached === true
  }

  /** Aborts when its caller or a limit ends it, and at its end. */
  get stopped(): AbortSignal {
    return this.#signal
  }

  /** How many events have arrived. */
  get received(): number {
    return this.#reports.received
  }

  /** Whether the worker has claimed the run. */
  get isAccepted(): boolean {
    return this.#reports.isAccepted
  }

  /** Whether time passes for it: it was claimed, has not ended, and does not wait for children. */
  get isExecuting(): boolean {
    return this.isAccepted && this.#reports.held === undefined && this.#waiting.children === 0
  }

  /** What it used so far. */
  get spent(): Spent {
    return this.#limiter.spent
  }

  /** All events up to this one are safe: see R4. */
  ack(upTo: number): void {
    this.#reports.ack(upTo)
  }

  /** Says something to the executor; its receipt comes by `onSteerReceipt`, or never when the attempt ends first. */
  steer(steerId: string, text: string, mode: SteerMode): void {
    this.#reports.steered(steerId)
    const send = (): Promise<void> =>
      this.#sendWhenRoom('steer', this.#steerKey(steerId), { ...this.ref, steerId, text, mode })
    // One after the other: they are read in the order in which they were said.
    this.#steered = this.#steered.then(send).catch(() => undefined)
  }

  /** Another attempt may have the same worker, and send it once more. */
  #steerKey(steerId: string): string {
    return `steer-${steerId}-${this.ref.epoch}`
  }

  /** Whether a frame with this sender and reference is this attempt's. */
  owns(ref: RunRef, sender: Pick<LiveMessage, 'from' | 'fromIncarnation'>): boolean {
    return this.#reports.owns(ref, sender)
  }

  /** A live message of its worker: its kind, and its payload as it was decoded. */
  live(kind: string, content: unknown): void {
    this.#reports.live(kind, content)
  }

  /**
   * A durable message of its worker, and its payload as it was decoded.
   *
   * @returns false for one that nobody waits for any more
   */
  durable(delivery: Delivery, content: unknown): boolean {
    if (delivery.kind !== 'ask-reply') {
      this.#reports.durable(delivery, content)
      return true
    }
    const reply = parseMessage('ask-reply', content)
    acknowledge(delivery)
    return this.questions.answered(reply)
  }

  /** Its worker waits for a decision, or for its run's children; returns what says that it does not any more. */
  waits(what: 'approval' | 'children'): () => void {
    this.#waiting[what] += 1
    this.#limiter.hold(what)
    this.#options.onWaits?.()
    return () => {
      this.#waiting[what] -= 1
      if (this.#waiting[what] === 0) this.#limiter.release(what)
      this.#options.onWaits?.()
    }
  }

  /** Its worker is wanted: an executor that can be suspended, and waits for children, is. */
  suspend(reason: string): void {
    const { runId, epoch } = this.ref
    this.#wanted += 1
    // Whoever wants its place waits for nothing else: it is said until there is room for it, and each time anew, since it may not have
    // been waiting any more when it was told before.
    this.#sendWhenRoom('suspend', `suspend-${runId}-${epoch}-${this.#wanted}`, { ...this.ref, reason }).catch(
      () => undefined,
    )
  }

  /**
   * Puts a descendant's request to its executor.
   *
   * @returns undefined when the attempt ends, or the signal aborts, before that has answered. Never rejects
   */
  async ask(ask: Omit<ApprovalAsk, keyof RunRef>, signal: AbortSignal): Promise<ApprovalAnswer | undefined> {
    const { promise, resolve } = Promise.withResolvers<ApprovalAnswer | undefined>()
    const giveUp = (): void => resolve(undefined)
    this.#reports.asks.set(ask.requestId, resolve)
    signal.addEventListener('abort', giveUp, { once: true })
    void this.ended.then(giveUp)
    try {
      const id = `approval-ask-${ask.requestId}-${this.ref.runId}-${this.ref.epoch}`
      this.#sendWhenRoom('approval-ask', id, { ...ask, ...this.ref }).catch(giveUp)
      return await promise
    } finally {
      this.#reports.asks.delete(ask.requestId)
      signal.removeEventListener('abort', giveUp)
    }
  }

  /** Answers a request of {@link AttemptOptions.onChildren} or {@link AttemptOptions.onBridge}. */
  answer(
    kind: 'children-result' | 'bridge-result',
    result: Omit<ChildrenResult, keyof RunRef> | Omit<BridgeResult, keyof RunRef>,
  ): void {
    const { requestId } = result
    const id = `${kind}-${requestId}`
    this.#sendWhenRoom(kind, id, { ...result, ...this.ref }).catch((error: unknown) => {
      if (codeOf(error) !== 'FRAME_TOO_LARGE') return
      // It would wait for ever.
      const message = `the answer is too large: ${error instanceof Error ? error.message : ''}`
      const none = { ...this.ref, requestId, error: { code: 'FRAME_TOO_LARGE', message } }
      this.#sendWhenRoom(kind, id, none).catch(() => undefined)
    })
  }

  /** What its events up to that one say was used is counted, and there is so much left. */
  counted(upTo: number, left: Budget): void {
    const { runId, epoch } = this.ref
    const id = `spend-receipt-${runId}-${epoch}-${upTo}`
    this.#sendWhenRoom('spend-receipt', id, { ...this.ref, upTo, left }).catch(() => undefined)
  }

  /** A budget that it draws on is used up: it ends by that, unless something else was first. */
  exceed(exceeded: Exceeded): void {
    this.#limiter.exceed(exceeded)
  }

  /** A message that it sent to the runner's own mailbox came back. */
  marked(lane: Lane): void {
    this.#markers.cameBack(lane)
  }

  /** It goes on without this runner. */
  leave(): void {
    this.#isLeft = true
    this.#left.resolve({ how: 'left' })
  }

  /** The runner's mailbox is attached again. */
  attached(): void {
    this.#limiter.release('detached')
    this.#reports.attached()
    if (this.#cancelling) this.#hintCancel()
  }

  /** The runner hears nothing until then. */
  detached(): void {
    this.#limiter.hold('detached')
  }

  /** The attempt cannot be followed: its runner's connection or journal is of no more use. A detached one goes on. */
  break(error: unknown): void {
    if (this.#isDetached && !this.#signal.aborted) this.leave()
    else this.#broken.reject(error)
  }

  async #live(): Promise<AttemptEnd> {
    const onAbort = (): void =>
      void this.#after(this.#options.cancelGraceMs + forceMs, () => this.#options.worker.kill())
    const signal = this.#signal
    if (signal.aborted && !isHandedOver(this.#options.run)) return { how: 'unclaimed', why: 'cancelled' }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    try {
      return this.#withTrip(await Promise.race([this.#drive(), this.#broken.promise, this.#left.promise]))
    } catch (error) {
      return this.#withTrip({ how: 'failed', error })
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#limiter.stop()
      // Nothing of the assignment is sent any more.
      this.#exceeded.abort()
      for (const timer of this.#timers) timer.cancel()
      this.#reports.close()
      // Of one that is left its worker gets them.
      const untaken = this.#isLeft ? [] : this.#reports.unanswered
      for (const id of untaken) void this.#line.revoke(this.#steerKey(id)).catch(() => undefined)
    }
  }

  #withTrip(end: UntrippedEnd): AttemptEnd {
    const { tripped } = this.#limiter
    return tripped === undefined ? end : { ...end, tripped }
  }

  async #drive(): Promise<UntrippedEnd> {
    switch (await this.#wait()) {
      case 'terminal':
        return this.#complete()
      case 'gone':
        return this.#settle()
      case 'cancel':
        return this.#cancel()
      case 'silent':
        return this.#withdraw('silent')
      case 'refused':
        return this.#withdraw('refused')
      case 'withdrawn':
        return { how: 'unclaimed', why: 'gone' }
    }
  }

  /** Sends the assignment and waits for whatever comes first. */
  async #wait(): Promise<Turn> {
    const { run, worker } = this.#options
    const signal = this.#signal
    const { promise, resolve, reject } = Promise.withResolvers<Turn>()
    // Whatever comes once it is left is for whoever follows it next.
    const turn = (which: Turn) => (): void => void (this.#isLeft || resolve(which))
    const onAbort = turn('cancel')
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    void this.#reports.terminal.then(turn('terminal'))
    void this.#reports.refused.then(turn('refused'))
    void this.#silent.promise.then(turn('silent'))
    void worker.gone.then(turn('gone'))
    const begun = isHandedOver(run) ? this.#takeOver(run, turn('withdrawn')) : this.#assign(run)
    begun.catch((error: unknown) => {
      // A mailbox is closed only for a worker that is gone: its process will be seen to end.
      if (codeOf(error) === 'MAILBOX_CLOSED') worker.kill()
      else reject(error)
    })
    return promise.finally(() => signal.removeEventListener('abort', onAbort))
  }

  /** Parts of a long history first: any of them may have to wait for room, and the run is nothing without them. */
  async #assign(run: Run): Promise<void> {
    const messages = encodeAssignment(run, this.#options.worker.address)
    const patience = { signal: this.#signal, withinMs: run.limits?.totalMs ?? Infinity }
    const send = (message: Outgoing): Promise<unknown> => sendWhenRoom(this.#peer, message, this.#seams.clock, patience)
    await Promise.all(messages.slice(0, -1).map(send))
    await Promise.all(messages.slice(-1).map(send))
    this.#limiter.sent()
  }

  /** It has its assignment, or never had it. */
  async #takeOver({ kept }: HandedOver, onWithdrawn: () => void): Promise<void> {
    const { worker } = this.#options
    if (kept !== undefined && this.owns(this.ref, kept))
      this.#reports.over({ terminal: kept.terminal, acknowledge: kept.acknowledge ?? (() => undefined) })
    const revoked = await this.#line.withdraw(this.ref)
    if (revoked === 'claimed' || this.#reports.mayHaveRun) return this.#reports.accept()
    worker.kill()
    onWithdrawn()
  }

  /** Takes the assignment back. A worker that has it all the same is ended. */
  async #withdraw(why: 'silent' | 'refused'): Promise<UntrippedEnd> {
    if ((await this.#line.withdraw(this.ref)) !== 'claimed') return { how: 'unclaimed', why }
    this.#options.worker.kill()
    return this.#end()
  }

  async #cancel(): Promise<UntrippedEnd> {
    const over = Promise.race([this.#reports.terminal, this.#options.worker.gone])
    const revoked = await Promise.race([this.#line.withdraw(this.ref), over.then(() => undefined)])
    if (revoked !== undefined && revoked !== 'claimed' && !this.#reports.mayHaveRun)
      return { how: 'unclaimed', why: 'cancelled' }
    if (revoked !== undefined) {
      this.#cancelling = true
      this.#hintCancel()
      const id = `cancel-${this.ref.runId}-${this.ref.epoch}`
      this.#line.cancel(id, this.#cancelMessage()).catch(() => undefined)
    }
    return this.#end()
  }

  /** Waits for the terminal, or the worker's end (which A3 brings about). */
  async #end(): Promise<UntrippedEnd> {
    await Promise.race([this.#reports.terminal, this.#options.worker.gone])
    return this.#reports.held === undefined ? this.#settle() : this.#complete()
  }

  /** The worker is gone: what did it leave? */
  async #settle(): Promise<UntrippedEnd> {
    const late = new AbortController()
    // A detached worker is gone when its last word is stored: only the bus can say.
    if (!this.#isDetached) this.#after(this.#options.settleMs, () => late.abort())
    try {
      const revoked = await this.#line.withdraw(this.ref, late.signal)
      if (revoked !== 'claimed' && !this.#reports.mayHaveRun) return { how: 'unclaimed', why: 'gone' }
      // Whatever the worker stored in the runner's mailbox was stored before its incarnation was declared gone, so it is
      // delivered before a message that is stored there now.
      if (this.#reports.held === undefined) await this.#markers.pass('control', late.signal, this.#reports.terminal)
      if (this.#isDetached) await this.#markers.pass('data', late.signal)
    } catch (error) {
      if (!late.signal.aborted) throw error
    }
    await this.#options.flushed()
    // Also one that came while the last entries were being stored.
    if (this.#reports.held !== undefined) return this.#complete()
    const { isResident = false, gone } = this.#options.worker
    const mayStillRun = isResident && (await gone).seenDead !== true
    return { how: 'lost', mayStillRun, ...this.#reports.missing() }
  }

  /** The executor ended: believed when everything up to its last event is stored, or can never come. */
  async #complete(): Promise<UntrippedEnd> {
    const { terminal, acknowledge: forget } = this.#reports.held ?? {}
    if (terminal === undefined || forget === undefined)
      throw new GreenroomError('INTERNAL', 'an end without a terminal')
    if (this.#isDetached) await this.#markers.pass('data', new AbortController().signal)
    const last = terminal.lost?.first === undefined ? terminal.lastSeq : terminal.lost.first - 1
    let isGone = false
    const gone = this.#options.worker.gone.then(() => (isGone = true))
    let unanswered = 0
    // A worker forgets a run in the end (R5), and cannot say so.
    while (this.#reports.received < last && !isGone && unanswered * resumeMs < patience * this.#options.settleMs) {
      const repeat = Promise.withResolvers<void>()
      const timer = this.#after(resumeMs, () => {
        this.#reports.attached()
        if (this.#peer.state === 'attached') unanswered += 1
        repeat.resolve()
      })
      const arrived = this.#reports.arrived.then(() => (unanswered = 0))
      await Promise.race([arrived, gone, repeat.promise])
      timer.cancel()
    }
    await this.#options.flushed()
    return {
      how: 'terminal',
      terminal,
      confirm: () => this.#line.publish('terminal-ack', { ...this.ref, lastSeq: terminal.lastSeq }),
      acknowledge: forget,
      ...this.#reports.missing(terminal.lastSeq),
    }
  }

  async #sendWhenRoom<
    K extends 'steer' | 'suspend' | 'approval-ask' | 'children-result' | 'bridge-result' | 'spend-receipt',
  >(kind: K, id: string, message: RunMessages[K]): Promise<void> {
    const payload = encodeMessage(kind, message)
    const outgoing = { to: this.#options.worker.address, id, kind, control: kinds[kind].control, payload }
    await sendWhenRoom(this.#peer, outgoing, this.#seams.clock, { signal: this.#signal })
  }

  #cancelMessage(): RunMessages['cancel'] {
    return { ...this.ref, reason: String(this.#signal.reason) }
  }

  #hintCancel(): void {
    this.#line.publish('cancel', this.#cancelMessage())
  }

  #after(ms: number, fire: () => void): Timer {
    const timer = this.#seams.clock.timer(ms, fire, { background: true })
    this.#timers.add(timer)
    return timer
  }
}

function isHandedOver(run: Run | HandedOver): run is HandedOver {
  return 'received' in run
}
