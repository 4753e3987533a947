/** Online backup: a consistent copy, while commits go on. */
import { closeSync, existsSync, lstatSync, openSync, readSync, realpathSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { StoreError } from '../error.ts'
import { markAsBackup, isBackupHeader } from './backup-mark.ts'
import { checkLog } from './commit-count.ts'
import { makePrivateFile, openDataDir, type DataDir } from './data-dir.ts'
import { checkIsStore } from './database.ts'
import { isThere, syncDir } from './folder.ts'
import { problemsOfFile } from './integrity.ts'
import { storeErrorOf } from './sqlite-error.ts'

/** Pages of 8 KiB that are copied at a time. */
const pagesPerStep = 256
/** Bytes of an SQLite file's header. */
const headerBytes = 100

/** Whether a file is a backup. It must not be a database that this process has open: see `data-dir`. */
function isBackupFile(path: string): boolean {
  const file = openSync(path, 'r')
  try {
    const header = Buffer.alloc(headerBytes)
    readSync(file, header, 0, headerBytes, 0)
    return isBackupHeader(header)
  } finally {
    closeSync(file)
  }
}

/** The folder by its real name: what lies in it would replace the live database. */
function checkTarget({ dir }: DataDir, target: string): void {
  const bad = (text: string): StoreError => new StoreError('BAD_OPTIONS', text, { path: target })
  if (!isThere(dirname(target))) throw bad(`There is no folder ${dirname(target)} for the backup.`)
  const folder = realpathSync(dirname(target)) + sep
  if (folder.startsWith(realpathSync(dir) + sep)) throw bad('A backup must not lie inside the data folder.')
  // One that has an owner is not even looked at, so that its locks stay.
  if (existsSync(join(folder, 'owner.lock'))) throw bad('A backup must not lie inside a data folder.')
  const there = lstatSync(target, { throwIfNoEntry: false })
  if (there !== undefined && !(there.isFile() && isBackupFile(target)))
    throw bad(`${target} is there and is no backup: it is not replaced.`)
}

/** A copy of what is damaged must not replace a backup that is not. */
async function checkCopy(partial: string, path: string): Promise<void> {
  const [problem] = await problemsOfFile(partial)
  if (problem === undefined) return
  throw new StoreError('STORE_DAMAGED', `The copy of ${path} is damaged: ${problem}. There is no new backup.`, { path })
}

/** The file that SQLite says something about: it reads no other than the database. */
function aboutCopying(error: unknown, databasePath: string, target: string): StoreError {
  const said = storeErrorOf(error, 'The backup', target)
  return said === error || said.code !== 'STORE_DAMAGED' ? said : storeErrorOf(error, 'The backup', databasePath)
}

/**
 * Copies the database to a file, and checks the copy before it replaces anything. The copy has a connection of its own, and copies from the snapshot of one read
 * transaction: without it SQLite starts over whenever another connection commits, under load for ever.
 *
 * @throws StoreError by rejection: `BAD_OPTIONS`, `STORE_DAMAGED` (its `path` is the database), `IO_FAILED`
 * @internal
 */
export async function backupDatabase(folder: DataDir, path: string): Promise<void> {
  const target = resolve(path)
  const partial = `${target}.partial`
  let source: DatabaseSync | undefined
  try {
    checkTarget(folder, target)
    rmSync(partial, { force: true })
    makePrivateFile(partial)
    source = new DatabaseSync(folder.databasePath, { readOnly: true, timeout: 5_000 })
    source.exec('BEGIN; SELECT count(*) FROM sqlite_schema')
    await backup(source, partial, { rate: pagesPerStep })
    markAsBackup(partial)
    await checkCopy(partial, folder.databasePath)
    renameSync(partial, target)
    syncDir(dirname(target))
  } catch (error) {
    rmSync(partial, { force: true })
    throw aboutCopying(error, folder.databasePath, target)
  } finally {
    source?.close()
  }
}

/**
 * Copies the database of a data folder that nobody owns, whatever its schema, to a file; it is owned meanwhile.
 *
 * @param options - `dir`: the data folder; `to`: the file, outside of it. A file that is there is replaced if it is a
 * backup too.
 * @throws StoreError by rejection: `BAD_OPTIONS` (also when there is no database), `DATA_DIR_IN_USE`, `STORE_DAMAGED`,
 * `IO_FAILED`
 */
export async function backupFolder({ dir, to }: { readonly dir: string; readonly to: string }): Promise<void> {
  if (!existsSync(join(dir, 'store.db')))
    throw new StoreError('BAD_OPTIONS', `There is no database in ${dir}.`, { path: dir })
  const folder = openDataDir(dir)
  try {
    checkLog(folder.databasePath)
    // Closing it folds the log into the database: the reading connection alone would leave an empty log behind.
    using database = new DatabaseSync(folder.databasePath)
    checkIsStore(database, folder.databasePath)
    await backupDatabase(folder, to)
  } catch (error) {
    throw storeErrorOf(error, 'Reading', folder.databasePath)
  } finally {
    folder.release()
  }
}
