/** Checks of what callers give: each says which field is wrong, and what it must be. */
import { GreenroomError, isId, namesFlaw } from '@greenroom/proto'

const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/

/** The error for a field that is not what it must be. */
export function bad(field: string, must: string): GreenroomError {
  return new GreenroomError('BAD_OPTIONS', `${field} must be ${must}`)
}

/** Whether something has members. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/**
 * Checks a field that may be absent.
 *
 * @param field - its name, for people
 * @param value - what was given
 * @param ok - whether that is right
 * @param must - what it must be, in words
 * @returns the value
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function check<T>(field: string, value: T, ok: (value: NonNullable<T>) => boolean, must: string): T {
  if (value !== undefined && (value === null || !ok(value))) throw bad(field, must)
  return value
}

/**
 * What is misspelt, or of a later version, would be trusted in vain if nobody said so.
 *
 * @param field - what was given, for people
 * @param given - what its names are checked of
 * @param known - has the names that there are
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkNames(field: string, given: object, known: object): void {
  const flaw = namesFlaw(field, given, Object.keys(known))
  if (flaw !== undefined) throw new GreenroomError('BAD_OPTIONS', flaw)
}

/**
 * Checks what names something: what can be no id is no key of the store's either.
 *
 * @param field - its name, for people
 * @param id - what was given
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkId(field: string, id: unknown): void {
  const isValid: boolean = isId(id)
  if (!isValid) throw bad(field, 'an id: 1 to 128 of A-Z a-z 0-9 . _ -, and no . first')
}

/** A text that says something. */
export const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
/** True or false. */
export const isFlag = (value: unknown): boolean => typeof value === 'boolean'
/** A list of such texts. */
export const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText)
/** A time in milliseconds. */
export const isMs = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && value >= 0
/** A whole number, or none. */
export const isCount = (value: unknown): boolean => typeof value === 'number' && Number.isInteger(value) && value >= 0
/** Where none would mean that what waits, waits for ever. */
export const isSome = (value: unknown): boolean => isCount(value) && value !== 0
/** Names of environment variables. */
export const isVariables = (value: unknown): boolean =>
  Array.isArray(value) && value.every((name) => typeof name === 'string' && variableName.test(name))
/** Texts by their names. */
export const isTextsByName = (value: unknown): boolean =>
  isObject(value) && !Array.isArray(value) && Object.values(value).every((text) => typeof text === 'string')
/** Something with these methods. */
export const has = (value: unknown, ...methods: readonly string[]): boolean =>
  isObject(value) && methods.every((name) => typeof Reflect.get(value, name) === 'function')
