/** Chance from a seed: the same seed draws the same. */
import { createSeededRandom } from '@greenroom/bus/testing'
import type { Random } from '@greenroom/proto'

/** A source of numbers and choices, and of the chance that the product itself wants. */
export class Chance {
  readonly #random: Random
  readonly #seed: number
  #children = 0

  constructor(seed: number) {
    this.#seed = seed
    this.#random = createSeededRandom(seed)
  }

  /** A source of its own for a part: what another part draws does not change what this one does. */
  child(): Chance {
    this.#children += 1
    return new Chance(this.#seed * 1_009 + this.#children)
  }

  /** The same as the product takes it. */
  get random(): Random {
    return this.#random
  }

  /** From 0 up to, not including, 1. */
  readonly fraction = (): number => this.#random.fraction()

  /** Whether something of this probability happens. */
  happens(probability: number): boolean {
    return this.fraction() < probability
  }

  /** A whole number below `end`. */
  below(end: number): number {
    return Math.floor(this.fraction() * end)
  }

  /** A whole number from `first` to `last`. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1)
  }

  /** One of them. */
  one<T>(from: readonly [T, ...T[]]): T {
    return from[this.below(from.length)] ?? from[0]
  }

  /** One of them; undefined when there is none. */
  oneOf<T>(from: readonly T[]): T | undefined {
    return from[this.below(from.length)]
  }
}
