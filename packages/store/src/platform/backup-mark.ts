/**
 * What tells a backup from the database that it was made of: an application id of its own, and a table `_backup` with one
 * row, which stays when the backup becomes a data folder. So whoever opens it knows that time went on without it,
 * however it came there.
 */
import { DatabaseSync } from 'node:sqlite'
import { randomUUID } from 'node:crypto'
import type { BackupMark } from '../store.ts'

/**
 * `GRNS`: tells `file` and us that the database is a store of Greenroom.
 *
 * @internal
 */
export const storeId = 0x47524e53

/**
 * `GRNB`: a backup of one.
 *
 * @internal
 */
export const backupId = 0x47524e42

/** Where the application id is in an SQLite file. */
const idOffset = 68

/**
 * Whether the first 100 bytes of a file are those of a backup.
 *
 * @internal
 */
export function isBackupHeader(header: Buffer): boolean {
  return header.toString('latin1', 0, 15) === 'SQLite format 3' && header.readUInt32BE(idOffset) === backupId
}

/**
 * Marks a fresh copy, and makes it one plain file without a log beside it, flushed.
 *
 * @internal
 */
export function markAsBackup(path: string): void {
  using db = new DatabaseSync(path)
  db.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1; BEGIN')
  db.exec('DROP TABLE IF EXISTS "_backup"; CREATE TABLE "_backup" (id TEXT NOT NULL, at INTEGER NOT NULL)')
  db.prepare('INSERT INTO "_backup" VALUES (?, ?)').run(randomUUID(), Date.now())
  db.exec(`PRAGMA application_id = ${backupId}; COMMIT`)
}

/**
 * The mark of a backup, or of a data folder that was one.
 *
 * @internal
 */
export function readMark(db: DatabaseSync): BackupMark | undefined {
  const has = db.prepare(`SELECT count(*) AS count FROM sqlite_schema WHERE name = '_backup'`).get()
  if (has?.['count'] === 0) return undefined
  const row = db.prepare('SELECT id, at FROM "_backup"').get()
  return row === undefined ? undefined : { id: String(row['id']), at: Number(row['at']) }
}
