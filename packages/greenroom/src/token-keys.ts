/** A file with the keys of signed tokens: one a line, the first one signs; what follows a `#` at its start is for people. */
import { GreenroomError } from '@greenroom/proto'
import { readGivenFile } from './platform/given-file.ts'

/**
 * Reads it.
 *
 * @param flag - what named it
 * @param path - where it is, closed to other users
 * @throws GreenroomError `BAD_OPTIONS` naming flag and file, never what is in it
 */
export function readTokenKeys(flag: string, path: string): readonly [string, ...string[]] {
  const lines = readGivenFile(flag, path, { secret: true })
    .split('\n')
    .map((line) => line.trim())
  const [first, ...others] = lines.filter((line) => line !== '' && !line.startsWith('#'))
  if (first === undefined) throw new GreenroomError('BAD_OPTIONS', `${flag}: there is no key in ${path}`)
  return [first, ...others]
}
