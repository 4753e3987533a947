/** Timers that end together, and never keep the program alive. */
import type { Clock, Timer } from '@greenroom/proto'

/** An alarm that rings later than this, in milliseconds, tells that the process stood still. */
export const longestDelayMs = 1_000

/** The timers of a core. */
export class Alarms {
  readonly #clock: Clock
  readonly #set = new Set<Timer>()
  #isStopped = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Calls back once.
   *
   * @returns takes the timer back
   */
  set(delayMs: number, ring: () => void): () => void {
    if (this.#isStopped) return () => {}
    const fire = (): void => {
      this.#set.delete(timer)
      ring()
    }
    const timer = this.#clock.timer(Math.max(0, delayMs), fire, { background: true })
    this.#set.add(timer)
    return () => {
      timer.cancel()
      this.#set.delete(timer)
    }
  }

  /** Takes all timers back; none is set any more. */
  stop(): void {
    this.#isStopped = true
    for (const timer of this.#set) timer.cancel()
    this.#set.clear()
  }
}
