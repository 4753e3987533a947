/** Times as people type them. */
import { GreenroomError } from '@greenroom/proto'

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * Reads a time.
 *
 * @param flag - what it was given for
 * @param text - a number and `s`, `m`, `h` or `d`
 * @returns milliseconds
 * @throws GreenroomError `BAD_OPTIONS` naming the flag
 */
export function parseAge(flag: string, text: string): number {
  const [, count = '', unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const ms = Number(count) * (units[unit] ?? Number.NaN)
  if (!Number.isSafeInteger(ms))
    throw new GreenroomError('BAD_OPTIONS', `${flag} ${text} is no age: 90s, 30m, 12h or 7d`)
  return ms
}
