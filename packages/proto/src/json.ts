/** What JSON can say. Inputs, outputs and `data` of executors are of this kind on the wire. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

/** A JSON object. */
export interface JsonObject {
  /** Any JSON value; a member that is `undefined` is left out on the wire. */
  readonly [key: string]: JsonValue | undefined
}
