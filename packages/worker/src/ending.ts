/** How an attempt ended, and the terminal message that says so. */
import { createHash } from 'node:crypto'
import {
  codeOf,
  encodeMessage,
  errors,
  isErrorCode,
  isJson,
  jsonFlaw,
  type ErrorCode,
  type Failure,
  type JsonValue,
  type Retry,
  type RunRef,
  type Usage,
  type WaitArgs,
} from '@greenroom/proto'
import { usage } from '@greenroom/proto/schemas'
import * as z from 'zod'
import { asSent } from './json.ts'

/** How an attempt ended. */
export type Ending = (
  | { readonly status: 'completed'; readonly output?: JsonValue; readonly text: string }
  | { readonly status: 'cancelled'; readonly reason: string }
  | { readonly status: 'failed'; readonly error: Failure }
  | { readonly status: 'timeout'; readonly which: 'tool' | 'total' }
  | { readonly status: 'suspended'; readonly waitsFor: WaitArgs }
) & { readonly usage?: Usage }

/** Thrown by `ctx.fail`: a failure with a code of the executor's own. */
export class RunFailure extends Error {
  override readonly name = 'RunFailure'
  readonly code: string
  readonly retry: Retry

  /**
   * @param code - the outcome's code
   * @param message - the outcome's message
   * @param retry - whether trying again may help
   */
  constructor(code: string, message: string, retry: Retry) {
    super(message)
    this.code = code
    this.retry = retry
  }
}

/** Thrown by `ctx.suspend`: ends the attempt, not the run. */
export class Suspended extends Error {
  override readonly name = 'Suspended'
  readonly waitsFor: WaitArgs

  /** @param waitsFor - the children that the run waits for */
  constructor(waitsFor: WaitArgs) {
    super('the run is suspended')
    this.waitsFor = waitsFor
  }
}

/**
 * What an executor's throw means.
 *
 * @param error - what was thrown
 * @param signal - the run's signal: once it has aborted, whatever is thrown means cancelled. Every library has an error of
 *   its own for what it was made to stop; who means a failure says so by `ctx.fail`
 */
export function endingOf(error: unknown, signal: AbortSignal): Ending {
  if (error instanceof RunFailure) return failed(error.code, error.message, error.retry)
  if (error instanceof Suspended && !signal.aborted) return { status: 'suspended', waitsFor: error.waitsFor }
  if (signal.aborted) return { status: 'cancelled', reason: messageOf(signal.reason) }
  return failed(tableCode(error) ?? 'EXECUTOR_ERROR', messageOf(error))
}

/** Checked at run time too: executors may be JavaScript, and a terminal that the runner cannot read would be none. */
const extras = z.object({ text: z.string().default(''), usage: z.preprocess(asSent, usage.optional()) })

/**
 * The ending of a run whose executor returned.
 *
 * @param output - what its schema made of the output; undefined when there is none
 * @param result - what came along with it
 */
export function completed(output: unknown, result: unknown): Ending {
  const { success, data, error } = extras.safeParse(result)
  if (!success) return failed('OUTPUT_INVALID', `${error.issues[0]?.path.join('.')}: ${error.issues[0]?.message}`)
  if (output !== undefined && !isJson(output)) return failed('OUTPUT_INVALID', jsonFlaw(output, 'output') ?? '')
  const ending: Ending = { status: 'completed', text: data.text, ...(output === undefined ? {} : { output }) }
  return withUsage(ending, data.usage)
}

/**
 * The ending of a run that failed.
 *
 * @param code - of the error table, or an executor's own
 * @param message - for people
 * @param retry - the table's word by default
 */
export function failed(code: string, message: string, retry?: Retry): Ending {
  return {
    status: 'failed',
    error: { code, message, retry: retry ?? (isErrorCode(code) ? errors[code].retry : 'never') },
  }
}

/**
 * An ending, with what was used on the way to it.
 *
 * @param ending - how it ended
 * @param used - what was used; left out when nobody said so
 */
export function withUsage(ending: Ending, used: Usage | undefined): Ending {
  return used === undefined || Object.keys(used).length === 0 ? ending : { ...ending, usage: used }
}

/**
 * The payload of the terminal message; an ending that no message can carry becomes a failure that says so.
 *
 * @param ref - the attempt
 * @param ending - how it ended
 * @param lastSeq - its last event
 */
export function encodeTerminal({ runId, epoch }: RunRef, ending: Ending, lastSeq: number): Uint8Array {
  try {
    const digest = ending.status === 'completed' ? { digest: digestOf(ending.output, ending.text) } : {}
    return encodeMessage('terminal', { runId, epoch, lastSeq, ...ending, ...digest })
  } catch (error) {
    const what = codeOf(error) === 'FRAME_TOO_LARGE' ? 'too large' : 'not JSON'
    const failure = failed('OUTPUT_INVALID', `the outcome is ${what}: ${messageOf(error)}`)
    return encodeTerminal({ runId, epoch }, withUsage(failure, ending.usage), lastSeq)
  }
}

/** See R5: lets the runner tell a terminal that was damaged. */
function digestOf(output: JsonValue | undefined, text: string): string {
  return createHash('sha256')
    .update(JSON.stringify([output ?? null, text]))
    .digest('hex')
}

/** Only Greenroom's own errors have codes of its table: elsewhere the same word means something else. */
function tableCode(error: unknown): ErrorCode | undefined {
  return error instanceof Error && error.name === 'GreenroomError' ? codeOf(error) : undefined
}

/**
 * The message of whatever was thrown: always a text, and never another throw.
 *
 * @param error - anything
 */
export function messageOf(error: unknown): string {
  return said(() => (error instanceof Error ? error.message : error))
}

/**
 * Where whatever was thrown came from, for a log.
 *
 * @param error - anything
 */
export function traceOf(error: unknown): string {
  return said(() => (error instanceof Error ? (error.stack ?? error.message) : error))
}

function said(read: () => unknown): string {
  try {
    return String(read())
  } catch {
    return 'what was thrown cannot be said as a text'
  }
}
