/** How an attempt ended, and the terminal message that says so. */
import { createHash } from 'node:crypto'
import {
  codeOf,
  encodeMessage,
  errors,
  GreenroomError,
  isErrorCode,
  isJson,
  jsonFlaw,
  type ErrorCode,
  type Failure,
  type JsonValue,
  type Retry,
  type RunRef,
  type Usage,
  usageNames,
  type WaitArgs,
} from '@greenroom/proto'
import { usage } from '@greenroom/proto/schemas'
import * as z from 'zod'
import type { RunExtras } from './executor.ts'
import { asSent } from './json.ts'
import { flawOf, strictObject } from './option-check.ts'

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

const capitals = 'must be a word in capitals'
/** What `ctx.fail` takes. */
const failing = strictObject({
  code: z.string(capitals).regex(/^[^\s\p{Ll}]+$/u, capitals),
  message: z.string('must be a text'),
  options: strictObject({ retry: z.enum(['never', 'later']).optional() }).default({}),
})

/**
 * The failure that `ctx.fail` was asked for. What is wrong with that is said behind its message: an error of another kind
 * would hide what the executor had to say.
 *
 * @param asked - `code`, `message` and `options`: anything, when the executor is not compiled
 */
export function failureOf(asked: Readonly<Record<keyof z.infer<typeof failing>, unknown>>): RunFailure {
  const { code, message } = asked
  const { error } = failing.safeParse(asked)
  const { retry = 'never' } = failing.shape.options.safeParse(asked.options).data ?? {}
  const words = message === undefined ? [] : [said(() => message)]
  if (error !== undefined) words.push(`(${flawOf('ctx.fail', error)})`)
  return new RunFailure(typeof code === 'string' && code !== '' ? code : 'EXECUTOR_ERROR', words.join(' '), retry)
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
const returned = z.object({
  output: z.unknown().optional(),
  text: z.string().default(''),
  usage: z.preprocess(asSent, usage.optional()).superRefine((told, found) => {
    const flaw = usageFlaw(told)
    if (flaw !== undefined) found.addIssue(flaw)
  }),
} satisfies Record<'output' | keyof RunExtras, z.ZodType>)

/** What a model's library says beside is left alone; what says nothing of these is meant otherwise. */
function missesAll(names: readonly string[], told: unknown): string | undefined {
  const given = Object.keys(told ?? {})
  const [first] = given
  if (first === undefined || names.some((name) => given.includes(name))) return undefined
  return `"${first}" is none of ${names.join(', ')}`
}

/**
 * What is wrong with the names in a usage.
 *
 * @param told - anything
 * @returns in words; undefined when nothing is
 */
export const usageFlaw = (told: unknown): string | undefined => missesAll(usageNames, told)

/**
 * Reads what an executor returned; its output is not looked at.
 *
 * @param result - anything
 * @throws GreenroomError `OUTPUT_INVALID`
 */
export function readResult(result: unknown): z.infer<typeof returned> {
  const { success, data, error } = returned.safeParse(result)
  const odd = missesAll(Object.keys(returned.shape), result)
  if (success && odd === undefined) return data
  throw new GreenroomError('OUTPUT_INVALID', error === undefined ? `result: ${odd}` : flawOf('result', error))
}

/**
 * The ending of a run whose executor returned.
 *
 * @param output - what its schema made of the output; undefined when there is none
 * @param result - what came along with it
 */
export function completed(output: unknown, { text, usage: used }: ReturnType<typeof readResult>): Ending {
  if (output !== undefined && !isJson(output)) return failed('OUTPUT_INVALID', jsonFlaw(output, 'output') ?? '')
  return withUsage({ status: 'completed', text, ...(output === undefined ? {} : { output }) }, used)
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
