/** How long a run has taken so far, from its start to its end, over the lives of its runner. */
import type { Clock } from '@greenroom/proto'

/** Runs from when it is made until it is stopped. */
export class RunTime {
  /** In milliseconds since the epoch. */
  readonly startedAt: number
  readonly #clock: Clock
  /** When it began, as if the monotonic clock had been there: from now on that one counts. */
  readonly #since: number
  #stopped: number | undefined

  /**
   * @param clock - measures it
   * @param startedAt - when an earlier life has started it, in milliseconds since the epoch. = now
   */
  constructor(clock: Clock, startedAt = clock.now()) {
    this.startedAt = startedAt
    this.#clock = clock
    this.#since = clock.monotonic() - (clock.now() - startedAt)
  }

  /** Whole milliseconds until now, or until it was stopped. */
  get ms(): number {
    return this.#stopped ?? Math.round(this.#clock.monotonic() - this.#since)
  }

  /** The run has ended. */
  stop(): void {
    this.#stopped = this.ms
  }
}
