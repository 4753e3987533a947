/** What `node:sqlite` throws, read once. */
import { messageOf, StoreError } from '../error.ts'

/** SQLite's primary result codes that the store tells apart. */
const busy = 5
const corrupt = 11
const full = 13
const notADatabase = 26

/** SQLite's primary result code of a thrown value, or undefined when SQLite did not throw it. */
function resultCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('errcode' in thrown) || typeof thrown.errcode !== 'number') return undefined
  return thrown.errcode & 0xff
}

/**
 * Whether another connection held the lock.
 *
 * @internal
 */
export function isBusy(thrown: unknown): boolean {
  return resultCode(thrown) === busy
}

/**
 * Whether the disk, or the quota, was full: then SQLite wrote no commit record, so nothing was stored.
 *
 * @internal
 */
export function isFull(thrown: unknown): boolean {
  return resultCode(thrown) === full
}

/**
 * The error for something that failed outside of a commit.
 *
 * @internal
 */
export function storeErrorOf(cause: unknown, doing: string, path: string): StoreError {
  if (cause instanceof StoreError) return cause
  const code = resultCode(cause)
  // A number that nobody wrote: none of ours is so large.
  if (cause instanceof RangeError)
    return new StoreError('STORE_DAMAGED', `${doing}: ${messageOf(cause)}`, { cause, path })
  if (code === corrupt || code === notADatabase) {
    return new StoreError('STORE_DAMAGED', `${path} is not a readable database: ${messageOf(cause)}`, { cause, path })
  }
  return new StoreError('IO_FAILED', `${doing} failed: ${messageOf(cause)} (${path})`, { cause, path })
}
