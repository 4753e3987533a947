import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { events } from '../scripts/documents.ts'
import { isDelta, knownEvents, textOf } from '../src/index.ts'

describe('an event', () => {
  test('is a delta when its type is `progress` or ends in `-delta`, else an entry', () => {
    const deltas = [...knownEvents].filter(isDelta)
    expect(deltas.toSorted()).toEqual(['progress', 'reasoning-delta', 'text-delta', 'tool-output-delta'])
    for (const type of ['', 'delta', 'x-deltas', 'progress-bar', 'x-progress', 'skipped'])
      expect([type, isDelta(type)]).toEqual([type, false])
    fc.assert(fc.property(fc.string(), (type) => isDelta(`${type}-delta`)))
  })

  test('of every known type has a vector', () => {
    expect(Object.keys(events).toSorted()).toEqual([...knownEvents].toSorted())
  })
})

test('the text of a message is its content, or its text parts joined', () => {
  expect(textOf({ role: 'user', content: 'plain' })).toBe('plain')
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'image', url: 'data:,' },
    { type: 'text', text: 'b' },
  ]
  expect(textOf({ role: 'user', content: parts })).toBe('ab')
  expect(textOf({ role: 'user', content: [] })).toBe('')
})
