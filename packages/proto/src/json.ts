/**
 * What JSON can say, told apart from what it would change or drop in silence.
 *
 * Inputs, outputs, events and `data` of executors are JSON on the wire. `JSON.stringify` makes a text of a Date, `{}` of a
 * Map, `null` of NaN and of an undefined item, and leaves functions out: the other side would get something else than
 * what was given. So what it cannot say is refused by name and place, wherever a value comes in.
 */

/** What JSON can say. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

/** A JSON object. */
export interface JsonObject {
  /** Any JSON value; a member that is `undefined` is left out on the wire. */
  readonly [key: string]: JsonValue | undefined
}

/** Nobody means to send data nested deeper, and parsers of other languages give up somewhere beyond. */
const maxDepth = 256

/** Characters of a place: of a longer one the beginning and the end say enough. */
const maxPlace = 256

/** What is not JSON, and the keys down to it. */
interface Flaw {
  readonly what: string
  readonly path: (string | number)[]
}

/**
 * Whether a value is the same after a way over the wire: no dates, maps, class instances, functions, NaN, undefined items
 * or cycles. Undefined properties are allowed, they are left out; and `-0` becomes `0`.
 *
 * @param value - anything
 */
export function isJson(value: unknown): value is JsonValue {
  return flawOf(value, []) === undefined
}

/**
 * What of a value is not JSON, and where: `input.list.1: undefined is not JSON`.
 *
 * @param value - anything
 * @param name - what to call the value
 * @returns undefined when it is JSON: see {@link isJson}
 */
export function jsonFlaw(value: unknown, name: string): string | undefined {
  const flaw = flawOf(value, [])
  return flaw === undefined ? undefined : `${placeOf(name, flaw.path)}: ${flaw.what} is not JSON`
}

/**
 * Where something stands in a value: `output.list.0.sha`, `input["two words"]`.
 *
 * @param name - what to call the value
 * @param path - the keys on the way down
 */
export function placeOf(name: string, path: readonly PropertyKey[]): string {
  const place = name + path.map(stepOf).join('')
  const half = maxPlace / 2
  return place.length > maxPlace ? `${place.slice(0, half)}…${place.slice(-half)}` : place
}

function stepOf(key: PropertyKey): string {
  if (typeof key === 'number' || (typeof key === 'string' && /^[\w$-]+$/.test(key))) return `.${key}`
  return `[${typeof key === 'string' ? JSON.stringify(key) : String(key)}]`
}

/** Every event passes here: the place is put together only on the way back up, when there is a flaw. */
function flawOf(value: unknown, above: object[]): Flaw | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : flaw(String(value))
  if (typeof value !== 'object') return flaw(value === undefined ? 'undefined' : `a ${typeof value}`)
  if (above.includes(value)) return flaw('a cycle')
  if (above.length === maxDepth) return flaw(`nesting beyond ${maxDepth} levels`)
  try {
    const what = strangeness(value)
    return what === undefined ? flawIn(value, above) : flaw(what)
  } catch {
    return flaw('what cannot be read')
  }
}

function flaw(what: string): Flaw {
  return { what, path: [] }
}

/** What is wrong in a list or plain object. */
function flawIn(value: object, above: object[]): Flaw | undefined {
  const isList = Array.isArray(value)
  const items: readonly unknown[] = isList ? value : Object.values(value)
  above.push(value)
  // By number: a hole in a list is an item that is undefined, and `every` would not see it.
  for (let at = 0; at < items.length; at += 1) {
    const item = items[at]
    const found = item === undefined && !isList ? undefined : flawOf(item, above)
    if (found === undefined) continue
    found.path.unshift(isList ? at : (Object.keys(value)[at] ?? ''))
    return found
  }
  above.pop()
  return undefined
}

/** What an object is, unless it is a list or a plain object. */
function strangeness(value: object): string | undefined {
  if (Array.isArray(value) || isPlain(value))
    return typeof Reflect.get(value, 'toJSON') === 'function' ? 'an object with toJSON' : undefined
  const maker: unknown = Reflect.get(value, 'constructor')
  const name = typeof maker === 'function' && maker.name !== '' ? maker.name : 'class instance'
  return `${/^[AEIOU]/i.test(name) ? 'an' : 'a'} ${name}`
}

/** Objects of another realm (`node:vm`, some test runners) are as plain as our own. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  )
}
