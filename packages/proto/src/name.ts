/**
 * Names: mailbox addresses, ids, roles and kinds share one checked alphabet.
 *
 * A name is never used as a path, but it may be shown, logged and put into a key, so it can hold neither a
 * separator nor a control character.
 */

/** The alphabet of {@link isName}. */
export const namePattern: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** The alphabet of {@link isId}. */
export const idPattern: RegExp = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/

/** A name, or the beginning of names and a `*`: see `grant`. */
export const patternPattern: RegExp = /^(?:\*|[A-Za-z0-9][A-Za-z0-9._-]{0,126}(?:\*|[A-Za-z0-9._-])?)$/

/**
 * Whether a text may be a mailbox address, role or kind: 1 to 128 of `A-Z a-z 0-9 . _ -`, starting with a
 * letter or digit.
 *
 * @param value - anything
 */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && namePattern.test(value)
}

/**
 * Whether a text may be an id (of a message, run, incarnation, request): as {@link isName}, but it may also
 * start with `-` or `_`, which random ids do.
 *
 * @param value - anything
 */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && idPattern.test(value)
}
