/**
 * What one connection still has to write: two lanes, written once per tick.
 *
 * - *O1* Frames of one lane leave in order.
 * - *O2* Control overtakes data, and waits behind at most `highWater` bytes of data that were already handed to the
 *   transport, and the frame that reached that mark.
 * - *O3* All that is pushed in one tick is handed over in one call, so that the transport can write it at once.
 * - *O4* Data waits here only while the transport holds `highWater` bytes or more: `resume` is due when it has emptied,
 *   which is when Node's sockets say `drain`.
 */

/** What an outbox writes to. */
export interface OutboxSink {
  /** Hands frames to the transport, which keeps their order. Must not throw. */
  readonly write: (frames: readonly Uint8Array[]) => void
  /** How many bytes the transport has not yet passed to the operating system. */
  readonly buffered: () => number
  /** Calls back once, at the end of this tick. */
  readonly defer: (flush: () => void) => void
  /** How many bytes the transport may hold before the rest waits here. = 262,144 */
  readonly highWater?: number
}

/**
 * An outgoing queue; see O1 to O4.
 *
 * @example
 * ```ts
 * import { Outbox } from '@greenroom/proto'
 *
 * const written: number[] = []
 * const outbox = new Outbox({
 *   write: (frames) => written.push(...frames.map((frame) => frame.length)),
 *   buffered: () => 0,
 *   defer: (flush) => queueMicrotask(flush),
 * })
 * outbox.push(new Uint8Array(100), false)
 * outbox.push(new Uint8Array(10), true) // control: written first
 * ```
 */
export class Outbox {
  readonly #sink: OutboxSink
  readonly #highWater: number
  #control: Uint8Array[] = []
  #data: Uint8Array[] = []
  #controlBytes = 0
  #dataBytes = 0
  #scheduled = false

  /** @param sink - what to write to */
  constructor(sink: OutboxSink) {
    this.#sink = sink
    this.#highWater = sink.highWater ?? 256 * 1024
  }

  /** How many bytes wait here, besides those that the transport holds. */
  get bytes(): number {
    return this.#controlBytes + this.#dataBytes
  }

  /**
   * Queues a frame.
   *
   * @param frame - an encoded frame
   * @param control - whether it may overtake data
   */
  push(frame: Uint8Array, control: boolean): void {
    if (control) {
      this.#control.push(frame)
      this.#controlBytes += frame.length
    } else {
      this.#data.push(frame)
      this.#dataBytes += frame.length
    }
    this.#schedule()
  }

  /** To be called when the transport has passed on what it held; see O4. */
  resume(): void {
    if (this.bytes > 0) this.#schedule()
  }

  /** Forgets what waits. */
  clear(): void {
    this.#control = []
    this.#data = []
    this.#controlBytes = 0
    this.#dataBytes = 0
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#sink.defer(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const frames = this.#control
    let room = this.#highWater - this.#sink.buffered() - this.#controlBytes
    this.#control = []
    this.#controlBytes = 0
    let taken = 0
    for (const frame of this.#data) {
      if (room <= 0) break
      room -= frame.length
      this.#dataBytes -= frame.length
      frames.push(frame)
      taken += 1
    }
    this.#data = taken === this.#data.length ? [] : this.#data.slice(taken)
    if (frames.length > 0) this.#sink.write(frames)
  }
}
