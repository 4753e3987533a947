/** Chance from a seed: the same seed draws the same. */

/** A source of numbers and choices. */
export class Seeded {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761) >>> 0
  }

  /** From 0 up to, not including, 1 (mulberry32). */
  readonly fraction = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** Whether something of this probability happens. */
  happens(probability: number): boolean {
    return this.fraction() < probability
  }

  /** A whole number below `end`. */
  below(end: number): number {
    return Math.floor(this.fraction() * end)
  }

  /** One of them; undefined when there is none. */
  one<T>(from: readonly T[]): T | undefined {
    return from[this.below(from.length)]
  }
}
