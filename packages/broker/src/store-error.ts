/** What the store says, as an error of the broker's. */
import { codeOf, GreenroomError } from '@greenroom/proto'
import { isStoreError } from '@greenroom/store'

/**
 * The same error with the same code and message, where it is the store's and users know the code.
 *
 * @param error - what was thrown
 */
export function fromStore(error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined || !isStoreError(error)) return error
  return new GreenroomError(code, error.message, { cause: error })
}
