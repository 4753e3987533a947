/** Online backup: a consistent copy, while commits go on. */
import { realpathSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { StoreError } from '../error.ts'
import { makePrivateFile, type DataDir } from './data-dir.ts'
import { syncDir } from './folder.ts'
import { storeErrorOf } from './sqlite-error.ts'

/** Pages of 8 KiB that are copied at a time. */
const pagesPerStep = 256

/**
 * Copies the database to a file. The copy has a connection of its own, and copies from the snapshot of one read
 * transaction: without it SQLite starts over whenever another connection commits, under load for ever.
 *
 * @throws StoreError by rejection: `BAD_OPTIONS`, `IO_FAILED`
 * @internal
 */
export async function backupDatabase({ dir, databasePath }: DataDir, path: string): Promise<void> {
  const target = resolve(path)
  const partial = `${target}.partial`
  let source: DatabaseSync | undefined
  try {
    // By their real names: it would replace the live database.
    if ((realpathSync(dirname(target)) + sep).startsWith(realpathSync(dir) + sep)) {
      throw new StoreError('BAD_OPTIONS', 'A backup must not lie inside the data folder.', { path: target })
    }
    rmSync(partial, { force: true })
    makePrivateFile(partial)
    source = new DatabaseSync(databasePath, { readOnly: true, timeout: 5_000 })
    source.exec('BEGIN; SELECT count(*) FROM sqlite_schema')
    await backup(source, partial, { rate: pagesPerStep })
    renameSync(partial, target)
    syncDir(dirname(target))
  } catch (error) {
    rmSync(partial, { force: true })
    throw storeErrorOf(error, 'The backup', target)
  } finally {
    source?.close()
  }
}
