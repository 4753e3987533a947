/** What the store says, as an error that users know. */
import { GreenroomError, isErrorCode } from '@greenroom/proto'
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
