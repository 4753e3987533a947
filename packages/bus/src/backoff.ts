/** How long to wait before the next try. */
import type { Random } from '@greenroom/proto'

/** Bounds of the waiting, in milliseconds. */
export interface BackoffOptions {
  /** The first pause is between half of this and all of it. */
  readonly minMs: number
  /** No pause is longer. */
  readonly maxMs: number
}

/**
 * Doubling pauses with jitter: each is between half and the whole of its step, so that many clients that lost the same
 * broker do not come back in step, and none comes back at once.
 *
 * @example
 * ```ts
 * import { Backoff } from '@greenroom/bus'
 * import { systemRandom } from '@greenroom/proto'
 *
 * const backoff = new Backoff({ minMs: 100, maxMs: 1_000 }, systemRandom)
 * console.log(backoff.next(), backoff.next()) // 50 to 100, 100 to 200
 * backoff.reset()
 * ```
 */
export class Backoff {
  readonly #minMs: number
  readonly #maxMs: number
  readonly #random: Random
  #tries = 0

  /**
   * @param options - the bounds
   * @param random - where the jitter comes from
   */
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
