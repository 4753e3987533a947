import { describe, expect, test } from 'vitest'
import { bytesOfName, nameFromBytes, visible } from '../src/file-name.ts'

const invalid = [
  [0xe9],
  [0x63, 0x61, 0x66, 0xe9, 0x2e],
  [0xff, 0xfe, 0x80],
  [0xf0, 0x9f, 0x8e],
  [0xc0, 0xaf],
  [0xed, 0xb3, 0xa9],
  [0xf0, 0x9f, 0x8e, 0x89, 0xe9, 0xc3, 0xa9],
].map((bytes) => Buffer.from(bytes))

describe('a name', () => {
  test.each(['plain', 'grüße', '日本語 🎉', 'new\nline', ''])('%j in UTF-8 is that text', (name) => {
    expect(nameFromBytes(Buffer.from(name))).toBe(name)
    expect(bytesOfName(name)).toEqual(Buffer.from(name))
  })

  test.each(invalid.map((bytes) => ({ bytes })))('of other bytes survives JSON', ({ bytes }) => {
    const name = nameFromBytes(bytes)
    const sent: unknown = JSON.parse(Buffer.from(JSON.stringify(name)).toString())
    expect(sent).toBe(name)
    expect(bytesOfName(name)).toEqual(bytes)
  })

  test('of every single byte is its own', () => {
    const names = Array.from({ length: 256 }, (_, byte) => nameFromBytes(Buffer.of(byte)))
    expect(new Set(names).size).toBe(256)
    expect(names.map((name) => bytesOfName(name)[0])).toEqual(Array.from({ length: 256 }, (_, byte) => byte))
  })
})

test('what a terminal would obey is written out', () => {
  expect(visible('a\u001b[31m\n\u009b\u202eb\udce9')).toBe('a\\x1b[31m\\x0a\\x9b\\u{202e}b\\xe9')
  expect(visible('grüße 🎉')).toBe('grüße 🎉')
})
