import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { inlineSchema } from '../scripts/json-schema.ts'
import { errors, kinds, limits, type RunKind } from '../src/index.ts'
import {
  brokerHeader,
  clientHeader,
  deadLetter,
  mailboxState,
  provision,
  runEvent,
  runMessages,
} from '../src/schemas/index.ts'

const text = readFileSync(new URL('../PROTOCOL.md', import.meta.url), 'utf8')

/** The shapes of a section's first code block, by the names in its heading or, for others, in order. */
function shapesOf(section: string): string[] {
  const block = /```text\n([^]*?)```/.exec(section)?.[1] ?? ''
  const shapes: string[] = []
  let depth = 0
  let start = 0
  for (const { 0: brace, index } of block.matchAll(/[{}]/g)) {
    if (brace === '{' && depth++ === 0) start = index
    if (brace === '}' && --depth === 0) shapes.push(block.slice(start + 1, index))
  }
  return shapes
}

/** The names of a shape's own fields in their order, each with a `?` where it may be absent. */
function fieldsOf(shape: string): string[] {
  let flat = shape
  while (/\{[^{}]*\}/.test(flat)) flat = flat.replace(/\{[^{}]*\}/g, '')
  return [...flat.matchAll(/(?:^|,)\s*(\w+\??):/g)].map((match) => match[1] ?? '')
}

/** The same of a schema. */
function schemaFields(schema: Parameters<typeof inlineSchema>[0], without: readonly string[] = []): string[] {
  const inlined = inlineSchema(schema)
  // All members of a union have the same fields: one of them tells what the others may hold.
  const [member = inlined] = inlined.oneOf ?? []
  const { properties = {}, required = [] } = typeof member === 'object' ? member : inlined
  return Object.keys(properties)
    .filter((name) => !without.includes(name))
    .map((name) => (required.includes(name) ? name : `${name}?`))
}

function chapter(heading: string): string {
  const start = text.indexOf(`\n${heading}\n`)
  const level = heading.split(' ')[0] ?? ''
  const rest = text.slice(start + heading.length + 2)
  const end = new RegExp(`^#{1,${level.length}} `, 'm').exec(rest)?.index ?? rest.length
  return start < 0 ? '' : rest.slice(0, end)
}

/** Every shape under a `#### heading` of this chapter by the name that the heading gives it. */
function shapesIn(heading: string): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const section of chapter(heading).split('\n#### ').slice(1)) {
    const names = [...(section.split('\n')[0] ?? '').matchAll(/`([\w-]+)`/g)].map((match) => match[1] ?? '')
    const shapes = shapesOf(section)
    for (const [index, name] of names.entries()) found.set(name, fieldsOf(shapes[index] ?? ''))
  }
  return found
}

const tagOf = (schema: Parameters<typeof inlineSchema>[0], tag: string): string => {
  const field = inlineSchema(schema).properties?.[tag]
  return typeof field === 'object' && typeof field.const === 'string' ? field.const : ''
}
const tagged = (options: readonly Parameters<typeof inlineSchema>[0][], tag: string) =>
  new Map(options.map((option) => [tagOf(option, tag), schemaFields(option)]))

describe('PROTOCOL.md', () => {
  test('has every bus frame with the fields of its schema', () => {
    expect(shapesIn('### Client → broker')).toEqual(tagged(clientHeader.options, 't'))
    expect(shapesIn('### Broker → client')).toEqual(tagged(brokerHeader.options, 't'))
  })

  test('has the rows of an operator with the fields of their schemas', () => {
    const [, mailbox, letter] = shapesOf(chapter('#### `admin`')).map(fieldsOf)
    expect(mailbox).toEqual(schemaFields(mailboxState))
    expect(letter).toEqual(schemaFields(deadLetter))
  })

  test.each(['runner', 'worker'] as const)('has every message from the %s with the fields of its schema', (from) => {
    const sent = (Object.keys(kinds) as RunKind[]).filter((kind) => kinds[kind].from === from)
    const expected = new Map(sent.map((kind) => [kind, schemaFields(runMessages[kind], ['runId', 'epoch'])]))
    expect(shapesIn(from === 'runner' ? '### Runner → worker' : '### Worker → runner')).toEqual(expected)
  })

  test('has every known event with the fields of its schema', () => {
    const shapes = shapesOf(chapter('### Events')).map(
      (shape) => [/type: '([\w-]+)'/.exec(shape)?.[1], fieldsOf(shape)] as const,
    )
    expect(new Map(shapes)).toEqual(tagged(runEvent.options, 'type'))
  })

  test('has the provisioning document with the fields of its schema', () => {
    expect(fieldsOf(shapesOf(chapter('### The provisioning document'))[0] ?? '')).toEqual(schemaFields(provision))
  })

  test('has every error code and every limit in its table', () => {
    const first = (table: string) => [...table.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1])
    expect(first(chapter('## 12. Error codes'))).toEqual(Object.keys(errors))
    expect(first(chapter('## 11. Limits'))).toEqual(Object.keys(limits))
  })

  test('has the numbered rules that sources and tests name', () => {
    for (const rule of [
      'D1',
      'D2',
      'D3',
      'D4',
      'D5',
      'D6',
      'D7',
      'D8',
      'D9',
      'D10',
      'R1',
      'R2',
      'R3',
      'R4',
      'R5',
      'R6',
      'R7',
      'R8',
    ])
      expect(text.split(`\n- _${rule}_ `).length, rule).toBe(2)
  })
})
