/** What a model may know of a role, and what its input has to be like. */
import { GreenroomError, isJson, jsonFlaw, type JsonObject, type JsonValue } from '@greenroom/proto'
import type { StandardSchemaV1 } from '@standard-schema/spec'

/** A role that a model may start children as. */
export interface DelegateRole {
  /** What its runs do, and when to use them: for the model. */
  readonly description: string
  /**
   * The schema of its executor's input: the model is told it, where its library can say it as JSON Schema (zod, ArkType, … by
   * `~standard.jsonSchema`), and is refused at once what does not fit. = any JSON
   */
  readonly input?: StandardSchemaV1
}

/** The roles that a model may start children as, by name: no others. */
export type DelegateRoles = Readonly<Record<string, DelegateRole>>

/** The input of a role as JSON Schema. */
interface KnownInput {
  readonly role: string
  readonly schema: JsonObject
}

/**
 * Checks what a program says of roles.
 *
 * @param name - what it is called there
 * @param roles - what it says
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkRoles(name: string, roles: DelegateRoles): void {
  const isRoles = typeof roles === 'object' && roles !== null && Object.keys(roles).length > 0
  if (!isRoles) throw new GreenroomError('BAD_OPTIONS', `${name} must name at least one role that may be started`)
  for (const [role, known] of Object.entries(roles)) {
    if (typeof known?.description !== 'string' || known.description === '')
      throw new GreenroomError('BAD_OPTIONS', `${name}.${role}.description must say what the role is for`)
    if (known.input !== undefined && typeof known.input?.['~standard']?.validate !== 'function')
      throw new GreenroomError('BAD_OPTIONS', `${name}.${role}.input must be a Standard Schema`)
  }
}

/**
 * What `input` of the spawn tool may be, as JSON Schema, and what is to be said of it in words: models' providers take no
 * references between schemas, and no choice at the top.
 *
 * @param roles - those that may be started
 */
export function inputOf(roles: DelegateRoles): { readonly schema: JsonObject; readonly words: string } {
  const known = Object.entries(roles).flatMap(([role, { input }]): KnownInput[] => {
    const schema = jsonSchemaOf(input)
    return schema === undefined ? [] : [{ role, schema }]
  })
  const plain = known.filter(({ schema }) => !hasReference(schema))
  const words = known
    .filter(({ schema }) => hasReference(schema))
    .map(({ role, schema }) => `The input of ${role} is, as JSON Schema: ${JSON.stringify(schema)}`)
  // A role without a schema takes anything, so nothing can be said of all of them.
  if (plain.length < Object.keys(roles).length) {
    words.unshift(
      ...plain.map(({ role, schema }) => `The input of ${role} is, as JSON Schema: ${JSON.stringify(schema)}`),
    )
    return { schema: {}, words: words.join('\n') }
  }
  const [only, ...others] = plain
  const schema: JsonObject =
    only !== undefined && others.length === 0
      ? only.schema
      : { anyOf: plain.map(({ role, schema: one }) => ({ title: `input of ${role}`, ...one })) }
  return { schema, words: words.join('\n') }
}

/**
 * Checks what a model gives a child.
 *
 * @param name - the role
 * @param role - what is known of it
 * @param value - what it gives; undefined: nothing
 * @returns the same
 * @throws GreenroomError `INPUT_INVALID` naming each place
 */
export async function checkInput(name: string, role: DelegateRole, value: unknown): Promise<JsonValue | undefined> {
  const flaw = value === undefined ? undefined : jsonFlaw(value, 'input')
  if (flaw !== undefined) throw new GreenroomError('INPUT_INVALID', flaw)
  const result = await role.input?.['~standard'].validate(value)
  if (result?.issues !== undefined) {
    const said = result.issues.map(({ message, path = [] }) => {
      const place = path.map((part) => String(typeof part === 'object' ? part.key : part))
      return `${['input', ...place].join('.')}: ${message}`
    })
    throw new GreenroomError('INPUT_INVALID', `what "${name}" is given does not fit: ${said.join('; ')}`)
  }
  return isJson(value) ? value : undefined
}

function jsonSchemaOf(schema: StandardSchemaV1 | undefined): JsonObject | undefined {
  const standard: object | undefined = schema?.['~standard']
  const converter: unknown = standard === undefined ? undefined : Reflect.get(standard, 'jsonSchema')
  if (!isConverter(converter)) return undefined
  try {
    const { $schema: _dialect, ...rest } = converter.input({ target: 'draft-07' })
    return isJsonObject(rest) ? rest : undefined
  } catch {
    // There are schemas that JSON Schema has no words for: the value is checked all the same.
    return undefined
  }
}

function hasReference(schema: JsonValue): boolean {
  if (typeof schema !== 'object' || schema === null) return false
  const parts: readonly (JsonValue | undefined)[] = Array.isArray(schema) ? schema : Object.values(schema)
  return '$ref' in schema || parts.some((part) => part !== undefined && hasReference(part))
}

function isConverter(
  value: unknown,
): value is { input(options: { readonly target: string }): Readonly<Record<string, unknown>> } {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'input') === 'function'
}

function isJsonObject(value: unknown): value is JsonObject {
  return isJson(value) && typeof value === 'object' && value !== null && !Array.isArray(value)
}
