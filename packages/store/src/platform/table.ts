/**
 * A collection as a table: `key TEXT PRIMARY KEY, meta TEXT (JSON), body BLOB`.
 *
 * It has rowids: with bodies of some KiB, `WITHOUT ROWID` spills each row to an overflow page and stores down to half as
 * many per second (measured at 4 KiB bodies); without bodies the two are within 10 %.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { StoreError } from '../error.ts'
import { isJsonObject, type JsonObject } from '../json.ts'
import { boundsOf, limitOf, type Bounds } from '../range.ts'
import type { KeyRange, ScanRange, StoredRecord } from '../store.ts'

/**
 * The statement that makes the table of a collection. Its name was checked.
 *
 * @internal
 */
export function createTableSql(collection: string): string {
  return `CREATE TABLE IF NOT EXISTS "${collection}" (key TEXT NOT NULL PRIMARY KEY, meta TEXT NOT NULL, body BLOB)`
}

function parseMeta(text: unknown): JsonObject | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isWhole({ key, meta }: Record<string, unknown>): boolean {
  return typeof key === 'string' && parseMeta(meta) !== undefined
}

function whereOf({ lower, lowerIncluded, upper }: Bounds): { where: string; values: string[] } {
  const conditions: string[] = []
  const values: string[] = []
  if (lower !== undefined) {
    conditions.push(lowerIncluded ? 'key >= ?' : 'key > ?')
    values.push(lower)
  }
  if (upper !== undefined) {
    conditions.push('key < ?')
    values.push(upper)
  }
  return { where: conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : '', values }
}

/**
 * The statements of one collection on one connection, prepared when first used.
 *
 * @internal
 */
export class Table {
  readonly #db: DatabaseSync
  readonly #name: string
  readonly #statements = new Map<string, StatementSync>()
  #put: StatementSync | undefined
  #delete: StatementSync | undefined
  #get: StatementSync | undefined

  constructor(db: DatabaseSync, name: string) {
    this.#db = db
    this.#name = name
  }

  /** Puts a record; `meta` is JSON text. */
  put(key: string, meta: string, body: Uint8Array | undefined): void {
    this.#put ??= this.#db.prepare(
      `INSERT INTO "${this.#name}" (key, meta, body) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET meta = excluded.meta, body = excluded.body`,
    )
    this.#put.run(key, meta, body ?? null)
  }

  /** Deletes a record, if there is one. */
  delete(key: string): void {
    this.#delete ??= this.#db.prepare(`DELETE FROM "${this.#name}" WHERE key = ?`)
    this.#delete.run(key)
  }

  /** The record of a key. */
  get(key: string): StoredRecord | undefined {
    this.#get ??= this.#db.prepare(`SELECT key, meta, body FROM "${this.#name}" WHERE key = ?`)
    const row = this.#get.get(key)
    return row === undefined ? undefined : this.#record(row)
  }

  /** The records of a range. */
  scan(range: ScanRange): StoredRecord[] {
    return this.#rows(range.bodies === false ? 'key, meta' : 'key, meta, body', range).map((row) => this.#record(row))
  }

  /** The keys of a range. */
  keys(range: ScanRange): string[] {
    return this.#rows('key', range).map(({ key }) => String(key))
  }

  /** The keys of records that cannot be read, one after the other: all are looked at, without their bodies. */
  *unreadableKeys(): Generator<string> {
    for (const row of this.#statement(`SELECT key, meta FROM "${this.#name}"`).iterate())
      if (!isWhole(row)) yield String(row['key'])
  }

  /** How many records a range has. */
  count(range: KeyRange): number {
    const { where, values } = whereOf(boundsOf(range))
    const row = this.#statement(`SELECT count(*) AS count FROM "${this.#name}"${where}`).get(...values)
    return Number(row?.['count'] ?? 0)
  }

  #rows(columns: string, range: ScanRange): Record<string, unknown>[] {
    const { where, values } = whereOf(boundsOf(range))
    const order = range.reverse === true ? 'DESC' : 'ASC'
    const sql = `SELECT ${columns} FROM "${this.#name}"${where} ORDER BY key ${order} LIMIT ?`
    const parameters: SQLInputValue[] = [...values, limitOf(range)]
    return this.#statement(sql).all(...parameters)
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #record(row: Record<string, unknown>): StoredRecord {
    const { key, body } = row
    const meta = parseMeta(row['meta'])
    if (typeof key !== 'string' || meta === undefined) {
      throw new StoreError('STORE_DAMAGED', `A record of "${this.#name}" is not as it was written: ${String(key)}`)
    }
    return body instanceof Uint8Array ? { key, meta, body } : { key, meta }
  }
}
