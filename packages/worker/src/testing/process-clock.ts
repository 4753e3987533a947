/** The clock of one process: stands still while that is stopped, and ends with it. */
import type { Clock, Timer } from '@greenroom/proto'

/** Time goes on in it, as for a stopped process; but nothing fires until it is let go on. */
export class ProcessClock implements Clock {
  readonly #clock: Clock
  readonly #timers = new Set<Timer>()
  /** What came due while it stood still. */
  #due: (() => void)[] | undefined
  #ended = false

  /** @param clock - the one that it shows */
  constructor(clock: Clock) {
    this.#clock = clock
  }

  now(): number {
    return this.#clock.now()
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  timer(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer {
    let isSet = true
    const go = (): void => {
      if (isSet && !this.#ended) fire()
      isSet = false
    }
    if (this.#ended) return { cancel: () => undefined }
    const timer = this.#clock.timer(
      delayMs,
      () => {
        this.#timers.delete(timer)
        if (this.#due === undefined) go()
        else this.#due.push(go)
      },
      options,
    )
    this.#timers.add(timer)
    return {
      cancel: () => {
        isSet = false
        this.#timers.delete(timer)
        timer.cancel()
      },
    }
  }

  /** From now on nothing fires. */
  stop(): void {
    this.#due ??= []
  }

  /** Fires what came due meanwhile, in order, and goes on. */
  continue(): void {
    const due = this.#due ?? []
    this.#due = undefined
    for (const fire of due) fire()
  }

  /** Nothing ever fires again. */
  end(): void {
    this.#ended = true
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }
}
