/** Asks a runner over its private socket. */
import { request } from 'node:http'
import { text } from 'node:stream/consumers'

/** An answer of HTTP. */
export interface DoorAnswer {
  readonly status: number
  readonly body: string
}

/**
 * Asks, and waits for the whole answer.
 *
 * @param socketPath - of the runner
 * @param method - of HTTP
 * @param path - with what is after `?`
 * @param body - JSON. = none
 * @throws whatever keeps the runner from being asked
 */
export function askDoor(socketPath: string, method: string, path: string, body?: string): Promise<DoorAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<DoorAnswer>()
  const asking = request({ socketPath, method, path, headers: { 'content-type': 'application/json' } }, (answer) => {
    text(answer).then((read) => resolve({ status: answer.statusCode ?? 0, body: read }), reject)
  })
  asking.once('error', reject)
  asking.end(body)
  return promise
}
