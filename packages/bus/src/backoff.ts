/** How long to wait before the next try. */
import type { Random } from '@greenroom/proto'

/** Bounds of the waiting, in milliseconds. */
export interface BackoffOptions {
  readonly minMs: number
  readonly maxMs: number
}

/**
 * Doubling pauses with jitter: each is between half and the whole of its step, so that many clients that lost the same
 * broker do not come back in step, and none comes back at once.
 */
export class Backoff {
  readonly #minMs: number
  readonly #maxMs: number
  readonly #random: Random
  #tries = 0

  constructor(options: BackoffOptions, random: Random) {
    this.#minMs = options.minMs
    this.#maxMs = options.maxMs
    this.#random = random
  }

  /** The next pause, in milliseconds. */
  next(): number {
    const step = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#tries, 30))
    this.#tries += 1
    return step * (0.5 + this.#random.fraction() / 2)
  }

  /** Starts over at the shortest pause. */
  reset(): void {
    this.#tries = 0
  }
}
