/** The database file before anything runs on it: is it ours, is it current, are its tables there. */
import { DatabaseSync } from 'node:sqlite'
import { messageOf, StoreError } from '../error.ts'
import { encodeBatch, Names } from '../operation.ts'
import { isCollectionName, type MigrationTransaction, type Schema } from '../schema.ts'
import type { BackupMark } from '../store.ts'
import { backupId, readMark, storeId } from './backup-mark.ts'
import { checkLog, countsCommits, createCommitCountSql } from './commit-count.ts'
import { storeErrorOf } from './sqlite-error.ts'
import { addSums, createTableSql, hasSums, Table } from './table.ts'

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]
}

/**
 * The collections that are there.
 *
 * @internal
 */
export function tableNames(db: DatabaseSync): string[] {
  const rows = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).all()
  return rows.map(({ name }) => String(name)).filter((name) => isCollectionName(name))
}

/**
 * Makes sure that a database is ours. One that has not even the mark with which {@link createDatabase} makes it is what is
 * left when somebody emptied the file.
 *
 * @throws StoreError `STORE_DAMAGED`
 * @internal
 */
export function checkIsStore(db: DatabaseSync, path: string): void {
  const id = pragma(db, 'application_id')
  if (id === storeId || id === backupId) return
  const isEmpty = Number(pragma(db, 'page_count')) === 0
  const text = isEmpty
    ? `${path} is empty: what was in it is gone.`
    : `${path} is a database, but not one of Greenroom's.`
  throw new StoreError('STORE_DAMAGED', text, { path })
}

/**
 * Makes a database without any collection, which is marked as ours and on disk.
 *
 * @param path - an empty file that becomes it
 * @internal
 */
export function createDatabase(path: string): void {
  using db = new DatabaseSync(path)
  // The page size counts only while the file is empty.
  db.exec(
    `PRAGMA page_size = 8192; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1; PRAGMA application_id = ${storeId}`,
  )
}

/**
 * The version of the data: 0 for a new file.
 *
 * @throws StoreError `STORE_DAMAGED` when it is not ours, `SCHEMA_TOO_NEW`
 * @internal
 */
export function verifiedVersion(db: DatabaseSync, path: string, schema: Schema): number {
  checkIsStore(db, path)
  const version = Number(pragma(db, 'user_version'))
  if (version > schema.version) {
    const text = `${path} has schema version ${version}; this program knows versions up to ${schema.version}.`
    throw new StoreError('SCHEMA_TOO_NEW', text, { path })
  }
  return version
}

function useWal(db: DatabaseSync, path: string): void {
  const mode = pragma(db, 'journal_mode = WAL')
  if (mode !== 'wal') {
    throw new StoreError('IO_FAILED', `${path}: this file system has no shared memory for a write-ahead log.`, { path })
  }
}

function migrationTransaction(db: DatabaseSync): MigrationTransaction {
  const names = new Names(tableNames(db))
  const tables = names.list.map((name) => new Table(db, name))
  const dropped = new Set<string>()
  const tableOf = (collection: string): Table => {
    const table = dropped.has(collection) ? undefined : tables[names.indexOf(collection)]
    if (table === undefined) throw new StoreError('BAD_OPERATION', `There is no collection "${collection}" any more.`)
    return table
  }
  return {
    collections: names.list,
    get: (collection, key) => tableOf(collection).get(key),
    scan: (collection, range = {}) => tableOf(collection).scan(range),
    apply: (operations) => {
      const { operations: encoded } = encodeBatch(names, operations)
      for (const { table, key, meta, body } of encoded) {
        const target = tableOf(names.list[table] ?? '')
        if (meta === undefined) target.delete(key)
        else target.put(key, meta, body)
      }
    },
    drop: (collection) => {
      names.indexOf(collection)
      db.exec(`DROP TABLE "${collection}"`)
      dropped.add(collection)
    },
  }
}

function migrate(db: DatabaseSync, version: number, schema: Schema): void {
  db.exec('BEGIN IMMEDIATE')
  db.exec(createCommitCountSql)
  for (const name of tableNames(db)) if (!hasSums(db, name)) addSums(db, name)
  for (const name of schema.collections) db.exec(createTableSql(name))
  for (let from = Math.max(1, version); version > 0 && from < schema.version; from += 1) {
    const step = schema.migrations?.find((migration) => migration.from === from)
    if (step === undefined) continue
    try {
      step.migrate(migrationTransaction(db))
    } catch (cause) {
      throw new StoreError('MIGRATION_FAILED', `The step from schema version ${from} failed: ${messageOf(cause)}`, {
        cause,
      })
    }
  }
  // A step may have dropped what the schema names, to start afresh.
  for (const name of schema.collections) db.exec(createTableSql(name))
  db.exec(`PRAGMA application_id = ${storeId}; PRAGMA user_version = ${schema.version}; COMMIT`)
}

function isCurrent(db: DatabaseSync, version: number, schema: Schema): boolean {
  const there = new Set(tableNames(db))
  const isStore = pragma(db, 'application_id') === storeId
  return (
    isStore &&
    countsCommits(db) &&
    version === schema.version &&
    schema.collections.every((name) => there.has(name) && hasSums(db, name))
  )
}

/**
 * Checks the file, brings it to the schema's version in one transaction, and closes it again. A backup becomes a
 * database that goes on; what is newer or not ours is left untouched.
 *
 * @returns which backup it was, if it was one
 * @throws StoreError `STORE_DAMAGED`, `SCHEMA_TOO_NEW`, `MIGRATION_FAILED`, `IO_FAILED`
 * @internal
 */
export function prepareDatabase(path: string, schema: Schema): BackupMark | undefined {
  let db: DatabaseSync | undefined
  try {
    checkLog(path)
    db = new DatabaseSync(path, { timeout: 5_000 })
    const version = verifiedVersion(db, path, schema)
    useWal(db, path)
    if (!isCurrent(db, version, schema)) migrate(db, version, schema)
    return readMark(db)
  } catch (error) {
    if (db?.isTransaction === true) db.exec('ROLLBACK')
    throw storeErrorOf(error, 'Opening the database', path)
  } finally {
    db?.close()
  }
}

/**
 * Bytes of pages that deleted records left.
 *
 * @internal
 */
export function reusableBytes(db: DatabaseSync): number {
  return Number(pragma(db, 'freelist_count')) * Number(pragma(db, 'page_size'))
}
