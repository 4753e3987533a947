/** Looking into a data folder or a backup without changing it, also while its owner writes. */
import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { StoreError } from '../error.ts'
import type { Schema } from '../schema.ts'
import type { BackupMark, GetOptions, ScanRange, StoredRecord } from '../store.ts'
import { readMark } from './backup-mark.ts'
import { checkLog, hasLog } from './commit-count.ts'
import { probeOwner, type FolderOwner } from './data-dir.ts'
import { reusableBytes, tableNames, verifiedVersion } from './database.ts'
import { isThere } from './folder.ts'
import { defaultReserveBytes, freeBytesOf } from './free-space.ts'
import { problemsOf } from './integrity.ts'
import { storeErrorOf } from './sqlite-error.ts'
import { hasSums, Table } from './table.ts'

/** A data folder as it is now, without a look into its database. */
export interface FolderState {
  /** The live process that owns it; undefined when nobody does. */
  readonly owner: FolderOwner | undefined
  /** Bytes of the database and of its log. */
  readonly bytes: number
  /** Free bytes for this user on its file system. */
  readonly freeBytes: number
  /** Free bytes below which what brings something new is refused. */
  readonly reserveBytes: number
}

/** An open look into a database: one moment of it, however long it takes. */
export interface Inspection extends Disposable {
  /** Its schema's version. */
  readonly version: number
  /** The backup that it is, or was made of. */
  readonly restoredFrom: BackupMark | undefined
  /** The collections that are there. */
  readonly collections: readonly string[]
  /** Bytes of pages that deleted records left, which new ones take first. */
  readonly reusableBytes: number
  /**
   * What SQLite's own check finds wrong with pages and indexes, at most 20 lines; it reads all of the file. What is in a
   * record it cannot know.
   */
  problems(): readonly string[]
  /**
   * A record.
   *
   * @throws StoreError `STORE_DAMAGED`, `IO_FAILED`
   */
  get(collection: string, key: string, options?: GetOptions): StoredRecord | undefined
  /**
   * The records of a range; none of a collection that is not there.
   *
   * @throws StoreError `STORE_DAMAGED`, `IO_FAILED`
   */
  scan(collection: string, range: ScanRange): readonly StoredRecord[]
  /**
   * The keys of a collection's records that are not as they were written: all are looked at, one after the other.
   *
   * @throws StoreError `STORE_DAMAGED` when not even their pages can be read, `IO_FAILED`
   */
  damagedKeys(collection: string, options?: GetOptions): readonly string[]
  /**
   * How many records a collection has.
   *
   * @throws StoreError `STORE_DAMAGED`, `IO_FAILED`
   */
  count(collection: string): number
}

class DatabaseInspection implements Inspection {
  readonly version: number
  readonly restoredFrom: BackupMark | undefined
  readonly collections: readonly string[]
  readonly reusableBytes: number
  readonly #db: DatabaseSync
  readonly #path: string

  constructor(db: DatabaseSync, path: string, schema: Schema) {
    this.#db = db
    this.#path = path
    db.exec('BEGIN')
    this.version = verifiedVersion(db, path, schema)
    this.restoredFrom = readMark(db)
    this.collections = tableNames(db)
    this.reusableBytes = reusableBytes(db)
  }

  problems(): readonly string[] {
    return problemsOf(this.#db)
  }

  get(collection: string, key: string, options?: GetOptions): StoredRecord | undefined {
    return this.#read(collection, (table) => table?.get(key, options))
  }

  scan(collection: string, range: ScanRange): readonly StoredRecord[] {
    return this.#read(collection, (table) => table?.scan(range) ?? [])
  }

  damagedKeys(collection: string, options?: GetOptions): readonly string[] {
    return this.#read(collection, (table) => [...(table?.damagedKeys(options) ?? [])])
  }

  count(collection: string): number {
    return this.#read(collection, (table) => table?.count({}) ?? 0)
  }

  #read<T>(collection: string, read: (table: Table | undefined) => T): T {
    try {
      const isThere = this.collections.includes(collection)
      return read(isThere ? new Table(this.#db, collection, !hasSums(this.#db, collection)) : undefined)
    } catch (error) {
      throw storeErrorOf(error, 'Reading', this.#path)
    }
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }
}

/**
 * Opens a database for looking.
 *
 * @param isStill - nobody writes it, and there is no log: it is read without any lock or file beside it
 * @throws StoreError `STORE_DAMAGED`, `SCHEMA_TOO_NEW`, `IO_FAILED`
 * @internal
 */
export function inspectDatabase(path: string, schema: Schema, isStill: boolean): Inspection {
  const url = pathToFileURL(path)
  if (isStill) url.searchParams.set('immutable', '1')
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(url, { readOnly: true, timeout: 5_000 })
    return new DatabaseInspection(db, path, schema)
  } catch (error) {
    db?.close()
    throw storeErrorOf(error, 'Reading', path)
  }
}

function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/**
 * Looks at a data folder.
 *
 * @param dir - the data folder
 * @throws StoreError `BAD_OPTIONS` when there is no database in it, `IO_FAILED`
 */
export function inspectFolder(dir: string): FolderState {
  const path = join(resolve(dir), 'store.db')
  try {
    if (!isThere(path)) throw new StoreError('BAD_OPTIONS', `There is no database in ${dir}.`, { path: dir })
    return {
      owner: probeOwner(resolve(dir)),
      bytes: bytesOf(path) + bytesOf(`${path}-wal`),
      freeBytes: freeBytesOf(dir),
      reserveBytes: defaultReserveBytes,
    }
  } catch (error) {
    throw storeErrorOf(error, 'Looking at the data folder', dir)
  }
}

/**
 * Looks into the database of a data folder, owned or not.
 *
 * @param dir - the data folder
 * @param schema - what this program knows
 * @throws StoreError `BAD_OPTIONS` when there is no database in it, `STORE_DAMAGED`, `SCHEMA_TOO_NEW`, `IO_FAILED`
 */
export function inspectStore(dir: string, schema: Schema): Inspection {
  const { owner } = inspectFolder(dir)
  const path = join(resolve(dir), 'store.db')
  const isStill = owner === undefined
  try {
    if (isStill) checkLog(path)
  } catch (error) {
    throw storeErrorOf(error, 'Reading', path)
  }
  return inspectDatabase(path, schema, isStill && !hasLog(path))
}
