/** What is wrong with a call of the in-process bus, said as a client over a socket says it: before anything happens. */
import { GreenroomError, isId, isName, limits } from '@greenroom/proto'

/**
 * Refuses what could not stand in a frame.
 *
 * @param name - an address or role
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkNames(name: string, kind?: string, id?: string): void {
  if (!isName(name)) throw refusal('an address or role', name)
  if (kind !== undefined && !isName(kind)) throw refusal('a kind', kind)
  if (id !== undefined && !isId(id)) throw refusal('an id', id)
}

/**
 * Refuses a payload that is too long.
 *
 * @throws GreenroomError `FRAME_TOO_LARGE`
 */
export function checkPayload(payload: Uint8Array): void {
  if (payload.length > limits.payloadBytes)
    throw new GreenroomError('FRAME_TOO_LARGE', `payload of ${payload.length} bytes`)
}

function refusal(what: string, value: unknown): GreenroomError {
  return new GreenroomError('BAD_OPTIONS', `${JSON.stringify(value)} is not ${what}`)
}
