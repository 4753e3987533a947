/** Waiting for a state to change. */
import type { Clock } from '@greenroom/proto'
import { untilAbort } from './abort.ts'

/** Wakes all who wait, whenever something changed. */
export class Change {
  readonly #clock: Clock
  #next = Promise.withResolvers<void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Something changed. */
  tell(): void {
    this.#next.resolve()
    this.#next = Promise.withResolvers()
  }

  /**
   * Waits until something changes, or the time is over.
   *
   * @param signal - ends the waiting
   * @param ms - how long at most. = for ever
   * @throws GreenroomError `ABORTED`
   */
  async wait(signal: AbortSignal, ms = Infinity): Promise<void> {
    const over = Promise.withResolvers<void>()
    const timer = ms === Infinity ? undefined : this.#clock.timer(ms, over.resolve, { background: true })
    try {
      await untilAbort(signal, Promise.race([over.promise, this.#next.promise]))
    } finally {
      timer?.cancel()
    }
  }
}
