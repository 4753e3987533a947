/** Values on their way over the wire. */
import { isJson } from '@greenroom/proto'

/**
 * A value as the other side gets it: undefined properties are not there. What is not JSON stays as it is.
 *
 * @param value - anything
 */
export function asSent(value: unknown): unknown {
  return isJson(value) ? JSON.parse(JSON.stringify(value)) : value
}
