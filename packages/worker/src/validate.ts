/** Checking a value against an executor's schema. */
import { GreenroomError } from '@greenroom/proto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Schema } from './executor.ts'

/**
 * Checks a value.
 *
 * @param schema - any Standard Schema; without one every value passes
 * @param value - what to check
 * @param what - what it is: the input or the output
 * @returns what the schema made of the value
 * @throws GreenroomError `INPUT_INVALID`, `OUTPUT_INVALID` with path and reason of the first three findings
 */
export async function validate(schema: Schema, value: unknown, what: 'input' | 'output'): Promise<unknown> {
  if (schema === undefined) return value
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const findings = result.issues
    .slice(0, 3)
    .map(({ path, message }) => `${[what, ...pathOf(path)].join('.')}: ${message}`)
  throw new GreenroomError(what === 'input' ? 'INPUT_INVALID' : 'OUTPUT_INVALID', findings.join('; '))
}

function pathOf(path: StandardSchemaV1.Issue['path']): string[] {
  return (path ?? []).map((segment) => String(typeof segment === 'object' ? segment.key : segment))
}
