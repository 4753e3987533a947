/** Chance out of a seed. */
import { idFromBytes, type Random } from '@greenroom/proto'

/**
 * Makes a source of chance that draws the same for the same seed. Its ids can be guessed: for tests only.
 *
 * @param seed - any whole number
 */
export function createSeededRandom(seed: number): Random {
  let state = (seed * 2_654_435_761) >>> 0
  /** mulberry32 */
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { fraction, id: () => idFromBytes(Uint8Array.from({ length: 16 }, () => Math.floor(fraction() * 256))) }
}
