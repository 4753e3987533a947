/** An online backup of a runner's database. */
import { GreenroomError, type BackupReceipt } from '@greenroom/proto'
import type { Store } from '@greenroom/store'
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fromStore } from '../store-error.ts'

/**
 * Writes a backup.
 *
 * @param store - of what
 * @param path - the file; relative to the working directory
 * @throws GreenroomError `BAD_OPTIONS`, `STORE_DAMAGED`, `IO_FAILED`, `CLOSED`
 */
export async function backUp(store: Store, path: string): Promise<BackupReceipt> {
  if (typeof path !== 'string' || path === '')
    throw new GreenroomError('BAD_OPTIONS', 'path must be the name of a file')
  const to = resolve(path)
  try {
    await store.backup(to)
    return { path: to, bytes: statSync(to).size }
  } catch (error) {
    throw fromStore(error)
  }
}
