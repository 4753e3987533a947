/** Data folders that the command line names. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { GreenroomError } from '@greenroom/proto'

/**
 * Whether a broker ever kept its data there: to look into a folder must not make one.
 *
 * @throws GreenroomError `IO_FAILED` naming the flag, when this user may not know
 */
export function hasStore(dir: string): boolean {
  try {
    return statSync(join(dir, 'store.db'), { throwIfNoEntry: false }) !== undefined
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new GreenroomError('IO_FAILED', `--data: cannot look into ${dir}: ${why}`, { cause })
  }
}

/** Bytes of a file that was just written. */
export function sizeOf(path: string): number {
  return statSync(path).size
}
