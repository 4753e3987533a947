/** Waiting that a signal may end. */
import { GreenroomError } from '@greenroom/proto'

/**
 * Waits for a promise, but no longer than until a signal aborts: what the promise comes to then is nobody's concern.
 *
 * @param signal - ends the waiting
 * @param promise - what is waited for
 * @throws GreenroomError `ABORTED`; what the promise rejects with
 */
export async function untilAbort<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(new GreenroomError('ABORTED'))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * Why a caller's signal aborted, as text for the executor and the outcome.
 *
 * @param signal - has aborted
 */
export function abortReason({ reason }: AbortSignal): string {
  const why: unknown = reason
  return why instanceof Error ? why.message : String(why)
}
