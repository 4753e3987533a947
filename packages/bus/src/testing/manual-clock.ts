/** A clock that stands still until it is told to go on. */
import type { Clock, Timer } from '@greenroom/proto'
import { nextTurn } from '../platform/tick.ts'

/** A timer that is set. */
export interface PendingTimer {
  /** How long until it fires, in milliseconds. */
  readonly inMs: number
  /** Whether whoever set it said that it keeps no program alive. */
  readonly background: boolean
}

/** A {@link Clock} of a test's own. Timers fire in the order of their times, each with the clock at its time. */
export interface ManualClock extends Clock {
  /** What is set, the next first: a test that ends can prove that nothing is left. */
  readonly timers: readonly PendingTimer[]
  /**
   * Moves time on. Before it, and after each timer that fires, everything happens that waits for nothing but its turn.
   *
   * @param ms - by how much
   */
  advance(ms: number): Promise<void>
  /**
   * Moves time on at once: fires what is due, and lets nothing else happen in between.
   *
   * @param ms - by how much
   */
  jump(ms: number): void
  /**
   * Moves time on as when a process was suspended: all of it is over before anything notices, then what was due fires
   * late.
   *
   * @param ms - by how much
   * @param options - `quietly`: nothing fires yet; the next move of the clock does it. = false
   */
  suspend(ms: number, options?: { readonly quietly?: boolean }): void
  /** Lets everything happen that waits for nothing but its turn; time stands still. */
  settle(): Promise<void>
  /**
   * Runs a task in the next turn of the event loop; {@link ManualClock.settle} waits for it. For the `defer` option of a
   * bus in memory.
   */
  readonly defer: (task: () => void) => void
}

interface Entry {
  readonly at: number
  readonly background: boolean
  readonly fire: () => void
}

/** In turns of the event loop. A chain of promises or stream events gives no other sign of going on. */
const quietTurns = 20
/** Something that never comes to rest must not stop the test: its time limit could not tell where. */
const mostTurns = 100_000
const wallClockStart = 1_700_000_000_000

/**
 * Lets everything happen that waits for nothing but its turn, with any clock.
 *
 * @param activity - counts what happened; until it stands still, the waiting goes on
 */
export async function settle(activity: () => number = () => 0): Promise<void> {
  for (let turn = 0, quiet = 0; quiet < quietTurns && turn < mostTurns; turn += 1) {
    const before = activity()
    await new Promise<void>(nextTurn)
    quiet = activity() === before ? quiet + 1 : 0
  }
}

/**
 * Makes a clock that stands still until it is told to go on. It starts at 2023-11-14T22:13:20Z.
 *
 * @example
 * ```ts
 * import { createManualClock } from '@greenroom/bus/testing'
 *
 * const clock = createManualClock()
 * clock.timer(1_000, () => console.log('a second is over'))
 * await clock.advance(999) // nothing
 * await clock.advance(1) // a second is over
 * console.log(clock.timers.length) // 0
 * ```
 */
export function createManualClock(): ManualClock {
  return new StandingClock()
}

class StandingClock implements ManualClock {
  readonly #entries = new Set<Entry>()
  #elapsed = 0
  #activity = 0

  get timers(): readonly PendingTimer[] {
    return [...this.#entries]
      .toSorted((a, b) => a.at - b.at)
      .map(({ at, background }) => ({ inMs: Math.max(0, at - this.#elapsed), background }))
  }

  now(): number {
    return wallClockStart + this.#elapsed
  }

  monotonic(): number {
    return this.#elapsed
  }

  timer(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer {
    const entry: Entry = { at: this.#elapsed + delayMs, fire, background: options?.background === true }
    this.#activity += 1
    this.#entries.add(entry)
    return {
      cancel: () => {
        if (this.#entries.delete(entry)) this.#activity += 1
      },
    }
  }

  readonly defer = (task: () => void): void => {
    this.#activity += 1
    nextTurn(() => {
      this.#activity += 1
      task()
    })
  }

  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms
    await this.settle()
    while (this.#fireNext(end)) await this.settle()
    this.#elapsed = end
  }

  jump(ms: number): void {
    const end = this.#elapsed + ms
    while (this.#fireNext(end));
    this.#elapsed = end
  }

  suspend(ms: number, { quietly = false }: { readonly quietly?: boolean } = {}): void {
    this.#elapsed += ms
    while (!quietly && this.#fireNext(this.#elapsed));
  }

  settle(): Promise<void> {
    return settle(() => this.#activity)
  }

  /** Whether there was one. */
  #fireNext(end: number): boolean {
    let next: Entry | undefined
    for (const entry of this.#entries) if (entry.at <= end && (next === undefined || entry.at < next.at)) next = entry
    if (next === undefined) return false
    this.#entries.delete(next)
    this.#elapsed = Math.max(this.#elapsed, next.at)
    next.fire()
    return true
  }
}
