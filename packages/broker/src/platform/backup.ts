/** Backups that an operator asks for. */
import { GreenroomError, type BackupReceipt } from '@greenroom/proto'
import type { Store } from '@greenroom/store'
import { statSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { fromStore } from '../store-error.ts'

/**
 * Writes a backup.
 *
 * @param store - of what
 * @param path - the file
 * @throws GreenroomError `BAD_OPTIONS`, `STORE_DAMAGED`, `IO_FAILED`, `MISSING_FEATURE` when the store is in memory
 */
export async function backUp(store: Store, path: string): Promise<BackupReceipt> {
  if (!isAbsolute(path))
    throw new GreenroomError('BAD_OPTIONS', `the path of a backup must be absolute, not ${path}: the broker writes it`)
  try {
    await store.backup(path)
  } catch (error) {
    throw fromStore(error)
  }
  const file = statSync(path, { throwIfNoEntry: false })
  if (file === undefined) throw new GreenroomError('MISSING_FEATURE', 'this broker keeps nothing on a disk')
  return { path, bytes: file.size }
}
