import type { Clock } from '@greenroom/proto'
import { setImmediate as turn } from 'node:timers/promises'

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #now = 0
  readonly #timers = new Set<{ readonly at: number; readonly fire: () => void }>()

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  timer(delayMs: number, fire: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, fire }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.size
  }

  /** Lets time pass at once, as after a process was suspended: what was due meanwhile fires late. */
  async jump(byMs: number): Promise<void> {
    await settle()
    this.#now += byMs
    await this.advance(0)
  }

  /** Lets time pass, timer by timer, and all that follows from each happen. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs
    await settle()
    while (true) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.fire()
      await settle()
    }
    this.#now = end
  }
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 20; round += 1) await turn()
}
