import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { idFromBytes, isId, isName, systemRandom } from '../src/index.ts'

describe('a name', () => {
  test('is 1 to 128 of the alphabet, and starts with a letter or digit', () => {
    for (const good of ['a', 'A.b_c-d', '0', 'n'.repeat(128)]) expect([good, isName(good)]).toEqual([good, true])
    for (const bad of [
      '',
      '-a',
      '_a',
      '.a',
      'a b',
      'a/b',
      'a\n',
      '\na',
      'a\u0000',
      'é',
      'n'.repeat(129),
      1,
      null,
      undefined,
      ['a'],
    ])
      expect([bad, isName(bad)]).toEqual([bad, false])
  })

  test('of an id may also start with - or _, never with a dot', () => {
    expect(['-a', '_a', 'a'].map(isId)).toEqual([true, true, true])
    expect(['.a', '', 'a/b', 'n'.repeat(129), 7].map(isId)).toEqual([false, false, false, false, false])
  })

  test('is an id, whatever it is', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary-ascii', maxLength: 130 }), (text) => !isName(text) || isId(text)))
  })
})

describe('an id from bytes', () => {
  test('is their base64url without padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(idFromBytes(bytes)).toBe(Buffer.from(bytes).toString('base64url'))
      }),
    )
  })

  test('is a valid id of 22 characters for 16 bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect([isId(idFromBytes(bytes)), idFromBytes(bytes).length]).toEqual([true, 22])
      }),
    )
  })

  test('of the platform is never the same twice', () => {
    const ids = Array.from({ length: 1000 }, () => systemRandom.id())
    expect([new Set(ids).size, ids.every((id) => isId(id) && id.length === 22)]).toEqual([1000, true])
  })
})
