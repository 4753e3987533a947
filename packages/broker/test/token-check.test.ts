import { timingSafeEqual } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { tokenCheck } from '../src/platform/server.ts'

// The real one, with its calls counted.
vi.mock(import('node:crypto'), async (original) => {
  const real = await original()
  return { ...real, timingSafeEqual: vi.fn<typeof real.timingSafeEqual>(real.timingSafeEqual) }
})

test('a plain token is compared by digests of one length, in the same time for all', () => {
  const isRight = tokenCheck('a-token-of-some-length')
  const shown = ['a-token-of-some-length', 'a-token-of-some-lengtX', 'X', '', 'a-token-of-some-length ']
  expect(shown.map(isRight)).toEqual([true, false, false, false, false])
  const compared = vi.mocked(timingSafeEqual).mock.calls
  expect(compared.map((sides) => sides.map(({ byteLength }) => byteLength))).toEqual(shown.map(() => [32, 32]))
})
