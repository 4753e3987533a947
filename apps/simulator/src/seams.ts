/** The seams: every call through one is counted, and after some of them a fault strikes. */
import type { Chance } from './chance.ts'
import type { Trace } from './trace.ts'

/** How many faults there are in a schedule, and how far apart. */
export interface FaultPlan {
  readonly faults: number
  /** Seam calls from one to the next, twice this at most. */
  readonly gap: number
}

/** Draws how much goes wrong; in some schedules nothing does. */
export function drawFaultPlan(chance: Chance): FaultPlan {
  return { faults: chance.one([0, 1, 1, 2, 3, 5, 8, 12]), gap: chance.one([5, 20, 60, 150]) }
}

/** See the file. */
export class Seams {
  readonly #chance: Chance
  readonly #plan: FaultPlan
  readonly #trace: Trace
  readonly #strike: () => void
  #left: number
  #countdown: number
  #isOpen = false

  /** @param strike - lets something go wrong */
  constructor(plan: FaultPlan, chance: Chance, trace: Trace, strike: () => void) {
    this.#plan = plan
    this.#chance = chance
    this.#trace = trace
    this.#strike = strike
    this.#left = plan.faults
    this.#countdown = this.#draw()
  }

  /** From now on calls count. */
  open(): void {
    this.#isOpen = true
  }

  /** Nothing goes wrong any more. */
  close(): void {
    this.#isOpen = false
  }

  /** The next fault, when there is one left, comes within so many calls. */
  hasten(calls: number): void {
    this.#countdown = Math.min(this.#countdown, calls)
  }

  /** A call through a seam. */
  pass(site: string): void {
    this.#trace.add(site)
    if (!this.#isOpen || this.#left === 0) return
    this.#countdown -= 1
    if (this.#countdown > 0) return
    this.#left -= 1
    this.#countdown = this.#draw()
    // Whoever called has made its call; nothing else happens in between.
    queueMicrotask(this.#strike)
  }

  #draw(): number {
    return this.#chance.between(1, 2 * this.#plan.gap)
  }
}
