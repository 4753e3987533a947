import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { events, outcomes, provision } from '../scripts/documents.ts'
import { vectorFiles } from '../scripts/generated.ts'
import { brokerHeaders, clientHeaders } from '../scripts/headers.ts'
import { messages } from '../scripts/messages.ts'
import type { Vector } from '../scripts/vector.ts'
import { decodeFrame, decodePayload, knownEvents } from '../src/index.ts'

type Schema = { readonly [key: string]: unknown }

const folder = new URL('../schemas/', import.meta.url)
const schemas = new Map(
  readdirSync(folder).map((file) => [
    file.replace(/\.json$/, ''),
    JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Schema,
  ]),
)
const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true })
const validators = new Map<string, ValidateFunction>([...schemas].map(([name, schema]) => [name, ajv.compile(schema)]))

/** A value that the vector holds, and the schema that it is to be checked with. */
interface Checked {
  readonly schema: string
  readonly value: unknown
}

const documentSchemas = { event: 'event', outcome: 'outcome', provision: 'provision' } as const
const headerSchemas = { client: 'client-header', broker: 'broker-header', message: 'broker-header' } as const

function checks(vector: Vector): Checked[] {
  const { door } = vector
  if (door === 'event' || door === 'outcome' || door === 'provision')
    return [{ schema: documentSchemas[door], value: JSON.parse('text' in vector ? (vector.text ?? '') : '') }]
  const { header, payload } = decodeFrame(Buffer.from('frame' in vector ? (vector.frame ?? '') : '', 'hex'))
  const carried = { schema: headerSchemas[door], value: header }
  if (door !== 'message') return [carried]
  const { kind } = header as { kind: string }
  return [carried, { schema: `message-${kind}`, value: decodePayload(payload) }]
}

function isValid({ schema, value }: Checked): boolean {
  const validate = validators.get(schema)
  if (validate === undefined) throw new Error(`no schema "${schema}"`)
  return validate(value)
}

/** What of a vector a schema can see; nothing when its bytes are broken before that. */
function visible(vector: Vector): Checked[] {
  try {
    return checks(vector)
  } catch {
    return []
  }
}

const knownType = (vector: Vector): boolean =>
  vector.door !== 'event' || !('value' in vector) || knownEvents.has((vector.value as { type: string }).type)

describe('the JSON Schemas', () => {
  test.each([...vectorFiles().keys()].filter((name) => name !== 'invalid'))('accept every vector of %s', (name) => {
    const vectors = vectorFiles().get(name) ?? []
    for (const vector of vectors.filter(knownType))
      for (const check of checks(vector))
        expect([vector.name, check.schema, isValid(check)]).toEqual([vector.name, check.schema, true])
  })

  test('refuse every invalid vector whose fault is its shape', () => {
    const shaped = (vectorFiles().get('invalid') ?? [])
      .filter((vector) => !('code' in vector) || vector.code !== 'SPEC_TOO_NEW')
      .map((vector) => ({ name: vector.name, seen: visible(vector) }))
      .filter(({ seen }) => seen.length > 0)
    expect(shaped.length).toBeGreaterThan(400)
    for (const { name, seen } of shaped) expect([name, seen.every(isValid)]).toEqual([name, false])
  })

  test('know every field of every interface', () => {
    // What is in an event is checked when it is read, by the event's own schema.
    const inMessages = { ...messages, events: { ...messages.events, events: [{ type: 'x' }] } }
    const full: [string, readonly object[]][] = [
      ['client-header', Object.values(clientHeaders)],
      ['broker-header', Object.values(brokerHeaders)],
      ['event', Object.values(events)],
      ['outcome', Object.values(outcomes)],
      ['provision', [provision]],
      ...Object.entries(inMessages).map(([kind, message]): [string, readonly object[]] => [
        `message-${kind}`,
        [message],
      ]),
    ]
    const unknown = full.flatMap(([name, values]) => {
      const root = schemas.get(name) ?? {}
      return values.flatMap((value) => unknownFields(value, root, root, name))
    })
    expect(unknown).toEqual([])
  })
})

/** The paths of the fields of `value` that `schema` does not name, where it names any. */
function unknownFields(value: unknown, schema: Schema, root: Schema, path: string): string[] {
  if (typeof schema['$ref'] === 'string') return unknownFields(value, resolve(root, schema['$ref']), root, path)
  const options = (schema['oneOf'] ?? schema['anyOf']) as Schema[] | undefined
  if (options !== undefined) {
    const option = options.find((each) => matches(value, each, root))
    return option === undefined ? [`${path}: no option`] : unknownFields(value, option, root, path)
  }
  if (Array.isArray(value))
    return value.flatMap((item, index) =>
      unknownFields(item, (schema['items'] ?? {}) as Schema, root, `${path}.${index}`),
    )
  const properties = schema['properties'] as Record<string, Schema> | undefined
  if (typeof value !== 'object' || value === null || properties === undefined) return []
  return Object.entries(value).flatMap(([key, field]) => {
    const known = properties[key]
    return known === undefined ? [`${path}.${key}`] : unknownFields(field, known, root, `${path}.${key}`)
  })
}

function resolve(root: Schema, pointer: string): Schema {
  return pointer
    .slice(2)
    .split('/')
    .reduce((at, key) => at[key] as Schema, root)
}

const matches = (value: unknown, option: Schema, root: Schema): boolean =>
  ajv.validate({ ...option, $defs: root['$defs'] ?? {} }, value)
