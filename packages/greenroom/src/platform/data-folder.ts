/** Data folders that the command line names. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Whether a broker ever kept its data there: to look into a folder must not make one. */
export function hasStore(dir: string): boolean {
  return existsSync(join(dir, 'store.db'))
}

/** Bytes of a file that was just written. */
export function sizeOf(path: string): number {
  return statSync(path).size
}
