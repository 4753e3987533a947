/** From the end of a run's last attempt to its outcome. */
import {
  codeOf,
  errors,
  isErrorCode,
  type EventRange,
  type Failure,
  type JsonValue,
  type Outcome,
  type Terminal,
  type Usage,
} from '@greenroom/proto'
import { isStoreError } from '@greenroom/store'
import type { Trip } from './drive/index.ts'

/**
 * A failed outcome.
 *
 * @param code - of the error table, or an executor's own
 * @param message - for people
 * @param more - what else is known
 */
export function failed(
  code: string,
  message: string,
  more: { readonly retry?: 'never' | 'later'; readonly mayStillRun?: boolean; readonly eventsLost?: EventRange } = {},
): Outcome {
  return {
    status: 'failed',
    code,
    message,
    ...more,
    retry: more.retry ?? (isErrorCode(code) ? errors[code].retry : 'never'),
  }
}

/**
 * What was thrown, as a failed outcome.
 *
 * @param error - anything
 */
export function failedBy(error: unknown): Outcome {
  const code = isStoreError(error) ? error.code : (codeOf(error) ?? 'INTERNAL')
  return failed(code, error instanceof Error ? error.message : String(error))
}

/**
 * What a watchdog or a limit makes of a run, whatever its worker said after it.
 *
 * @param trip - which of them
 * @param eventsLost - what never arrived
 */
export function outcomeOfTrip(trip: Trip, eventsLost?: EventRange): Outcome {
  const lost = eventsLost === undefined ? {} : { eventsLost }
  if (trip.code !== undefined) return failed(trip.code, trip.message, lost)
  return { status: 'timeout', which: trip.which, ...lost }
}

/**
 * An outcome with what all attempts used.
 *
 * @param outcome - the last attempt's
 * @param usage - undefined when nobody said so
 */
export function withUsage(outcome: Outcome, usage: Usage | undefined): Outcome {
  return usage === undefined ? outcome : { ...outcome, usage }
}

/**
 * A terminal, as an outcome.
 *
 * @param terminal - what the worker said
 * @param eventsLost - what never arrived
 */
export function outcomeOf(terminal: Terminal, eventsLost?: EventRange): Outcome {
  const base = {
    ...(eventsLost === undefined ? {} : { eventsLost }),
    ...(terminal.usage === undefined ? {} : { usage: terminal.usage }),
  }
  switch (terminal.status) {
    case 'completed': {
      const output: JsonValue = terminal.output ?? null
      return { status: 'completed', output, text: terminal.text ?? '', ...base }
    }
    case 'cancelled':
      return { status: 'cancelled', reason: terminal.reason ?? '', ...base }
    case 'timeout':
      return { status: 'timeout', which: terminal.which ?? 'total', ...base }
    case 'suspended':
      // Whoever goes on with it does not ask.
      return { ...failed('INTERNAL', 'the run was suspended'), ...base }
    case 'failed': {
      const { code, message, retry } = terminal.error ?? {
        code: 'EXECUTOR_ERROR',
        message: 'the worker did not say why',
      }
      return { ...failed(code, message, retry === undefined ? {} : { retry }), ...base }
    }
  }
}

/**
 * What a request is answered with that came to nothing.
 *
 * @param error - anything that was thrown
 */
export function failureOf(error: unknown): Failure {
  const code = codeOf(error) ?? 'INTERNAL'
  const message = error instanceof Error ? error.message : String(error)
  return { code, message, ...(isErrorCode(code) ? { retry: errors[code].retry } : {}) }
}
