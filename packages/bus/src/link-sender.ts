/**
 * The worker's end of a link (PROTOCOL.md R4).
 *
 * ```text
 *   acked        next              lastSeq
 *     │  sent, kept │  not yet sent   │   waiting for room
 * ────┼─────────────┼─────────────────┼──────────────────► seq
 *     └──────────── window ───────────┘
 * ```
 *
 * - *L1* Numbers are given in the order of the calls; an event that was refused has none.
 * - *L2* What is not acknowledged is kept. `resume` only moves `next` back: the sending itself is one loop, once a tick.
 * - *L3* When the peer takes no more, `next` stays where it is until the peer is attached again or the next heartbeat.
 */
import { GreenroomError, limits, systemClock } from '@greenroom/proto'
import type { Clock, Heartbeat, Peer, RunEvent, RunRef, Timer, Waiting, WireEvent } from '@greenroom/proto'
import { aborted, onAbort } from './abort.ts'
import { endOfTick } from './platform/tick.ts'

/** What a link needs of a peer. */
export type LinkPeer = Pick<Peer, 'publish'>

/** How to open a worker's end of a link. */
export interface LinkSenderOptions {
  /** The worker's peer. */
  readonly peer: LinkPeer
  /** The runner's mailbox. */
  readonly to: string
  /** The attempt. */
  readonly ref: RunRef
  /** = the system's */
  readonly clock?: Clock
  /** Events that may be unacknowledged. = 1,024 */
  readonly windowEvents?: number
  /**
   * Bytes of events that may be unacknowledged; one event alone may be larger. What is on its way outlives V8's young
   * collections at the runner, and lets its young generation grow. = 128 KiB
   */
  readonly windowBytes?: number
  /** How often a heartbeat leaves, in milliseconds. = 2,000 */
  readonly heartbeatMs?: number
  /** How late the main loop is, in milliseconds; told in heartbeats. = 0 */
  readonly loopLag?: () => number
  /** The process's resident memory, in MiB; told in heartbeats. = not told */
  readonly rssMb?: () => number
  /** What heartbeats tell as progress; grows with it. = the last number given */
  readonly progress?: () => number
  /** Calls back at the end of this tick: the events of one tick leave together. = `process.nextTick` */
  readonly defer?: (flush: () => void) => void
}

/** The worker's end of a link: numbers events, keeps them until they are acknowledged, sends them again when asked. */
export interface LinkSender {
  /**
   * Sends an event. Waits while the window is full.
   *
   * @returns its sequence number, once it is in the window
   * @throws GreenroomError `FRAME_TOO_LARGE` or `BAD_FRAME` (JSON cannot say it): it gets no number; `ABORTED`, `CLOSED`
   */
  emit(event: RunEvent | WireEvent, options?: Waiting): Promise<number>
  /** The runner's `ack {upTo}`: everything up to it may be forgotten. */
  ack(upTo: number): void
  /** The runner's `resume {ack}`: sends again everything after it that is kept. */
  resume(ack: number): void
  /** To be called when the worker's own peer is attached again: sends what waits, and a heartbeat that shows gaps. */
  attached(): void
  /** The last number given; 0 before the first event. */
  readonly lastSeq: number
  /** The last number acknowledged. */
  readonly acked: number
  /** How many calls of {@link LinkSender.emit} wait for room now. */
  readonly waiting: number
  /**
   * Resolves when everything that has a number is acknowledged.
   *
   * @throws GreenroomError `ABORTED`, `CLOSED`
   */
  flushed(signal?: AbortSignal): Promise<void>
  /** Ends heartbeats and rejects what waits, with `CLOSED`. Idempotent. */
  close(): void
}

/** Room that an `events` message needs around its events: ids of 128 characters and three numbers. */
const ENVELOPE = 1024
/**
 * A message is closed when it holds this much: control never waits long behind it, and a socket, which reads 64 KiB at a
 * time, seldom has to copy one together. All of that is memory outside of V8's heap, which V8 collects by how full the
 * heap is: with messages of 256 KiB a broker held 60 MiB of garbage, and collecting took half of the processor time.
 */
const BATCH_BYTES = 12 * 1024

interface Waiter {
  readonly text: string
  readonly bytes: number
  readonly resolve: (seq: number) => void
  readonly reject: (error: GreenroomError) => void
  readonly forget: () => void
}

interface Flusher {
  readonly upTo: number
  readonly resolve: () => void
  readonly reject: (error: GreenroomError) => void
  readonly forget: () => void
}

/**
 * Opens a worker's end of a link.
 *
 * @param options - the worker's peer, the runner's mailbox, the attempt
 *
 * @example
 * ```ts
 * import { createLinkSender } from '@greenroom/bus'
 * import type { Peer } from '@greenroom/proto'
 *
 * declare const peer: Peer
 * const link = createLinkSender({ peer, to: 'runner.1', ref: { runId: 'r1', epoch: 1 } })
 * await link.emit({ type: 'text-delta', text: 'hello' })
 * await link.flushed()
 * link.close()
 * ```
 */
export function createLinkSender(options: LinkSenderOptions): LinkSender {
  return new Sender(options)
}

class Sender implements LinkSender {
  readonly #options: LinkSenderOptions
  readonly #clock: Clock
  readonly #windowEvents: number
  readonly #windowBytes: number
  readonly #heartbeatMs: number
  readonly #defer: (flush: () => void) => void
  /** Everything of an `events` message before its first number. */
  readonly #head: string
  /** The kept events as JSON: event n stands at n modulo the window. */
  readonly #texts: string[]
  readonly #sizes: number[]
  readonly #waiters = new Set<Waiter>()
  readonly #flushers = new Set<Flusher>()
  #keptBytes = 0
  #lastSeq = 0
  #acked = 0
  #next = 1
  #lastSent = 0
  #scheduled = false
  #timer: Timer | undefined
  #closed = false

  constructor(options: LinkSenderOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#windowEvents = options.windowEvents ?? 1024
    this.#windowBytes = options.windowBytes ?? 128 * 1024
    this.#heartbeatMs = options.heartbeatMs ?? 2000
    this.#defer = options.defer ?? endOfTick
    this.#head = `${JSON.stringify({ runId: options.ref.runId, epoch: options.ref.epoch }).slice(0, -1)},"first":`
    this.#texts = Array.from({ length: this.#windowEvents }, () => '')
    this.#sizes = Array.from({ length: this.#windowEvents }, () => 0)
    this.#beatLater()
  }

  get lastSeq(): number {
    return this.#lastSeq
  }

  get acked(): number {
    return this.#acked
  }

  get waiting(): number {
    return this.#waiters.size
  }

  emit(event: RunEvent | WireEvent, options?: Waiting): Promise<number> {
    if (this.#closed) return Promise.reject(closedError())
    if (options?.signal?.aborted === true) return Promise.reject(aborted(options.signal, 'emit'))
    let text: string
    try {
      text = JSON.stringify(event)
    } catch (cause) {
      return Promise.reject(new GreenroomError('BAD_FRAME', 'the event is not JSON', { cause }))
    }
    const bytes = Buffer.byteLength(text)
    if (bytes > limits.payloadBytes - ENVELOPE)
      return Promise.reject(new GreenroomError('FRAME_TOO_LARGE', `event of ${bytes} bytes`))
    if (this.#waiters.size === 0 && this.#hasRoom(bytes)) return Promise.resolve(this.#keep(text, bytes))
    return this.#wait(text, bytes, options?.signal)
  }

  ack(upTo: number): void {
    const last = Math.min(upTo, this.#lastSent)
    if (this.#closed || last <= this.#acked) return
    while (this.#acked < last) {
      this.#acked += 1
      const slot = this.#acked % this.#windowEvents
      this.#keptBytes -= this.#sizes[slot] ?? 0
      this.#texts[slot] = ''
    }
    if (this.#next <= last) this.#next = last + 1
    this.#admit()
    for (const flusher of this.#flushers) if (flusher.upTo <= last) this.#release(flusher)
  }

  resume(ack: number): void {
    if (this.#closed) return
    this.#next = Math.min(this.#next, Math.max(ack, this.#acked) + 1)
    this.#schedule()
  }

  attached(): void {
    if (!this.#closed) this.#beat()
  }

  flushed(signal?: AbortSignal): Promise<void> {
    if (this.#acked === this.#lastSeq) return Promise.resolve()
    if (this.#closed) return Promise.reject(closedError())
    if (signal?.aborted === true) return Promise.reject(aborted(signal, 'flushed'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const forget = onAbort(signal, () => {
      this.#flushers.delete(flusher)
      if (signal !== undefined) reject(aborted(signal, 'flushed'))
    })
    const flusher: Flusher = { upTo: this.#lastSeq, resolve, reject, forget }
    this.#flushers.add(flusher)
    return promise
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    for (const waiting of [...this.#waiters, ...this.#flushers]) {
      waiting.forget()
      waiting.reject(closedError())
    }
    this.#waiters.clear()
    this.#flushers.clear()
  }

  /** An empty window takes any one event: else one that is larger than the window would wait for ever. */
  #hasRoom(bytes: number): boolean {
    const kept = this.#lastSeq - this.#acked
    return kept === 0 || (kept < this.#windowEvents && this.#keptBytes + bytes <= this.#windowBytes)
  }

  #keep(text: string, bytes: number): number {
    this.#lastSeq += 1
    const slot = this.#lastSeq % this.#windowEvents
    this.#texts[slot] = text
    this.#sizes[slot] = bytes
    this.#keptBytes += bytes
    this.#schedule()
    return this.#lastSeq
  }

  #wait(text: string, bytes: number, signal: AbortSignal | undefined): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const forget = onAbort(signal, () => {
      this.#waiters.delete(waiter)
      if (signal !== undefined) reject(aborted(signal, 'emit'))
      this.#admit()
    })
    const waiter: Waiter = { text, bytes, resolve, reject, forget }
    this.#waiters.add(waiter)
    return promise
  }

  #admit(): void {
    for (const waiter of this.#waiters) {
      if (!this.#hasRoom(waiter.bytes)) return
      this.#waiters.delete(waiter)
      waiter.forget()
      waiter.resolve(this.#keep(waiter.text, waiter.bytes))
    }
  }

  #release(flusher: Flusher): void {
    this.#flushers.delete(flusher)
    flusher.forget()
    flusher.resolve()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#defer(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  /** Sends from `next` on, as far as the peer takes it (L3). */
  #flush(): void {
    while (!this.#closed && this.#next <= this.#lastSeq) {
      const first = this.#next
      let after = first
      let bytes = 0
      while (after <= this.#lastSeq && after < first + limits.eventsPerMessage) {
        const size = this.#sizes[after % this.#windowEvents] ?? 0
        if (after > first && bytes + size > BATCH_BYTES) break
        bytes += size
        after += 1
      }
      const payload = this.#pack(first, after, bytes)
      if (!this.#options.peer.publish({ to: this.#options.to, kind: 'events', payload })) return
      this.#next = after
      this.#lastSent = Math.max(this.#lastSent, after - 1)
    }
  }

  /** The `events` message of those from `first` up to before `after`, written straight into its bytes. */
  #pack(first: number, after: number, bytes: number): Uint8Array {
    const head = `${this.#head}${first},"events":[`
    const payload = Buffer.allocUnsafeSlow(Buffer.byteLength(head) + bytes + (after - first) + 1)
    let end = payload.write(head)
    for (let seq = first; seq < after; seq += 1) {
      if (seq > first) end += payload.write(',', end)
      end += payload.write(this.#texts[seq % this.#windowEvents] ?? '', end)
    }
    payload.write(']}', end)
    return payload
  }

  #beatLater(): void {
    this.#timer = this.#clock.timer(
      this.#heartbeatMs,
      () => {
        this.#beat()
        this.#beatLater()
      },
      { background: true },
    )
  }

  /** What waits goes first: the live lane keeps order, so the heartbeat shows what was lost, not what is on its way. */
  #beat(): void {
    this.#flush()
    const { rssMb } = this.#options
    const heartbeat: Heartbeat = {
      ...this.#options.ref,
      lastSentSeq: this.#lastSent,
      progressSeq: this.#options.progress?.() ?? this.#lastSeq,
      loopLagMs: this.#options.loopLag?.() ?? 0,
      waiting: this.#waiters.size,
      ...(rssMb === undefined ? {} : { rssMb: rssMb() }),
    }
    this.#options.peer.publish({
      to: this.#options.to,
      kind: 'heartbeat',
      payload: Buffer.from(JSON.stringify(heartbeat)),
    })
  }
}

function closedError(): GreenroomError {
  return new GreenroomError('CLOSED', 'the link was closed')
}
