/**
 * The schema: which collections a store has, in which version, and how older data becomes current.
 *
 * A migration speaks of records, not of SQL, so it can be tested with any store and does not depend on the tables.
 */
import { StoreError } from './error.ts'
import type { Operation, ScanRange, StoredRecord } from './store.ts'

/** What a migration may do. All of it is one transaction, together with the other steps and the new version. */
export interface MigrationTransaction {
  /** Every collection that is there: those of the schema and those of older versions. */
  readonly collections: readonly string[]
  /** A record as it is now, changes of this transaction included. */
  get(collection: string, key: string): StoredRecord | undefined
  /** Records in the order of their keys, changes of this transaction included. */
  scan(collection: string, range?: ScanRange): StoredRecord[]
  /** Applies the operations at once. */
  apply(operations: readonly Operation[]): void
  /** Removes a collection that the schema no longer names. */
  drop(collection: string): void
}

/** One step from a version to the next. */
export interface Migration {
  /** The version it starts from; it leads to `from + 1`. */
  readonly from: number
  /** Changes the records. What it throws undoes every step (`MIGRATION_FAILED`). */
  readonly migrate: (transaction: MigrationTransaction) => void
}

/**
 * The collections of a store.
 *
 * @example
 * ```ts
 * import type { Schema } from '@greenroom/store'
 *
 * export const schema: Schema = {
 *   version: 2,
 *   collections: ['messages', 'letters'],
 *   migrations: [{ from: 1, migrate: (tx) => tx.drop('drafts') }],
 * }
 * ```
 */
export interface Schema {
  /** From 1 up. Data of an older version is migrated when it is opened, data of a newer one is refused. */
  readonly version: number
  /** Names of 1 to 48 characters: lower case letters, digits, `_`, a letter first. Missing tables are made. */
  readonly collections: readonly string[]
  /** Steps from older versions. A version without a step needs no change of records. = none */
  readonly migrations?: readonly Migration[]
}

const collectionName = /^(?!sqlite_)[a-z][a-z0-9_]{0,47}$/

/**
 * Tells whether a name may name a collection. It is safe to quote in SQL.
 *
 * @internal
 */
export function isCollectionName(name: string): boolean {
  return collectionName.test(name)
}

/**
 * Checks a schema that a caller handed in.
 *
 * @throws StoreError `BAD_OPTIONS`
 * @internal
 */
export function checkSchema(schema: Schema): void {
  const { version, collections, migrations = [] } = schema
  const bad = (text: string): StoreError => new StoreError('BAD_OPTIONS', `schema.${text}`)
  if (!Number.isSafeInteger(version) || version < 1 || version > 0x7fffffff) {
    throw bad(`version must be a whole number from 1 up, not ${version}`)
  }
  for (const name of collections) {
    if (!isCollectionName(name)) throw bad(`collections: "${name}" is not a collection name`)
  }
  if (new Set(collections).size !== collections.length) throw bad('collections names one twice')
  const steps = new Set<number>()
  for (const { from } of migrations) {
    if (!Number.isSafeInteger(from) || from < 1 || from >= version || steps.has(from)) {
      throw bad(
        `migrations: there must be at most one step from each version below ${version}, not from ${from} (again)`,
      )
    }
    steps.add(from)
  }
}
