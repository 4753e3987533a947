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
  await using broker = await createBroker({ listen: { port: 0 }, token })
  vi.mocked(timingSafeEqual).mockClear()
  using _client = await RawClient.open(broker.url ?? '', token)
  const right = createHash('sha256').update(token).digest()
  const compared = vi.mocked(timingSafeEqual).mock.calls
  expect(
    compared.some((sides) =>
      sides.every((side) => right.equals(Buffer.from(side.buffer, side.byteOffset, side.byteLength))),
    ),
  ).toBe(true)
})
