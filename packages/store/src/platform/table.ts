/**
 * A collection as a table: `key TEXT PRIMARY KEY, meta TEXT (JSON), sum INTEGER, body_sum INTEGER, body BLOB`.
 *
 * - *T1* `body_sum` is the CRC-32 of the body, `sum` that of key, meta and `body_sum`: nothing is read that is not what was
 *   written. Two, so that records are checked without their bodies, too; the body is last, since SQLite walks through all
 *   of it to get at what stands behind it.
 *
 * It has rowids: with bodies of some KiB, `WITHOUT ROWID` spills each row to an overflow page and stores down to half as
 * many per second (measured at 4 KiB bodies); without bodies the two are within 10 %.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { StoreError } from '../error.ts'
import { isJsonObject, type JsonObject } from '../json.ts'
import { boundsOf, limitOf, type Bounds } from '../range.ts'
import type { GetOptions, KeyRange, ScanRange, StoredRecord } from '../store.ts'

/**
 * The statement that makes the table of a collection. Its name was checked.
 *
 * @internal
 */
export function createTableSql(collection: string): string {
  const sums = 'sum INTEGER NOT NULL, body_sum INTEGER'
  return `CREATE TABLE IF NOT EXISTS "${collection}" (key TEXT NOT NULL PRIMARY KEY, meta TEXT NOT NULL, ${sums}, body BLOB)`
}

/**
 * Whether the table of a collection has sums (T1): those of before had none.
 *
 * @internal
 */
export function hasSums(db: DatabaseSync, collection: string): boolean {
  return db.prepare(`SELECT 1 FROM pragma_table_info(?) WHERE name = 'body_sum'`).get(collection) !== undefined
}

/**
 * Gives sums to a table that has none: from now on what is in it counts as what was written.
 *
 * @internal
 */
export function addSums(db: DatabaseSync, collection: string): void {
  db.function('body_sum_of', { deterministic: true }, (body) => (body instanceof Uint8Array ? crc32(body) : null))
  db.function('sum_of', { deterministic: true }, (key, meta, bodySum) => sumOf(String(key), String(meta), bodySum))
  db.exec(`
    ALTER TABLE "${collection}" RENAME TO "_before";
    ${createTableSql(collection)};
    INSERT INTO "${collection}"
      SELECT key, meta, sum_of(key, meta, body_sum_of(body)), body_sum_of(body), body FROM "_before";
    DROP TABLE "_before"`)
}

/** Keys are ASCII, and meta is a JSON object: nothing moves from one into the other. */
function sumOf(key: string, meta: string, bodySum: unknown): number {
  return crc32(`${key}${meta}${String(bodySum)}`)
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

/** The meta of a row that is as it was written (T1); a row without a body column is judged without it. */
function wholeMeta(
  { key, meta, body, sum, body_sum }: Record<string, unknown>,
  unchecked = false,
): JsonObject | undefined {
  if (typeof key !== 'string' || typeof meta !== 'string') return undefined
  // A table of before.
  if (sum === undefined) return parseMeta(meta)
  if (sumOf(key, meta, body_sum) !== sum) return undefined
  const isBodyWhole = body instanceof Uint8Array ? crc32(body) === body_sum : body === undefined || body_sum === null
  return isBodyWhole || unchecked ? parseMeta(meta) : undefined
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
  readonly #facts: string
  readonly #all: string
  readonly #statements = new Map<string, StatementSync>()
  #put: StatementSync | undefined
  #delete: StatementSync | undefined
  #get: StatementSync | undefined

  /** @param isOlder - it has no sums, and is only looked at */
  constructor(db: DatabaseSync, name: string, isOlder = false) {
    this.#db = db
    this.#name = name
    this.#facts = isOlder ? 'key, meta' : 'key, meta, sum, body_sum'
    this.#all = isOlder ? 'key, meta, body' : 'key, meta, sum, body_sum, body'
  }

  /** Puts a record; `meta` is JSON text. */
  put(key: string, meta: string, body: Uint8Array | undefined): void {
    this.#put ??= this.#db.prepare(
      `INSERT INTO "${this.#name}" (key, meta, sum, body_sum, body) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE
       SET meta = excluded.meta, sum = excluded.sum, body_sum = excluded.body_sum, body = excluded.body`,
    )
    const bodySum = body === undefined ? null : crc32(body)
    this.#put.run(key, meta, sumOf(key, meta, bodySum), bodySum, body ?? null)
  }

  /** Deletes a record, if there is one. */
  delete(key: string): void {
    this.#delete ??= this.#db.prepare(`DELETE FROM "${this.#name}" WHERE key = ?`)
    this.#delete.run(key)
  }

  /** The record of a key. */
  get(key: string, { unchecked = false }: GetOptions = {}): StoredRecord | undefined {
    this.#get ??= this.#db.prepare(`SELECT ${this.#all} FROM "${this.#name}" WHERE key = ?`)
    const row = this.#get.get(key)
    return row === undefined ? undefined : this.#record(row, unchecked)
  }

  /** The records of a range. */
  scan(range: ScanRange): StoredRecord[] {
    return this.#rows(range.bodies === false ? this.#facts : this.#all, range).map((row) => this.#record(row))
  }

  /** The keys of a range. */
  keys(range: ScanRange): string[] {
    return this.#rows('key', range).map(({ key }) => String(key))
  }

  /** The keys of records that are not as they were written: all are looked at, one after the other. */
  *damagedKeys({ unchecked = false }: GetOptions = {}): Generator<string> {
    for (const row of this.#statement(`SELECT ${this.#all} FROM "${this.#name}"`).iterate())
      if (wholeMeta(row, unchecked) === undefined) yield String(row['key'])
  }

  /** How many records a range has. */
  count(range: KeyRange): number {
    const { where, values } = whereOf(boundsOf(range))
    const row = this.#statement(`SELECT count(*) AS count FROM "${this.#name}"${where}`).get(...values)
    return Number(row?.['count'] ?? 0)
  }

  #rows(which: string, range: ScanRange): Record<string, unknown>[] {
    const { where, values } = whereOf(boundsOf(range))
    const order = range.reverse === true ? 'DESC' : 'ASC'
    const sql = `SELECT ${which} FROM "${this.#name}"${where} ORDER BY key ${order} LIMIT ?`
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

  #record(row: Record<string, unknown>, unchecked = false): StoredRecord {
    const { key, body } = row
    const meta = wholeMeta(row, unchecked)
    if (typeof key !== 'string' || meta === undefined) {
      throw new StoreError('STORE_DAMAGED', `A record of "${this.#name}" is not as it was written: ${String(key)}`)
    }
    return body instanceof Uint8Array ? { key, meta, body } : { key, meta }
  }
}
