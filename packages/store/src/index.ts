/**
 * `@greenroom/store`: one durable database for mailboxes, journals and transcripts.
 *
 * `openStore` opens it on SQLite; `createMemoryStore` is its twin in memory for tests and the simulator. What both
 * promise is written at {@link Store}.
 *
 * This package is internal to Greenroom: it makes no semver promise.
 *
 * @packageDocumentation
 */
export { backupFolder } from './platform/backup.ts'
export { inspectFolder, inspectStore } from './platform/inspection.ts'
export { restoreBackup } from './platform/restore.ts'
export { makeFolder } from './platform/folder.ts'
export { openStore } from './platform/open.ts'
export { createMemoryStore } from './memory-store.ts'
export { storeWith } from './store-with.ts'
export { isStoreError, StoreError, storeErrors } from './error.ts'
export type { FolderOwner } from './platform/data-dir.ts'
export type { FolderState, Inspection } from './platform/inspection.ts'
export type { RestoreOptions } from './platform/restore.ts'
export type { OpenOptions } from './platform/open.ts'
export type { CommitFault, MemoryStore, MemoryStoreOptions } from './memory-store.ts'
export type { StoreErrorCode, StoreErrorOptions, StoreRetry } from './error.ts'
export type { JsonObject, JsonValue } from './json.ts'
export type { Migration, MigrationTransaction, Schema } from './schema.ts'
export type {
  BackupMark,
  CommitOptions,
  DeleteOperation,
  GetOptions,
  KeyRange,
  Operation,
  PutOperation,
  ScanRange,
  Store,
  StoredRecord,
  StoreStats,
} from './store.ts'
