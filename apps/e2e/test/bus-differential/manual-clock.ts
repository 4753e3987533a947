/** A clock that stands still until the test moves it. */
import type { Clock, Timer } from '@greenroom/proto'

interface Entry {
  readonly at: number
  readonly fire: () => void
}

/** Timers fire in the order of their times, each with the clock at its time. */
export class ManualClock implements Clock {
  readonly #timers = new Set<Entry>()
  #now = 1_000_000

  now(): number {
    return 1_700_000_000_000 + this.#now
  }

  monotonic(): number {
    return this.#now
  }

  timer(delayMs: number, fire: () => void): Timer {
    const entry: Entry = { at: this.#now + delayMs, fire }
    this.#timers.add(entry)
    return { cancel: () => void this.#timers.delete(entry) }
  }

  /** Moves time on and fires what is due. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.fire()
    }
    this.#now = end
  }
}
