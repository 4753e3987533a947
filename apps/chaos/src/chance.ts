/** Chance from a seed. */
import { createSeededRandom } from '@greenroom/bus/testing'

/** A source of numbers and choices: the same seed draws the same. */
export class Chance {
  /** From 0 up to, not including, 1. */
  readonly fraction: () => number

  /**
   * @param seed - any whole number
   * @param part - what it is for: what one part draws does not change what another does
   */
  constructor(seed: number, part = 0) {
    const random = createSeededRandom(seed * 1_009 + part)
    this.fraction = () => random.fraction()
  }

  /** Whether something of this probability happens. */
  happens(probability: number): boolean {
    return this.fraction() < probability
  }

  /** A whole number from `first` to `last`. */
  between(first: number, last: number): number {
    return first + Math.floor(this.fraction() * (last - first + 1))
  }

  /** One of them; undefined when there is none. */
  oneOf<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.fraction() * from.length)]
  }
}
