/** Files that the command line names. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { GreenroomError } from '@greenroom/proto'

/**
 * Reads a file.
 *
 * @param flag - what named it
 * @param path - where it is
 * @param options - `secret`: refuse it when other users may read or write it
 * @throws GreenroomError `BAD_OPTIONS` naming flag and file
 */
export function readGivenFile(flag: string, path: string, { secret }: { readonly secret: boolean }): string {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    // Asked of the open file: what is checked is what is read. Its group may read it: secret volumes are mounted so.
    const isReachable = (fstatSync(file).mode & 0o006) !== 0
    if (secret && isReachable)
      throw new GreenroomError('BAD_OPTIONS', `${flag}: other users may reach ${path}: chmod 600 it`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof GreenroomError) throw error
    const reason = error instanceof Error && 'code' in error ? error.code : error
    throw new GreenroomError('BAD_OPTIONS', `${flag}: cannot read ${path}: ${String(reason)}`, { cause: error })
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
