/** What the store says, as an error that users know. */
import { codeOf, GreenroomError, isErrorCode } from '@greenroom/proto'
import { isStoreError } from '@greenroom/store'

/**
 * The same error with the same code and message, where it is the store's.
 *
 * @param error - what was thrown
 */
export function fromStore(error: unknown): unknown {
  if (!isStoreError(error)) return error
  return new GreenroomError(isErrorCode(error.code) ? error.code : 'STORE_DAMAGED', error.message, { cause: error })
}

/** What happens to each record that is damaged, when those beside it are not to suffer. */
export type OnDamaged = (runId: string, error: unknown) => unknown

/**
 * Reads what is about one run.
 *
 * @param runId - which
 * @param read - reads it
 * @param onDamaged - told when it is damaged
 * @returns nothing when it is damaged
 * @throws whatever else it throws
 */
export function unlessDamaged<T>(runId: string, read: () => readonly T[], onDamaged: OnDamaged): readonly T[] {
  try {
    return read()
  } catch (error) {
    // What is in a record that can be read may still not be what belongs there.
    if (!isStoreError(error, 'STORE_DAMAGED') && !damages.has(codeOf(error))) throw error
    onDamaged(runId, error)
    return []
  }
}

const damages: ReadonlySet<string | undefined> = new Set(['STORE_DAMAGED', 'BAD_FRAME'])

/**
 * What is thrown when a record is there, and says something else than what is written there.
 *
 * @param collection - where
 * @param key - which
 */
export function damagedRecord(collection: string, key: string): GreenroomError {
  return new GreenroomError('STORE_DAMAGED', `A record of "${collection}" is not as it was written: ${key}`)
}
