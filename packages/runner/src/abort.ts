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
 * Follows a caller's signal.
 *
 * @param signal - anything, when the caller is not compiled
 * @param onAbort - called once when it aborts, or has, with why, as text
 * @returns ends it; undefined without a signal
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function followSignal(
  signal: AbortSignal | undefined,
  onAbort: (reason: string) => void,
): Disposable | undefined {
  if (signal === undefined) return undefined
  if (typeof signal?.addEventListener !== 'function')
    throw new GreenroomError('BAD_OPTIONS', 'signal must be an AbortSignal')
  const listener = (): void => {
    const why: unknown = signal.reason
    onAbort(why instanceof Error ? why.message : String(why))
  }
  if (signal.aborted) listener()
  else signal.addEventListener('abort', listener, { once: true })
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) }
}
