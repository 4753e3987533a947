/** Chance from a seed: the same seed draws the same. */
import { createSeededRandom } from '@greenroom/bus/testing'

/** A source of numbers and choices. */
export class Seeded {
  /** From 0 up to, not including, 1. */
  readonly fraction: () => number

  constructor(seed: number) {
    const random = createSeededRandom(seed)
    this.fraction = () => random.fraction()
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
