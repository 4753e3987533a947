/** The zod schemas as JSON Schema (draft 2020-12), one document for each thing that is read. */
import * as z from 'zod'
import { kinds, type RunKind } from '../src/index.ts'
import * as schemas from '../src/schemas/index.ts'

type JsonSchema = z.core.JSONSchema.JSONSchema

const { runProtocol, runMessages, ...flat } = schemas

/** What is defined once and referred to by name, in every document that uses it. */
const named = z.registry<{ id: string }>()
const parts = {
  presence: flat.presence,
  presenceChange: flat.presenceChange,
  message: flat.message,
  contentPart: flat.contentPart,
  usage: flat.usage,
  outcome: flat.outcome,
  limits: runProtocol.limits,
  childOutcome: runProtocol.childOutcome,
  failure: flat.failure,
}
for (const [id, schema] of Object.entries(parts)) named.add(schema, { id })

const documents: Readonly<Record<string, readonly [title: string, schema: z.ZodType]>> = {
  'client-header': ['The header of a frame from a client', flat.clientHeader],
  'broker-header': ['The header of a frame from a broker', flat.brokerHeader],
  mailbox: ['A row of an operator’s list of mailboxes', flat.mailboxState],
  'dead-letter': ['A row of an operator’s list of dead letters', flat.deadLetter],
  event: ['An event of a known type', flat.runEvent],
  outcome: ['How a run ended', z.discriminatedUnion('status', flat.outcome.options)],
  provision: ['The provisioning document', flat.provision],
  ...Object.fromEntries(
    Object.keys(kinds).map((kind) => [`message-${kind}`, [`The ${kind} message`, runMessages[kind as RunKind]]]),
  ),
}

/** `json`, which is anything, has no JSON Schema of its own: it becomes `{}`. */
const options = {
  unrepresentable: 'any',
  // What is known of one all the same.
  override: ({ zodSchema, jsonSchema }) => void Object.assign(jsonSchema, z.globalRegistry.get(zodSchema)),
} as const satisfies z.core.ToJSONSchemaParams

/** Every JSON Schema document by its file's name without `.json`. */
export function jsonSchemas(): Map<string, object> {
  return new Map(
    Object.entries(documents).map(([name, [title, schema]]) => {
      const { $schema, ...rest } = z.toJSONSchema(schema, { ...options, metadata: named })
      return [name, { $schema, title, ...rest }]
    }),
  )
}

/** One schema without references, for looking into it. */
export function inlineSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { ...options, metadata: z.registry() })
}
