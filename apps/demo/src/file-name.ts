/**
 * File names are bytes; JSON has text. A name travels as text of which every byte can be got back:
 *
 * - *F1* A byte that is not part of valid UTF-8 becomes the lone surrogate U+DC00 + byte (as Python does, PEP 383).
 *   Valid UTF-8 never yields one, and JSON writes it as `"\udce9"`, so nothing is ambiguous and nothing is lost.
 */
import { isUtf8 } from 'node:buffer'

const ESCAPE = 0xdc00

/** How many bytes a UTF-8 sequence with this first byte has. */
const sequenceLength = (first: number): number => (first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1)

/**
 * The text of a name (F1).
 *
 * @param bytes - the name as the file system has it
 */
export function nameFromBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString()
  let name = ''
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at] ?? 0
    const sequence = bytes.subarray(at, at + sequenceLength(first))
    const valid = isUtf8(sequence)
    name += valid ? sequence.toString() : String.fromCharCode(ESCAPE + first)
    at += valid ? sequence.length : 1
  }
  return name
}

/**
 * The bytes of a name that came from {@link nameFromBytes}.
 *
 * @param name - its text
 */
export function bytesOfName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name)
  const part = (char: string): Buffer =>
    char.isWellFormed() ? Buffer.from(char) : Buffer.of(char.charCodeAt(0) - ESCAPE)
  return Buffer.concat(Array.from(name, part))
}

/**
 * Text that a terminal shows and does not obey: control characters, what is not UTF-8, and what reverses the reading
 * direction are written as `\xNN` or `\u{…}`.
 *
 * @param text - a name, or a line out of a file
 */
export function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0
    const byte = code >= ESCAPE && code <= ESCAPE + 0xff ? code - ESCAPE : code
    return byte <= 0xff ? `\\x${byte.toString(16).padStart(2, '0')}` : `\\u{${byte.toString(16)}}`
  })
}
