/** JSON as types: what the `meta` of a record may hold. */

/** A value that JSON can hold. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject

/** A JSON object. Members that are `undefined` are not stored. */
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined
}

/**
 * Tells whether a value that came out of `JSON.parse` is an object.
 *
 * @internal
 */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
