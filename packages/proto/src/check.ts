/** What is wrong with a call of a bus, said before anything leaves: every implementation says it alike. */
import { GreenroomError } from './error.ts'
import { limits } from './limits.ts'
import { isId, isName } from './name.ts'

/**
 * Refuses names that could not stand in a frame: a broker would end the connection for them.
 *
 * @param name - an address or role
 * @param kind - a message's kind
 * @param id - a message's or an incarnation's id
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkNames(name: string, kind?: string, id?: string): void {
  if (!isName(name)) throw refusal('an address or role', name)
  if (kind !== undefined && !isName(kind)) throw refusal('a kind', kind)
  if (id !== undefined && !isId(id)) throw refusal('an id', id)
}

/**
 * Refuses a payload that is too long for a frame.
 *
 * @param payload - a message's
 * @throws GreenroomError `FRAME_TOO_LARGE`
 */
export function checkPayload(payload: Uint8Array): void {
  if (payload.length > limits.payloadBytes)
    throw new GreenroomError('FRAME_TOO_LARGE', `payload of ${payload.length} bytes`)
}

/**
 * Refuses a visibility timeout that no attach may ask for.
 *
 * @param visibilityMs - of the peer's options; undefined asks for none
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkVisibility(visibilityMs: number | undefined): void {
  if (visibilityMs === undefined) return
  const { shortestVisibilityMs: least, longestVisibilityMs: most } = limits
  if (!(visibilityMs >= least && visibilityMs <= most))
    throw new GreenroomError('BAD_OPTIONS', `visibilityMs must be from ${least} to ${most}, not ${visibilityMs}`)
}

function refusal(what: string, value: unknown): GreenroomError {
  return new GreenroomError('BAD_OPTIONS', `${JSON.stringify(value)} is not ${what}`)
}
