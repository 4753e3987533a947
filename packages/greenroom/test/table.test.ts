import { expect, test } from 'vitest'
import { printPayload, viewPayload } from '../src/payload-view.ts'
import { age, size, table } from '../src/table.ts'

test.each([
  [-5, '0 s'],
  [0, '0 s'],
  [999, '0 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [3_600_000, '1 h'],
  [86_399_999, '23 h'],
  [40 * 86_400_000, '40 d'],
])('%i ms are %s old', (ms, text) => {
  expect(age(ms)).toBe(text)
})

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1024 * 1024 * 1.5, '1.5 MiB'],
  [1024 ** 3 * 200, '200 GiB'],
  [1024 ** 5, '1024 TiB'],
])('%i bytes are %s', (bytes, text) => {
  expect(size(bytes)).toBe(text)
})

test('a table is as wide as its widest cells, and numbers stand to the right', () => {
  expect(
    table(
      ['NAME', '>N'],
      [
        ['a-long-name', '1'],
        ['b', '100'],
      ],
    ),
  ).toBe('NAME           N\na-long-name    1\nb            100\n')
})

test.each([
  ['{"a":"\u001B"}', 'json', '{\n  "a": "\\u001b"\n}'],
  ['"\u009B"', 'json', '"\\u009b"'],
  ['text\n\ttab \u001B[2J\u007F', 'text', 'text\n\ttab \\u001b[2J\\u007f'],
  ['', 'text', ''],
])('%j is shown as %s, and a terminal obeys nothing in it', (payload, encoding, shown) => {
  const text = payload.replace('\u001B"', '\\u001b"')
  expect(printPayload(viewPayload(new TextEncoder().encode(text)))).toBe(`payload as ${encoding}:\n${shown}\n`)
})

test('what is no text is shown as base64', () => {
  expect(viewPayload(new Uint8Array([0xff, 0xfe]))).toEqual({ encoding: 'base64', value: '//4=' })
})
