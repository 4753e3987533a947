/**
 * Time and chance as values that are handed in.
 *
 * Nothing in Greenroom reads a clock, sets a timer or draws a random number by itself: it is given a
 * {@link Clock} and a {@link Random}. Tests and the simulator hand in their own and thereby own time.
 */

/** A timer that was set and may be taken back. */
export interface Timer {
  /** Takes the timer back; a timer that has fired or was cancelled stays as it is. */
  cancel(): void
}

/** Where time comes from. */
export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch: for records that people read. */
  now(): number
  /** Milliseconds from an arbitrary start that never jump back: for every deadline and measurement. */
  monotonic(): number
  /**
   * Calls `fire` once after `delayMs` milliseconds.
   *
   * A timer keeps a program alive unless `background` is true.
   */
  timer(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer
}

/** Where chance comes from. */
export interface Random {
  /** A number in [0, 1): for jitter and for choosing between equals. */
  fraction(): number
  /** An unguessable identifier of 22 characters out of the checked alphabet (128 bits). */
  id(): string
}

/** Base64url without padding, which is inside the alphabet of {@link isName}. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/**
 * Turns random bytes into text of the checked alphabet, six bits a character.
 *
 * @param bytes - the random bytes; every started group of six bits gives a character
 * @returns the text, for example 22 characters for 16 bytes
 */
export function idFromBytes(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    bits = (bits << 8) | byte
    held += 8
    while (held >= 6) {
      held -= 6
      text += ALPHABET[(bits >> held) & 63] ?? ''
    }
    bits &= (1 << held) - 1
  }
  return held > 0 ? text + (ALPHABET[(bits << (6 - held)) & 63] ?? '') : text
}
