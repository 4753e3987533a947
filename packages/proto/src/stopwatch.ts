import type { Clock } from './clock.ts'

/** A step of less than this is never taken for a standstill: a busy machine is late, too. */
const leastJumpMs = 1_000

/**
 * Counts the time in which this process ran. What it did not notice (a suspended process, a machine asleep) does not
 * count: nobody could have used it.
 *
 * It knows only how far apart two looks at it are. Whoever has one therefore looks at least every `stepMs`; a step of
 * more than twice that, and of more than a second, counts as nothing.
 */
export class Stopwatch {
  readonly #clock: Clock
  readonly #stepMs: number
  #at: number
  #counted = 0

  /**
   * Starts it.
   *
   * @param clock - measures the steps
   * @param stepMs - how often it is looked at, in milliseconds, at least
   */
  constructor(clock: Clock, stepMs: number) {
    this.#clock = clock
    this.#stepMs = stepMs
    this.#at = clock.monotonic()
  }

  /**
   * Looks at it.
   *
   * @returns the milliseconds that it has counted so far
   */
  read(): number {
    const now = this.#clock.monotonic()
    const step = now - this.#at
    this.#at = now
    if (step <= Math.max(2 * this.#stepMs, leastJumpMs)) this.#counted += step
    return this.#counted
  }
}
