/** What waits to be written to one session, and what becomes of who does not read it. How much its socket holds is played. */
import { decodeFrame, encodeFrame } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { Outlet } from '../src/outlet.ts'

const ignore = (): void => {}
const rest = { write: ignore, defer: ignore, pause: ignore, resume: ignore, ping: ignore, close: ignore }
const pong = { t: 'pong' } as const

function play() {
  const seen = { buffered: 0, cuts: 0 }
  const transport = { ...rest, destroy: ignore, buffered: () => seen.buffered }
  const outlet = new Outlet(transport, { liveBytes: 500, outgoingBytes: 1_000 }, () => void (seen.cuts += 1))
  /** Looks at it while its socket holds so much, and says how often it was cut by then. */
  const look = (buffered: number): number => {
    seen.buffered = buffered
    outlet.check()
    return seen.cuts
  }
  return { seen, outlet, look }
}

test('who reads nothing from one look to the next is cut, who has read meanwhile is not', () => {
  const { look } = play()
  expect([1_001, 1_000, 1_001, 0, 1_001].map(look)).toEqual([0, 0, 0, 0, 0])
  expect(look(1_001)).toBe(1)
})

test('who has twice as much waiting is cut without another look', () => {
  const { seen, outlet } = play()
  seen.buffered = 2_000 - encodeFrame(pong).length
  outlet.push(pong)
  expect(seen.cuts).toBe(0)
  outlet.push(pong)
  expect(seen.cuts).toBe(1)
})

test('live messages are dropped beyond a bound of their own, before anybody is cut', () => {
  const { seen, outlet } = play()
  const live = (): boolean => outlet.pushLive({ t: 'live', to: 'a', kind: 'x', from: 'b' }, new Uint8Array(100))
  seen.buffered = 401
  expect(live()).toBe(false)
  seen.buffered = 400
  expect([live(), live()]).toEqual([true, false])
  expect(seen.cuts).toBe(0)
})

test('control, and what answers a request, overtakes data and live messages that wait', () => {
  const written: string[] = []
  const flushes: (() => void)[] = []
  const transport = {
    ...rest,
    destroy: ignore,
    buffered: () => 0,
    defer: (flush: () => void) => void flushes.push(flush),
    write: (frames: readonly Uint8Array[]) => written.push(...frames.map((frame) => typeOf(decodeFrame(frame).header))),
  }
  const outlet = new Outlet(transport, { liveBytes: 500, outgoingBytes: 1_000 }, ignore)
  const deliver = { t: 'deliver', seq: 1, id: 'm', kind: 'x', from: 'b', attempt: 1, at: 0 } as const
  outlet.pushLive({ t: 'live', to: 'a', kind: 'x', from: 'b' }, new Uint8Array(10))
  outlet.push({ ...deliver, id: 'data' }, new Uint8Array(10), false)
  outlet.push({ ...deliver, id: 'control' }, new Uint8Array(10), true)
  outlet.push({ t: 'ok', req: 1 })
  for (const flush of flushes) flush()
  expect(written).toEqual(['control', 'ok', 'live', 'data'])
})

/** What a frame is: a delivery by its id, all others by their type. */
function typeOf(header: unknown): string {
  const { t, id = t } = header as { readonly t: string; readonly id?: string }
  return id
}
