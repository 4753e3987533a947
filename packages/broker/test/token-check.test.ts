import { createHash, timingSafeEqual } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { createBroker } from '../src/index.ts'
import { tokenCheck } from '../src/platform/server.ts'
import { RawClient } from './raw-client.ts'

// The real one, with its calls counted.
vi.mock(import('node:crypto'), async (original) => {
  const real = await original()
  return { ...real, timingSafeEqual: vi.fn<typeof real.timingSafeEqual>(real.timingSafeEqual) }
})

const token = 'a-token-of-some-length'

test('a plain token is compared by digests of one length, in the same time for all', () => {
  vi.mocked(timingSafeEqual).mockClear()
  const isRight = tokenCheck(token)
  const shown = [token, 'a-token-of-some-lengtX', 'X', '', 'a-token-of-some-length ']
  expect(shown.map(isRight)).toEqual([true, false, false, false, false])
  const compared = vi.mocked(timingSafeEqual).mock.calls
  expect(compared.map((sides) => sides.map(({ byteLength }) => byteLength))).toEqual(shown.map(() => [32, 32]))
})

test('a broker compares what it is shown in that way', async () => {
  const operatorToken = 'an-operators-token'
  await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken })
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex')
  const hex = (side: NodeJS.ArrayBufferView): string =>
    Buffer.from(side.buffer, side.byteOffset, side.byteLength).toString('hex')
  // With both, whichever it is: how long it takes tells nothing.
  for (const shown of [token, operatorToken]) {
    vi.mocked(timingSafeEqual).mockClear()
    using _client = await RawClient.open(broker.url ?? '', shown)
    const compared = vi.mocked(timingSafeEqual).mock.calls.map((sides) => sides.map(hex))
    for (const right of [token, operatorToken]) expect(compared).toContainEqual([digest(shown), digest(right)])
  }
})
