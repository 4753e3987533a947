/**
 * How many commits a database has: a row of its own, in a page that each commit writes.
 *
 * With it a log that was cut is recognised when a checkpoint had copied more of it into the database than is left: the file
 * alone then counts further than the file with its log. Without it pages of two commits would be read as one.
 */
import { statSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { StoreError } from '../error.ts'

/**
 * Makes the row. Before any other table: a checkpoint copies pages in the order of their numbers.
 *
 * @internal
 */
export const createCommitCountSql = `CREATE TABLE IF NOT EXISTS "_commits" (count INTEGER NOT NULL);
  INSERT INTO "_commits" SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM "_commits")`

/**
 * Whether the row is there.
 *
 * @internal
 */
export function countsCommits(db: DatabaseSync): boolean {
  return db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = '_commits'`).get() !== undefined
}

/**
 * What a transaction runs to count itself.
 *
 * @internal
 */
export function prepareCount(db: DatabaseSync): StatementSync {
  return db.prepare('UPDATE "_commits" SET count = count + 1')
}

/**
 * Whether there is something in the log.
 *
 * @internal
 */
export function hasLog(path: string): boolean {
  return (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0
}

function countOf(db: DatabaseSync): number {
  return Number(db.prepare('SELECT count FROM "_commits"').get()?.['count'] ?? 0)
}

/** What the file alone counts; 0 when it cannot be read without its log. */
function countOfFile(path: string): number {
  const url = pathToFileURL(path)
  url.searchParams.set('immutable', '1')
  try {
    using file = new DatabaseSync(url, { readOnly: true })
    return countOf(file)
  } catch {
    return 0
  }
}

/**
 * Checks that the log has all that was copied out of it. Nobody may be writing, and nobody else of this process have the
 * database open.
 *
 * @throws StoreError `STORE_DAMAGED`; what SQLite says when it cannot be read
 * @internal
 */
export function checkLog(path: string): void {
  const copied = hasLog(path) ? countOfFile(path) : 0
  if (copied === 0) return
  using db = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
  const count = countOf(db)
  if (count >= copied) return
  const text = `The log of ${path} was cut: it ends at commit ${count}, and parts of it up to ${copied} are in the database.`
  throw new StoreError('STORE_DAMAGED', `${text} Restore a backup.`, { path })
}
