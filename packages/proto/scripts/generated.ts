/** Everything in this package that is made from its sources and checked in. */
import { readFileSync } from 'node:fs'
import { eventVectors, outcomeVectors, provisionVectors } from './documents.ts'
import { brokerVectors, clientVectors } from './headers.ts'
import { jsonSchemas } from './json-schema.ts'
import { lenientVectors } from './lenient.ts'
import { messageVectors } from './messages.ts'
import { withTables } from './protocol-tables.ts'
import { refusedVectors } from './refused.ts'
import type { Vector } from './vector.ts'

/** The vectors by their file's name without `.json`. */
export function vectorFiles(): Map<string, readonly Vector[]> {
  return new Map<string, readonly Vector[]>([
    ['client-frames', clientVectors()],
    ['broker-frames', brokerVectors()],
    ['messages', messageVectors()],
    ['events', eventVectors()],
    ['outcomes', outcomeVectors()],
    ['provision', provisionVectors()],
    ['lenient', lenientVectors()],
    ['invalid', refusedVectors()],
  ])
}

/** The text of every generated file by its path within the package. */
export function generated(): Map<string, string> {
  const files = new Map<string, string>()
  for (const [name, vectors] of vectorFiles())
    files.set(`vectors/${name}.json`, `[\n${vectors.map((vector) => JSON.stringify(vector)).join(',\n')}\n]\n`)
  for (const [name, schema] of jsonSchemas()) files.set(`schemas/${name}.json`, `${JSON.stringify(schema, null, 2)}\n`)
  files.set('PROTOCOL.md', withTables(readFileSync(new URL('../PROTOCOL.md', import.meta.url), 'utf8')))
  return files
}
