/** Waiting that its caller may stop. */
import { GreenroomError } from '@greenroom/proto'

/**
 * The error of a call that its signal stopped.
 *
 * @param signal - it has aborted
 * @param what - what was waited for, for people
 * @param cause - what went wrong before. = the signal's reason
 */
export function aborted(signal: AbortSignal, what: string, cause: unknown = signal.reason): GreenroomError {
  return new GreenroomError('ABORTED', `${what}: stopped by its caller`, { cause })
}

/**
 * Calls back when a signal aborts.
 *
 * @param signal - not yet aborted; without one nothing happens
 * @param fire - called at most once
 * @returns takes it back, so that a long-lived signal does not collect listeners
 */
export function onAbort(signal: AbortSignal | undefined, fire: () => void): () => void {
  if (signal === undefined) return () => {}
  signal.addEventListener('abort', fire, { once: true })
  return () => signal.removeEventListener('abort', fire)
}
