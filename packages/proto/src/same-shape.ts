/** Whether two values have the same shape: what a decider may make of an input. */
import type { JsonValue } from './json.ts'

/**
 * Whether a value has the shape of another one: the same kinds of values under the same names, lists of any length of what is
 * in the other's. A list that is empty there may hold texts, numbers, flags and null.
 *
 * @param value - any JSON
 * @param model - what it is to be like
 */
export function hasShapeOf<Model extends JsonValue>(value: JsonValue | undefined, model: Model): value is Model {
  if (value === undefined || kindOf(value) !== kindOf(model)) return false
  if (isList(value) && isList(model))
    return value.every((item) =>
      model.length === 0 ? !isObject(item) && !isList(item) : model.some((one) => hasShapeOf(item, one)),
    )
  if (!isObject(value) || !isObject(model)) return true
  const known = Object.entries(model).flatMap(([name, one]) => (one === undefined ? [] : [{ name, one }]))
  const count = Object.values(value).filter((one) => one !== undefined).length
  return count === known.length && known.every(({ name, one }) => hasShapeOf(value[name], one))
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function isObject(value: JsonValue): value is { readonly [name: string]: JsonValue | undefined } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: JsonValue): string {
  return value === null ? 'null' : isList(value) ? 'list' : typeof value
}
