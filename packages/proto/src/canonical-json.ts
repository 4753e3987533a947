import type { JsonValue } from './json.ts'

/**
 * JSON in which the order of an object's members says nothing: equal values give equal texts.
 *
 * @param value - any JSON
 */
export function canonicalJson(value: JsonValue): string {
  return JSON.stringify(value, (_key, inner: JsonValue) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  )
}
