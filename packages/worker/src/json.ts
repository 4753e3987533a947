/** What JSON can say, told apart from what it would change or drop in silence. */
import type { JsonValue } from '@greenroom/proto'

/** Nobody means to send data nested deeper; a cycle is. */
const maxDepth = 256

/**
 * Whether a value is the same after a way over the wire: no dates, maps, class instances, functions, NaN or cycles.
 * Undefined properties are allowed; they are left out.
 *
 * @param value - anything
 * @param depth - how deep this is already
 */
export function isJson(value: unknown, depth = 0): value is JsonValue {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || depth > maxDepth) return false
  if (Array.isArray(value)) return value.every((item) => isJson(item, depth + 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return Object.values(value).every((item) => item === undefined || isJson(item, depth + 1))
}

/**
 * A value as the other side gets it: undefined properties are not there. What is not JSON stays as it is.
 *
 * @param value - anything
 */
export function asSent(value: unknown): unknown {
  return isJson(value) ? JSON.parse(JSON.stringify(value)) : value
}
