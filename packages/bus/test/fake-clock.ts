/** A clock that stands still until the test moves it. */
import type { Clock, Timer } from '@greenroom/proto'

interface Entry {
  readonly at: number
  readonly fire: () => void
}

/** See the head of this file. Timers fire in the order of their times, each with the clock at its time. */
export class FakeClock implements Clock {
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

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size
  }

  /** When the next timer fires, from now; undefined when none is set. */
  get nextMs(): number | undefined {
    const next = this.#next(Number.POSITIVE_INFINITY)
    return next === undefined ? undefined : next.at - this.#now
  }

  /** Moves time on and fires what is due. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#next(end)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.fire()
    }
    this.#now = end
  }

  #next(end: number): Entry | undefined {
    let first: Entry | undefined
    for (const entry of this.#timers) if (entry.at <= end && (first === undefined || entry.at < first.at)) first = entry
    return first
  }
}
