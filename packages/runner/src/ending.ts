/** From the end of a run's last attempt to its outcome. */
import {
  codeOf,
  errors,
  isErrorCode,
  type EventRange,
  type JsonValue,
  type Outcome,
  type Terminal,
} from '@greenroom/proto'
import { isStoreError } from '@greenroom/store'

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
 * A terminal, as an outcome.
 *
 * @param terminal - what the worker said
 * @param eventsLost - what never arrived
 */
export function outcomeOf(terminal: Terminal, eventsLost?: EventRange): Outcome {
  const lost = eventsLost ?? terminal.lost
  const base = {
    ...(lost === undefined ? {} : { eventsLost: lost }),
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
      return { ...failed('NOT_SUPPORTED', 'the executor suspended the run'), ...base }
    case 'failed': {
      const { code, message, retry } = terminal.error ?? {
        code: 'EXECUTOR_ERROR',
        message: 'the worker did not say why',
      }
      return { ...failed(code, message, retry === undefined ? {} : { retry }), ...base }
    }
  }
}
