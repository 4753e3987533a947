/**
 * The worker's loop: one mailbox, its runs, their ends.
 *
 * ```text
 * run ─► known? ─► slot free? ─► claim ─► accepted ─► executor ─► terminal ─► acknowledged, or lingerMs over
 *           │ack       │refused     │REVOKED: forgotten
 * ```
 *
 * - *W1* Nothing executes before its claim is confirmed, and no attempt twice.
 * - *W2* A run that is claimed is answered by exactly one terminal, also one that cannot be done.
 * - *W3* A slot is taken from the arrival of a run until its executor is done, even after a cancel it ignored. Who comes
 *   while a claim may still give one back waits for that.
 * - *W4* What is not acknowledged is kept for `lingerMs` of being connected and awake, so that the runner can ask for it again;
 *   parts of a history as long and a partition grace more, so that their run can follow.
 * - *W5* A worker whose incarnation is over (`FENCED`, `REPLACED`) aborts everything at once and says nothing more.
 * - *W6* One that is `detached` has no owner to end with: it leaves after its run, when the broker has its last word.
 * - *W7* A resident has no owner whose end would be its own: it cancels what it has from a life of a runner that is gone.
 */
import { createDetachedSender, createLinkSender, type LinkSender } from '@greenroom/bus'
import {
  decodeMessage,
  limits,
  systemClock,
  systemRandom,
  type Clock,
  type Delivery,
  type LiveMessage,
  type Message,
  type Peer,
  type PeerEnd,
  type RunKind,
  type RunMessages,
  type RunRef,
  type SteerReceipt,
  type Timer,
} from '@greenroom/proto'
import { Attempt } from './attempt.ts'
import { failed, messageOf, type Ending } from './ending.ts'
import { HistoryShelf } from './history-shelf.ts'
import { Ledger } from './ledger.ts'
import { readOrder, type Order } from './order.ts'
import { within } from './pause.ts'
import { RunnerLine } from './runner-line.ts'
import { presenceOf, slotsOf } from './worker-presence.ts'
import type { Worker, WorkerEnd, WorkerOptions } from './worker.ts'

/** How long a worker that was told to close waits for receipts: its owner is waiting, or gone. */
const closeLingerMs = 500

const keyOf = ({ runId, epoch }: RunRef): string => `${runId} ${epoch}`

/** What a run's own runner tells it, but for what may come before it (`cancel`) or is answered after it (`steer`). */
const words = {
  suspend: (attempt, { reason }) => attempt.suspend(reason),
  'approval-decision': ({ approvals }, decision) => approvals.decided(decision),
  'approval-ask': ({ children, replyTo }, ask, line) =>
    void children
      .asked(ask)
      .then((answer) => line.send(replyTo, 'approval-answer', `approval-answer-${ask.requestId}-${ask.runId}`, answer)),
  ask: ({ questions, replyTo }, ask, line) =>
    questions.take(ask, (answer) => void line.send(replyTo, 'ask-reply', `ask-reply-${ask.askId}`, answer)),
  unask: ({ questions }, { askId }) => questions.withdraw(askId),
  'children-result': ({ children }, result) => children.answered(result),
  'bridge-result': ({ bridge }, result) => bridge.answered(result),
  'spend-receipt': ({ spending }, receipt) => spending.count(receipt),
  ack: ({ link }, { upTo }) => link?.ack(upTo),
  resume: ({ link }, { ack: after }) => link?.resume(after),
  'terminal-ack': (attempt) => attempt.acknowledge(),
} satisfies { readonly [K in RunKind]?: Telling<K> }

type Word = keyof typeof words
type Telling<K extends RunKind> = (attempt: Attempt, message: RunMessages[K], line: RunnerLine) => void

const isWord = (kind: string): kind is Word => Object.hasOwn(words, kind)

/** See W1 to W7. */
export class WorkerLoop implements Worker {
  readonly closed: Promise<WorkerEnd>
  readonly #options: WorkerOptions
  readonly #peer: Peer
  readonly #clock: Clock
  readonly #slots: number
  readonly #lingerMs: number
  readonly #line: RunnerLine
  readonly #ledger = new Ledger()
  readonly #shelf: HistoryShelf
  /** Attempts that are not yet forgotten: until their acknowledgement, or `lingerMs`. */
  readonly #attempts = new Map<string, Attempt>()
  readonly #end = Promise.withResolvers<WorkerEnd>()
  /** Runs from their arrival until they are forgotten. */
  #engaged = 0
  /** Slots that are taken. */
  #busy = 0
  /** Claims under way: each may yet fail, and give its slot back. */
  readonly #claims = new Set<Promise<boolean>>()
  /** The free slots that were shown last. */
  #announced: number
  #draining = false
  #leaving: Promise<void> | undefined
  #empty = Promise.withResolvers<void>()
  /** Until it leaves: idle for long enough, or draining and nobody takes what it has to say. */
  #idle: Timer | undefined

  constructor(options: WorkerOptions, peer: Peer) {
    this.#options = options
    this.#peer = peer
    this.#clock = options.clock ?? systemClock
    this.#slots = slotsOf(options)
    this.#announced = this.#slots
    this.#line = new RunnerLine({ peer, clock: this.#clock, log: (line) => this.#log(line) })
    this.#lingerMs = options.provision.lingerMs ?? 30_000
    // Its sender may be away as long as that is allowed, and this worker too, before the run follows them.
    const keepMs = this.#lingerMs + (options.provision.partitionGraceMs ?? limits.partitionGraceMs)
    this.#shelf = new HistoryShelf((off) => this.#line.connectedFor(keepMs, off))
    this.closed = this.#end.promise
    void peer.closed.then((end) => this.#onPeerClosed(end))
    this.#changed()
  }

  get freeSlots(): number {
    return this.#draining ? 0 : Math.max(0, this.#slots - this.#busy)
  }

  async drain({ graceMs }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#draining = true
    this.#changed()
    const timer =
      graceMs === undefined ? undefined : this.#clock.timer(graceMs, () => this.#cancelAll('the worker is draining'))
    await this.#empty.promise
    timer?.cancel()
    const lingerMs = this.#line.hopeless.aborted ? closeLingerMs : this.#lingerMs
    await this.#leave({ why: 'drained', message: 'drained' }, lingerMs)
  }

  async close({
    graceMs = 0,
    reason = 'the worker is closing',
  }: { readonly graceMs?: number; readonly reason?: string } = {}): Promise<void> {
    this.#draining = true
    this.#changed()
    this.#cancelAll(reason, graceMs)
    await within(this.#clock, graceMs + closeLingerMs, this.#empty.promise)
    this.#giveUp()
    // It may be leaving since it was drained, for which there is more time.
    await within(this.#clock, closeLingerMs, this.#leave({ why: 'closed', message: reason }, closeLingerMs))
    await this.#peer.close()
    return this.#leaving
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  /** A durable message. Whatever it is, it is acked in the end, or held on purpose. */
  receive(delivery: Delivery): void {
    try {
      if (delivery.kind === 'run') return void this.#take(delivery)
      if (delivery.kind === 'steer') return this.#steer(delivery)
      if (delivery.kind === 'history') this.#shelf.add(delivery.from, decodeMessage('history', delivery.payload))
      else if (delivery.kind === 'cancel') this.#cancel(delivery)
      else this.#tell(delivery)
    } catch (error) {
      this.#log(`${delivery.kind} ${delivery.id} was dropped: ${messageOf(error)}`)
    }
    // Kinds that this version does not serve are acked too: they must not fill the mailbox.
    ack(delivery)
  }

  /** A live message: a hint, or a link's word. */
  receiveLive(message: LiveMessage): void {
    const { kind, payload } = message
    try {
      if (kind === 'token') this.#renew(decodeMessage(kind, payload))
      else if (kind === 'cancel') this.#cancel(message)
      else this.#tell(message)
    } catch (error) {
      this.#log(`a live ${kind} was dropped: ${messageOf(error)}`)
    }
  }

  #renew({ token }: RunMessages['token']): void {
    this.#options
      .renew?.(token)
      .catch((error: unknown) => this.#log(`a newer token was not taken: ${messageOf(error)}`))
  }

  /** The peer is back: what was lost on the way is sent again. */
  attached(): void {
    this.#line.attached()
    for (const attempt of this.#attempts.values()) attempt.link?.attached()
  }

  // ─── one run ───────────────────────────────────────────────────────────────────────────────────────────────────

  async #take(delivery: Delivery): Promise<void> {
    const order = readOrder(delivery)
    if (order === undefined) this.#log(`run ${delivery.id} was dropped: it does not say which run it is`)
    const newest = order === undefined ? Infinity : this.#ledger.newest(order.ref.runId)
    if (order === undefined || order.ref.epoch < newest) return ack(delivery)
    // The same once more: its claim removes it, or is under way.
    if (order.ref.epoch === newest) return
    const refusal = this.#refusal(order)
    if (refusal === 'BUSY' && this.#claims.size > 0) {
      await Promise.race(this.#claims)
      return this.#take(delivery)
    }
    if (refusal !== undefined) {
      this.#shelf.drop(order.replyTo, order.ref.runId)
      return this.#line.send(order.replyTo, 'refused', `refused-${order.ref.runId}-${order.ref.epoch}`, {
        ...order.ref,
        code: refusal,
      })
    }
    this.#ledger.admit(order.ref)
    this.#engaged += 1
    this.#changed()
    const attempt = this.#attemptOf(order)
    if (attempt instanceof Attempt) await this.#host(attempt, order, delivery)
    else if (await this.#line.claim(delivery))
      await this.#line.terminate(order.replyTo, order.ref, attempt, 0, this.#lingerMs)
    this.#engaged -= 1
    this.#changed()
    if (this.#options.provision.detached === true) void this.drain()
  }

  async #host(attempt: Attempt, order: Order, delivery: Delivery): Promise<void> {
    this.#busy += 1
    this.#attempts.set(keyOf(attempt.ref), attempt)
    const cancelled = this.#ledger.cancelled(attempt.replyTo, attempt.ref)
    if (cancelled !== undefined) attempt.cancel(cancelled)
    this.#changed()
    const unwatch = this.#watchRunner(attempt, delivery)
    await this.#perform(attempt, order, delivery)
    unwatch()
    this.#attempts.delete(keyOf(attempt.ref))
  }

  /** W7 */
  #watchRunner(attempt: Attempt, { from, fromIncarnation }: Delivery): () => void {
    if (this.#options.provision.resident === undefined) return () => undefined
    return this.#peer.watch(from, ({ address, incarnation, state }) => {
      // One that another life has replaced is gone, too.
      const isOver = incarnation === fromIncarnation ? state === 'gone' : state === 'attached'
      if (address === from && isOver) attempt.cancel('its runner is gone')
    })
  }

  #claim(delivery: Delivery): Promise<boolean> {
    const claim = this.#line.claim(delivery).finally(() => this.#claims.delete(claim))
    this.#claims.add(claim)
    return claim
  }

  #refusal({ error }: Order): 'BUSY' | 'DRAINING' | undefined {
    if (this.#draining) return 'DRAINING'
    // What cannot be done needs no slot to be answered.
    return error === undefined && this.freeSlots === 0 ? 'BUSY' : undefined
  }

  /** The attempt, or why there can be none. */
  #attemptOf({ run, error }: Order): Attempt | Ending {
    if (run === undefined) return failed(error.code, error.message)
    const { provision, executors, platform } = this.#options
    const executor = provision.executors.includes(run.executor) ? executors[run.executor] : undefined
    if (executor === undefined)
      return failed('UNKNOWN_EXECUTOR', `no executor "${run.executor}"; there are: ${provision.executors.join(', ')}`)
    const cancelGraceMs = run.cancelGraceMs ?? provision.cancelGraceMs ?? 5_000
    const secrets = provision.secrets ?? {}
    const { random = systemRandom } = this.#options
    return new Attempt({
      run,
      executor,
      secrets,
      cancelGraceMs,
      clock: this.#clock,
      random,
      platform,
      ask: (kind, request, lasting) => this.#line.ask(run.replyTo, kind, request, lasting),
    })
  }

  async #perform(attempt: Attempt, order: Order, delivery: Delivery): Promise<void> {
    const free = (): void => {
      this.#busy -= 1
      this.#changed()
    }
    const messages = this.#messagesOf(order)
    if (!(await this.#claim(delivery))) {
      attempt.end()
      return free()
    }
    const { pid, sent } = this.#options.platform
    this.#line.publish(attempt.replyTo, 'accepted', { ...attempt.ref, ...(pid === undefined ? {} : { pid }) })
    await sent?.()
    const isDetached = order.run?.detached === true
    const link = this.#linkOf(attempt, isDetached)
    const ending = await attempt.execute(messages, link)
    this.#changed()
    void attempt.settled.then(free)
    // What is stored is there for whoever comes: nobody has to ask for it.
    if (isDetached) await link.flushed(this.#line.hopeless).catch(() => undefined)
    await this.#line.terminate(
      attempt.replyTo,
      attempt.ref,
      ending,
      link.lastSeq,
      isDetached ? Infinity : this.#lingerMs,
    )
    if (!isDetached) await this.#line.connectedFor(this.#lingerMs, attempt.acknowledged)
    link.close()
  }

  #linkOf({ ref, replyTo }: Attempt, isDetached: boolean): LinkSender {
    const { loopLag, rssMb } = this.#options.platform
    const options = {
      peer: this.#peer,
      to: replyTo,
      ref,
      clock: this.#clock,
      ...(loopLag === undefined ? {} : { loopLag }),
      ...(rssMb === undefined ? {} : { rssMb }),
    }
    if (!isDetached) return createLinkSender(options)
    const onRefused = (error: unknown): void =>
      this.#log(`entries of run ${ref.runId} were not stored: ${messageOf(error)}`)
    return createDetachedSender({ ...options, onRefused })
  }

  /** Taken as the run arrives, since its claim may take longer than parts are kept; undefined when one is missing. */
  #messagesOf({ run, ref, replyTo }: Order): readonly Message[] | undefined {
    return run?.historyParts === undefined ? (run?.messages ?? []) : this.#shelf.take(replyTo, ref, run.historyParts)
  }

  // ─── what concerns a run in progress ───────────────────────────────────────────────────────────────────────────

  /** Of a run that is not here there is nothing to tell. */
  #tell({ kind, from, payload }: Delivery | LiveMessage): void {
    if (!isWord(kind)) return
    const table: { readonly [K in Word]: Telling<K> } = words
    const act = <K extends Word>(word: K): void => {
      const message = decodeMessage(word, payload)
      const attempt = this.#attempts.get(keyOf(message))
      if (attempt !== undefined && this.#isOf(attempt, kind, from)) table[word](attempt, message, this.#line)
    }
    act(kind)
  }

  /** Whoever else knows of a run decides nothing in it. */
  #isOf({ replyTo, ref }: Attempt, kind: string, from: string): boolean {
    if (from === replyTo) return true
    this.#log(`${kind} of ${from} was dropped: run ${ref.runId} is not its own`)
    return false
  }

  #steer(delivery: Delivery): void {
    const { runId, epoch, steerId, text, mode } = decodeMessage('steer', delivery.payload)
    const { promise, resolve: settle } = Promise.withResolvers<SteerReceipt['status']>()
    void promise.then((status) => {
      const receipt = { runId, epoch, steerId, status }
      void this.#line.send(delivery.from, 'steer-receipt', `steer-receipt-${steerId}-${epoch}`, receipt)
      // Before there is room for its receipt: meanwhile it would hold up what others say.
      ack(delivery)
    })
    const attempt = this.#attempts.get(keyOf({ runId, epoch }))
    if (attempt === undefined || !this.#isOf(attempt, 'steer', delivery.from)) settle('not-live')
    else attempt.inbox.push({ steerId, text, mode, settle })
  }

  /** May come before its run, and more than once. */
  #cancel({ from, payload }: Delivery | LiveMessage): void {
    const { reason, ...ref } = decodeMessage('cancel', payload)
    const attempt = this.#attempts.get(keyOf(ref))
    if (attempt === undefined) this.#ledger.cancel(from, ref, reason)
    else if (this.#isOf(attempt, 'cancel', from)) attempt.cancel(reason)
  }

  #cancelAll(reason: string, graceMs?: number): void {
    for (const attempt of this.#attempts.values()) attempt.cancel(reason, graceMs)
  }

  // ─── coming and going ──────────────────────────────────────────────────────────────────────────────────────────

  /** After every change: who watches the role sees it, and an empty worker starts to count. */
  #changed(): void {
    this.#idle?.cancel()
    this.#idle = undefined
    this.#announce()
    if (this.#draining && this.#engaged === 0) return this.#empty.resolve()
    // The bus may never be back to take what is left; W6 waits for that.
    const isPatient = this.#options.provision.detached === true
    if (this.#draining && !isPatient && ![...this.#attempts.values()].some(({ isExecuting }) => isExecuting))
      this.#idle = this.#clock.timer(this.#lingerMs, () => this.#giveUp())
    if (this.#draining || this.#engaged > 0) return
    const { idleMs = 300_000 } = this.#options.provision
    if (idleMs === null || this.#busy > 0) return
    this.#idle = this.#clock.timer(idleMs, () => {
      this.#draining = true
      void this.#leave({ why: 'idle', message: `idle for ${idleMs} ms` }, this.#lingerMs)
    })
  }

  #announce(): void {
    const slots = this.freeSlots
    if (slots === this.#announced || this.#leaving !== undefined || this.#peer.state === 'closed') return
    this.#announced = slots
    this.#peer.announce(presenceOf(this.#options, slots))
  }

  /** Leaves the bus in order, or without a word when that takes longer than `withinMs`. */
  #leave(end: WorkerEnd, withinMs: number): Promise<void> {
    this.#leaving ??= (async () => {
      this.#idle?.cancel()
      await within(
        this.#clock,
        withinMs,
        this.#peer.drain().catch(() => {}),
      )
      await this.#peer.close()
      this.#end.resolve(end)
    })()
    return this.#leaving
  }

  /** W5, when it was not this worker that left. */
  #onPeerClosed({ code, message }: PeerEnd): void {
    this.#draining = true
    this.#idle?.cancel()
    this.#shelf.clear()
    this.#cancelAll(message, 0)
    this.#giveUp()
    if (code === 'CLOSED' && this.#leaving !== undefined) return
    this.#end.resolve({
      why: code === 'FENCED' || code === 'REPLACED' ? 'fenced' : 'lost',
      message: `${code}: ${message}`,
    })
  }

  /** Nobody is there any more to acknowledge anything. */
  #giveUp(): void {
    this.#line.giveUp()
    for (const attempt of this.#attempts.values()) attempt.acknowledge()
    this.#empty.resolve()
  }

  #log(line: string): void {
    this.#options.platform.log(`greenroom: ${line}`)
  }
}

/** Nobody waits for it: an ack that is lost with the connection is repeated by the peer. */
function ack(delivery: Delivery): void {
  delivery.ack().catch(() => {})
}
