/** Checks of what callers give to be sent and kept: nobody could read it any more when it is not what it must be. */
import { encodePayload, GreenroomError, jsonFlaw, parseEvent } from '@greenroom/proto'

/**
 * Checks a message of a transcript.
 *
 * @param name - what it is called, for people
 * @throws GreenroomError `BAD_OPTIONS`, `SPEC_TOO_LARGE`
 */
export function checkMessage(name: string, message: unknown): void {
  checkJson('BAD_OPTIONS', name, message)
  checkSize(name, message)
  try {
    parseEvent({ type: 'message', message })
  } catch (cause) {
    throw new GreenroomError('BAD_OPTIONS', `${name}: ${reasonIn(cause)}`, { cause })
  }
}

/**
 * The compiler cannot tell what JSON would change: NaN is a number to it.
 *
 * @throws GreenroomError `code`
 */
export function checkJson(code: 'INPUT_INVALID' | 'BAD_OPTIONS', name: string, value: unknown): void {
  const flaw = jsonFlaw(value, name)
  if (flaw !== undefined) throw new GreenroomError(code, flaw)
}

/** @throws GreenroomError `SPEC_TOO_LARGE` when no message has room for it */
export function checkSize(name: string, value: unknown): void {
  try {
    encodePayload(value)
  } catch (cause) {
    throw new GreenroomError('SPEC_TOO_LARGE', `${name}: ${reasonIn(cause)}`, { cause })
  }
}

function reasonIn(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
