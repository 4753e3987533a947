/**
 * The runner's end of a link (PROTOCOL.md R4).
 *
 * - *L4* `deliver` sees each event once, in order, whatever was lost, repeated or cut. What comes too early is dropped,
 *   not stored: it comes again.
 * - *L5* It asks again for the same gap at most every 200 ms; each later message and heartbeat shows it anew.
 * - *L6* Acknowledgements are cumulative and may be lost: each heartbeat makes the last one be repeated.
 */
import { encodeMessage, systemClock } from '@greenroom/proto'
import type { Clock, Events, Heartbeat, RunRef, WireEvent } from '@greenroom/proto'
import type { LinkPeer } from './link-sender.ts'
import { endOfTick } from './platform/tick.ts'

/** How to open a runner's end of a link. */
export interface LinkReceiverOptions {
  /** The runner's peer. */
  readonly peer: LinkPeer
  /** The worker's mailbox. */
  readonly to: string
  /** The attempt. */
  readonly ref: RunRef
  /** = the system's */
  readonly clock?: Clock
  /** The last event that is stored already, after a restart of the runner. = 0 */
  readonly received?: number
  /**
   * Called with each event exactly once, in order: `first` is the sequence number of `events[0]`. What it throws
   * reaches whoever called {@link LinkReceiver.receive}; the events count as handed over.
   */
  readonly deliver: (first: number, events: readonly WireEvent[]) => void
  /** Calls back at the end of this tick: one acknowledgement a tick. = `process.nextTick` */
  readonly defer?: (flush: () => void) => void
}

/** What a receiver met. */
export interface LinkReceiverCounters {
  /** Events that came again. */
  readonly duplicates: number
  /** Messages that came too early and were dropped. */
  readonly gaps: number
  /** How often it asked for what is missing. */
  readonly resumes: number
}

/** The runner's end of a link: hands events over exactly once and in order, and asks for what is missing. */
export interface LinkReceiver {
  /** A worker's `events` message; one of another run or epoch is ignored. */
  receive(message: Events): void
  /** A worker's `heartbeat`: shows a gap, and makes the last acknowledgement be repeated. */
  heartbeat(message: Heartbeat): void
  /** To be called when either side is attached again: asks for what was lost meanwhile. */
  attached(): void
  /** Everything up to this event is stored, read, or skipped. Cumulative; leaves at the end of the tick. */
  ack(upTo: number): void
  /** The last event that was handed over. */
  readonly received: number
  /** The last event that was acknowledged. */
  readonly acked: number
  /** What it met so far. */
  readonly counters: LinkReceiverCounters
  /** Ignores everything from now on. Idempotent. */
  close(): void
}

/** See L5: long enough for an answer on its way, short enough to be no pause. */
const ASK_AGAIN_MS = 200

/**
 * Opens a runner's end of a link.
 *
 * @param options - the runner's peer, the worker's mailbox, the attempt, and where events go
 *
 * @example
 * ```ts
 * import { createLinkReceiver } from '@greenroom/bus'
 * import { decodeMessage, type LiveMessage, type Peer } from '@greenroom/proto'
 *
 * declare const peer: Peer
 * const link = createLinkReceiver({
 *   peer,
 *   to: 'worker.1',
 *   ref: { runId: 'r1', epoch: 1 },
 *   deliver: (first, events) => link.ack(first + events.length - 1),
 * })
 * export function onLive(message: LiveMessage): void {
 *   if (message.kind === 'events') link.receive(decodeMessage('events', message.payload))
 *   if (message.kind === 'heartbeat') link.heartbeat(decodeMessage('heartbeat', message.payload))
 * }
 * ```
 */
export function createLinkReceiver(options: LinkReceiverOptions): LinkReceiver {
  return new Receiver(options)
}

class Receiver implements LinkReceiver {
  readonly counters = { duplicates: 0, gaps: 0, resumes: 0 }
  readonly #options: LinkReceiverOptions
  readonly #clock: Clock
  readonly #defer: (flush: () => void) => void
  #received: number
  #acked: number
  /** What was `received` when it last asked, and when that was. */
  #asked: { readonly received: number; readonly at: number } | undefined
  #scheduled = false
  #closed = false

  constructor(options: LinkReceiverOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#defer = options.defer ?? endOfTick
    this.#received = options.received ?? 0
    this.#acked = this.#received
  }

  get received(): number {
    return this.#received
  }

  get acked(): number {
    return this.#acked
  }

  receive(message: Events): void {
    const { first, events } = message
    if (events.length === 0 || !this.#isMine(message)) return
    const start = this.#received + 1
    if (first > start) {
      this.counters.gaps += 1
      this.#ask()
      return
    }
    const known = Math.min(start - first, events.length)
    this.counters.duplicates += known
    if (known === events.length) return
    this.#received = first + events.length - 1
    this.#options.deliver(start, known === 0 ? events : events.slice(known))
  }

  heartbeat(message: Heartbeat): void {
    if (!this.#isMine(message)) return
    if (message.lastSentSeq > this.#received) this.#ask()
    this.#schedule()
  }

  attached(): void {
    if (this.#closed) return
    this.#asked = undefined
    this.#ask()
    this.#schedule()
  }

  ack(upTo: number): void {
    const last = Math.min(upTo, this.#received)
    if (last <= this.#acked) return
    this.#acked = last
    this.#schedule()
  }

  close(): void {
    this.#closed = true
  }

  #isMine(ref: RunRef): boolean {
    return !this.#closed && ref.runId === this.#options.ref.runId && ref.epoch === this.#options.ref.epoch
  }

  #ask(): void {
    const at = this.#clock.monotonic()
    const asked = this.#asked
    if (asked !== undefined && asked.received === this.#received && at - asked.at < ASK_AGAIN_MS) return
    const payload = encodeMessage('resume', { ...this.#options.ref, ack: this.#received })
    if (!this.#options.peer.publish({ to: this.#options.to, kind: 'resume', payload })) return
    this.#asked = { received: this.#received, at }
    this.counters.resumes += 1
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#defer(() => {
      this.#scheduled = false
      if (this.#closed || this.#acked === 0) return
      const payload = encodeMessage('ack', { ...this.#options.ref, upTo: this.#acked })
      this.#options.peer.publish({ to: this.#options.to, kind: 'ack', payload })
    })
  }
}
