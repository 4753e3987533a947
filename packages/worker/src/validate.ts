/** Checking a value against an executor's schema. */
import { GreenroomError, placeOf } from '@greenroom/proto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Schema } from './executor.ts'

/** How many findings a message tells: enough to go on with. */
const shown = 3

/**
 * Checks a value.
 *
 * @param schema - any Standard Schema; without one every value passes
 * @param value - what to check
 * @param what - what it is: the input or the output
 * @returns what the schema made of the value
 * @throws GreenroomError `INPUT_INVALID`, `OUTPUT_INVALID` with place and reason of the first three findings
 */
export async function validate(schema: Schema, value: unknown, what: 'input' | 'output'): Promise<unknown> {
  if (schema === undefined) return value
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const findings = result.issues
    .slice(0, shown)
    .map(({ path, message }) => `${placeOf(what, keysOf(path))}: ${message}`)
  if (result.issues.length > shown) findings.push(`and ${result.issues.length - shown} more`)
  throw new GreenroomError(what === 'input' ? 'INPUT_INVALID' : 'OUTPUT_INVALID', findings.join('; '))
}

/** Libraries name a step by its key, or by an object that has the key. */
function keysOf(path: StandardSchemaV1.Issue['path']): PropertyKey[] {
  return (path ?? []).map((segment) => (typeof segment === 'object' ? segment.key : segment))
}
