/**
 * One direction of a connection: what was written arrives in order, later, or, once it is broken, as far as it came.
 */
import type { Timer } from '@greenroom/proto'
import type { ManualClock } from '@greenroom/bus/testing'

/** What travels. */
export type Item =
  | { readonly t: 'frames'; readonly frames: readonly Uint8Array[] }
  | { readonly t: 'ping' | 'pong' }
  | { readonly t: 'end'; readonly code: number; readonly reason: string }

/** See the file. */
export class Pipe {
  readonly #clock: ManualClock
  readonly #arrive: (item: Item) => void
  #queue: { readonly item: Item; readonly at: number }[] = []
  #timer: Timer | undefined
  #isScheduled = false
  #isPaused = false
  #isEnded = false

  constructor(clock: ManualClock, arrive: (item: Item) => void) {
    this.#clock = clock
    this.#arrive = arrive
  }

  /** Bytes on their way. */
  get bytes(): number {
    return this.#queue.reduce((sum, { item }) => sum + (item.t === 'frames' ? sizeOf(item.frames) : 0), 0)
  }

  /** Sends something; nothing follows an end. */
  push(item: Item, latencyMs: number): void {
    if (this.#isEnded) return
    this.#isEnded = item.t === 'end'
    const at = Math.max(this.#queue.at(-1)?.at ?? 0, this.#clock.monotonic() + latencyMs)
    this.#queue.push({ item, at })
    this.#schedule()
  }

  /** Breaks it: of what is on its way, only the first `keep` arrive, then the end, `afterMs` later. */
  break(keep: number, afterMs: number): void {
    if (this.#isEnded) return
    this.#queue = this.#queue.slice(0, keep)
    this.push({ t: 'end', code: 1006, reason: 'the connection was cut' }, afterMs)
  }

  /** How much is on its way. */
  get length(): number {
    return this.#queue.length
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#schedule()
  }

  /** Nobody is there any more at its end. */
  destroy(): void {
    this.#isEnded = true
    this.#queue = []
    this.#timer?.cancel()
  }

  #schedule(): void {
    const [next] = this.#queue
    if (next === undefined || this.#isScheduled || this.#isPaused) return
    this.#isScheduled = true
    const waitMs = next.at - this.#clock.monotonic()
    if (waitMs <= 0) this.#clock.defer(() => this.#run())
    else this.#timer = this.#clock.timer(waitMs, () => this.#run(), { background: true })
  }

  #run(): void {
    this.#isScheduled = false
    const now = this.#clock.monotonic()
    while (!this.#isPaused && (this.#queue[0]?.at ?? Infinity) <= now) {
      const next = this.#queue.shift()
      if (next !== undefined) this.#arrive(next.item)
    }
    this.#schedule()
  }
}

function sizeOf(frames: readonly Uint8Array[]): number {
  return frames.reduce((sum, { length }) => sum + length, 0)
}
