/** Making a data folder of a backup: all of it or none. */
import { closeSync, copyFileSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { StoreError } from '../error.ts'
import { checkSchema, type Schema } from '../schema.ts'
import type { BackupMark } from '../store.ts'
import { makePrivateFile, ownFolder, unfinished, unfinishedRestore } from './data-dir.ts'
import { isThere, syncDir } from './folder.ts'
import { inspectDatabase } from './inspection.ts'
import { storeErrorOf } from './sqlite-error.ts'

/** What to restore, and where to. */
export interface RestoreOptions {
  /** A file that `Store.backup` or `backupFolder` wrote. */
  readonly from: string
  /** The data folder: one that is not there yet, or is empty. */
  readonly dir: string
  /** What this program knows: the backup may be older. */
  readonly schema: Schema
}

/** What an empty folder may hold: what a start or a restore that was cut off left, and what a file system brings along. */
const ignored: ReadonlySet<string> = new Set([
  'owner.lock',
  'owner.json',
  ...unfinished,
  unfinishedRestore,
  'lost+found',
])

function checkBackup(path: string, schema: Schema): BackupMark {
  if (!isThere(path)) throw new StoreError('BAD_OPTIONS', `There is no backup at ${path}.`, { path })
  // A backup has no log; a database that has one would lose what is in it.
  using inspection = inspectDatabase(path, schema, true)
  if (inspection.restoredFrom === undefined || existsSync(`${path}-wal`))
    throw new StoreError('BAD_OPTIONS', `${path} is no backup: make one with \`greenroom backup\`.`, { path })
  const [problem] = inspection.problems()
  if (problem !== undefined) throw new StoreError('STORE_DAMAGED', `${path} is damaged: ${problem}`, { path })
  return inspection.restoredFrom
}

function checkEmpty(dir: string): void {
  const there = existsSync(dir) ? readdirSync(dir).filter((name) => !ignored.has(name)) : []
  if (there.length === 0) return
  throw new StoreError('BAD_OPTIONS', `${dir} is not empty: there is ${there.slice(0, 3).join(', ')}.`, { path: dir })
}

function syncFile(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/**
 * Makes a data folder of a backup, which is checked first. The folder has either all of it or no database at all: one in
 * which a restore was cut off is refused by `openStore` until a restore ran through.
 *
 * @returns which backup it is
 * @throws StoreError `BAD_OPTIONS` (no backup, or a folder that is not empty), `DATA_DIR_IN_USE`, `STORE_DAMAGED`,
 * `SCHEMA_TOO_NEW`, `IO_FAILED`
 */
export function restoreBackup({ from, dir: path, schema }: RestoreOptions): BackupMark {
  checkSchema(schema)
  const dir = resolve(path)
  const partial = join(dir, unfinishedRestore)
  try {
    const mark = checkBackup(resolve(from), schema)
    checkEmpty(dir)
    const release = ownFolder(dir)
    try {
      checkEmpty(dir)
      rmSync(partial, { force: true })
      makePrivateFile(partial)
      syncDir(dir)
      copyFileSync(from, partial)
      syncFile(partial)
      renameSync(partial, join(dir, 'store.db'))
      syncDir(dir)
    } catch (error) {
      rmSync(partial, { force: true })
      throw error
    } finally {
      release()
    }
    return mark
  } catch (error) {
    throw storeErrorOf(error, 'The restore', dir)
  }
}
