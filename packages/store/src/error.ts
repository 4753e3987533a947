/**
 * Errors of the store: one class, one table.
 *
 * Callers test `error.code`, never `instanceof`: a code survives two copies of the package.
 */

/** Whether trying again may help: `never` (the same call fails again) or `later`. */
export type StoreRetry = 'never' | 'later'

/** Every code that the store can answer, with its meaning. */
export const storeErrors = {
  BAD_OPTIONS: { retry: 'never', text: 'The options are not valid; the message names the field.' },
  BAD_OPERATION: { retry: 'never', text: 'An operation or a range is not valid; nothing of its batch was queued.' },
  STORAGE_FULL: { retry: 'later', text: 'Free space is too small; nothing of the batch was stored.' },
  COMMIT_UNKNOWN: { retry: 'later', text: 'The commit failed or its fate is unknown; send the same batch again.' },
  CLOSED: { retry: 'never', text: 'The store was closed.' },
  ABORTED: { retry: 'never', text: "The caller's signal aborted the opening; the cause is its reason." },
  DATA_DIR_IN_USE: { retry: 'later', text: 'Another live store owns the data folder; the message names its process.' },
  SCHEMA_TOO_NEW: { retry: 'never', text: 'The data folder was written by a newer version.' },
  MIGRATION_FAILED: { retry: 'never', text: 'A migration threw; the data folder is as it was before.' },
  STORE_DAMAGED: { retry: 'never', text: 'The file is not a database, not one of ours, or its content is broken.' },
  STORE_FAILED: { retry: 'later', text: 'The commit thread died or the connection broke; open the store again.' },
  IO_FAILED: { retry: 'later', text: 'The file system or SQLite refused a read, an opening or a backup.' },
} as const satisfies Record<string, { readonly retry: StoreRetry; readonly text: string }>

/** A code of {@link storeErrors}. */
export type StoreErrorCode = keyof typeof storeErrors

/** What a {@link StoreError} may carry beside its code. */
export interface StoreErrorOptions {
  /** What failed below. */
  readonly cause?: unknown
  /** The file or folder it is about. */
  readonly path?: string
  /** With `DATA_DIR_IN_USE`: the process that owns the folder, as far as its `owner.json` tells. */
  readonly ownerPid?: number
}

/**
 * A failure of the store.
 *
 * @example
 * ```ts
 * import { isStoreError, type Operation, type Store } from '@greenroom/store'
 *
 * export async function commitOrLater(store: Store, batch: readonly Operation[]): Promise<boolean> {
 *   try {
 *     await store.commit(batch)
 *     return true
 *   } catch (error) {
 *     if (isStoreError(error) && error.retry === 'later') return false
 *     throw error
 *   }
 * }
 * ```
 */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  /** What happened: a code of {@link storeErrors}. */
  readonly code: StoreErrorCode
  /** Whether the same call may succeed later. */
  readonly retry: StoreRetry
  /** The file or folder it is about. */
  readonly path: string | undefined
  /** With `DATA_DIR_IN_USE`: the process that owns the folder. */
  readonly ownerPid: number | undefined

  /**
   * @param code - what happened
   * @param message - the sentence for people; without it the text of {@link storeErrors}
   */
  constructor(code: StoreErrorCode, message?: string, options: StoreErrorOptions = {}) {
    super(message ?? storeErrors[code].text, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.retry = storeErrors[code].retry
    this.path = options.path
    this.ownerPid = options.ownerPid
  }
}

/** Tells whether a caught value is a {@link StoreError}, and, with `code`, whether it is that one. */
export function isStoreError(value: unknown, code?: StoreErrorCode): value is StoreError {
  if (!(value instanceof Error) || value.name !== 'StoreError' || !('code' in value)) return false
  return code === undefined || value.code === code
}

/**
 * The message of anything that was thrown.
 *
 * @internal
 */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
