/**
 * What an attempt's worker says: its claim, its events in order, its last word.
 *
 * - *A1* Only frames of this epoch, from this worker's address and incarnation, are looked at.
 * - *A5* A stored entry (R10) is acknowledged when it is committed.
 */
import { createLinkReceiver, type LinkReceiver } from '@greenroom/bus'
import {
  parseEvent,
  parseMessage,
  type ApprovalAnswer,
  type Clock,
  type Delivery,
  type EventRange,
  type Events,
  type LiveMessage,
  type Peer,
  type RunRef,
  type Terminal,
  type WireEvent,
} from '@greenroom/proto'
import type { AttemptOptions } from './attempt-options.ts'
import type { Limiter } from './limiter.ts'

/** How soon what came out of order comes again, in milliseconds. */
const againMs = 500

/** A terminal, and how to have the bus forget it. */
export interface HeldTerminal {
  readonly terminal: Terminal
  readonly acknowledge: () => void
}

/** What reports are made of. */
export interface WorkerReportsOptions {
  readonly peer: Peer
  readonly clock: Clock
  /** Learns of everything that tells that the attempt goes on. */
  readonly limiter: Limiter
  readonly ref: RunRef
  /** The last of its events that is stored already. */
  readonly received: number
  /** Learns that events can neither be recorded nor come again. */
  readonly onBroken: (error: unknown) => void
  readonly attempt: Pick<
    AttemptOptions,
    'run' | 'worker' | 'record' | 'flushed' | 'onAccepted' | 'onTerminal' | 'onSteerReceipt' | 'onChildren' | 'onBridge'
  >
}

/** See A1 and A5. */
export class WorkerReports {
  readonly #options: WorkerReportsOptions
  readonly #link: LinkReceiver
  readonly #terminal = Promise.withResolvers<void>()
  readonly #refused = Promise.withResolvers<void>()
  #isAccepted = false
  #held: HeldTerminal | undefined
  #forget: () => void = () => undefined
  /** What a detached worker's heartbeats told last. */
  #progress = 0
  /** The greatest event number that the worker is known to have sent. */
  #sent = 0
  #arrived = Promise.withResolvers<void>()
  readonly #steers = new Set<string>()
  /** What takes the answers to what its executor was asked, by request. */
  readonly asks = new Map<string, (answer: ApprovalAnswer) => void>()

  /** @param options - see {@link WorkerReportsOptions} */
  constructor(options: WorkerReportsOptions) {
    const { peer, clock, ref, received, attempt } = options
    this.#options = options
    this.#link = createLinkReceiver({
      peer,
      to: attempt.worker.address,
      ref,
      clock,
      received,
      deliver: (first, events) => this.#record(first, events),
    })
  }

  /** How many events have arrived. */
  get received(): number {
    return this.#link.received
  }

  /** Resolves when the next ones have. */
  get arrived(): Promise<void> {
    return this.#arrived.promise
  }

  /** Whether the worker has claimed the run. */
  get isAccepted(): boolean {
    return this.#isAccepted
  }

  /** Whether what the broker says proves nothing against that it ran. */
  get mayHaveRun(): boolean {
    return this.#isAccepted || this.#options.received > 0
  }

  /** Its last word. */
  get held(): HeldTerminal | undefined {
    return this.#held
  }

  /** Resolves when there is one. */
  get terminal(): Promise<void> {
    return this.#terminal.promise
  }

  /** Resolves when it would not take the run. */
  get refused(): Promise<void> {
    return this.#refused.promise
  }

  /** The texts that have no receipt. */
  get unanswered(): Iterable<string> {
    return this.#steers
  }

  /** A text is on its way to it. */
  steered(steerId: string): void {
    this.#steers.add(steerId)
  }

  /** All events up to this one are safe: see R4. */
  ack(upTo: number): void {
    this.#link.ack(upTo)
    this.#watchWindow()
  }

  /** The runner's mailbox is attached again, or an answer is overdue: asks for what is missing. */
  attached(): void {
    this.#link.attached()
  }

  /** Nothing is asked for any more. */
  close(): void {
    this.#link.close()
  }

  /** Whether a frame with this sender and reference is this attempt's (A1). */
  owns(ref: RunRef, { from, fromIncarnation }: Pick<LiveMessage, 'from' | 'fromIncarnation'>): boolean {
    const { worker } = this.#options.attempt
    return ref.epoch === this.#options.ref.epoch && from === worker.address && fromIncarnation === worker.incarnation
  }

  /** A live message: its kind, and its payload as it was decoded. */
  live(kind: string, content: unknown): void {
    const { limiter } = this.#options
    if (kind === 'events') {
      const events = parseMessage('events', content)
      this.#sent = Math.max(this.#sent, events.first + events.events.length - 1)
      this.accept()
      this.#link.receive(events)
    } else if (kind === 'heartbeat') {
      const heartbeat = parseMessage('heartbeat', content)
      this.#sent = Math.max(this.#sent, heartbeat.lastSentSeq)
      this.accept()
      // A reader who is behind holds nothing up as long as there is room.
      if (heartbeat.waiting === 0) limiter.release('window')
      else this.#watchWindow()
      // Deltas do not come here, and are progress all the same.
      if (this.#options.attempt.run.detached === true && heartbeat.progressSeq > this.#progress) limiter.events([])
      this.#progress = heartbeat.progressSeq
      limiter.heartbeat(heartbeat)
      this.#link.heartbeat(heartbeat)
    } else if (kind === 'accepted') this.accept()
  }

  /** A durable message, and its payload as it was decoded. */
  durable(delivery: Delivery, content: unknown): void {
    if (delivery.kind === 'terminal')
      return this.over({ terminal: parseMessage('terminal', content), acknowledge: () => acknowledge(delivery) })
    if (delivery.kind === 'events') return this.#keep(delivery, parseMessage('events', content))
    if (delivery.kind === 'refused') this.#refused.resolve()
    if (delivery.kind === 'approval-answer') {
      const answer = parseMessage('approval-answer', content)
      this.asks.get(answer.requestId)?.(answer)
    }
    if (delivery.kind === 'children-request')
      this.#options.attempt.onChildren?.(parseMessage('children-request', content))
    if (delivery.kind === 'bridge-request') this.#options.attempt.onBridge?.(parseMessage('bridge-request', content))
    if (delivery.kind === 'steer-receipt') {
      const receipt = parseMessage('steer-receipt', content)
      this.#steers.delete(receipt.steerId)
      this.#options.attempt.onSteerReceipt?.(receipt)
    }
    acknowledge(delivery)
  }

  /** It has claimed the run. */
  accept(): void {
    if (this.#isAccepted) return
    this.#isAccepted = true
    this.#options.limiter.accepted()
    this.#options.attempt.onAccepted?.()
  }

  /** Its executor has ended. */
  over({ terminal, acknowledge: forget }: HeldTerminal): void {
    // Of the same, kept or delivered before, only the latest delivery can be acknowledged.
    this.#forget = forget
    this.#held ??= { terminal, acknowledge: () => this.#forget() }
    this.accept()
    this.#options.limiter.terminal(this.#held.terminal)
    this.#options.attempt.onTerminal?.()
    this.#terminal.resolve()
  }

  /**
   * Events up to that one that never arrived.
   *
   * @param last - = the last that it is known to have sent
   */
  missing(last = this.#sent): { eventsLost?: EventRange } {
    const first = this.#link.received + 1
    return last < first ? {} : { eventsLost: { first, last } }
  }

  /** A5 */
  #keep(delivery: Delivery, events: Events): void {
    this.accept()
    this.#link.receive(events)
    // They come in order; should they not, they come again.
    if (this.#link.received < events.first + events.events.length - 1) return void delivery.nack({ delayMs: againMs })
    this.#options.attempt.flushed().then(
      () => acknowledge(delivery),
      // Whoever follows it next gets them.
      () => undefined,
    )
  }

  #record(first: number, events: readonly WireEvent[]): void {
    const { limiter, attempt, onBroken } = this.#options
    try {
      const parsed = events.map(parseEvent)
      limiter.events(parsed)
      attempt.record(first, parsed)
      this.#watchWindow()
    } catch (error) {
      // They are not sent again: what cannot be recorded now never can.
      onBroken(error)
    }
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers()
  }

  /**
   * What is here and not acknowledged waits for a slow reader, or for storage: until a heartbeat says that nothing waits
   * for room, its worker may.
   */
  #watchWindow(): void {
    const { limiter } = this.#options
    if (this.#link.received > this.#link.acked) limiter.hold('window')
    else limiter.release('window')
  }
}

/**
 * Removes a message for good. Nobody waits for it: an ack that is lost with the connection is repeated by the peer.
 *
 * @param delivery - what was dealt with
 */
export function acknowledge(delivery: Delivery): void {
  delivery.ack().catch(() => undefined)
}
