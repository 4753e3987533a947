/** The key with which a broker signs when it was given none: in its data folder, so that its next life knows its tokens. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GreenroomError } from '@greenroom/proto'

/** Beside the database, not in it: a backup must not hold what signs tokens. */
const fileName = 'token-key'

/**
 * Reads the key of a data folder, and makes one when there is none.
 *
 * @param dir - the folder, which this process owns
 * @param fresh - makes a key
 * @throws GreenroomError `IO_FAILED`
 */
export function ownKey(dir: string, fresh: () => string): string {
  const path = join(dir, fileName)
  try {
    return read(path) ?? write(path, fresh())
  } catch (cause) {
    throw new GreenroomError('IO_FAILED', `the key in ${path} can be neither read nor made`, { cause })
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function write(path: string, key: string): string {
  writeFileSync(`${path}.new`, `${key}\n`, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
  return key
}
