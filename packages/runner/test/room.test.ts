import { codeOf, GreenroomError } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { Room } from '../src/room.ts'

const idle = new AbortController().signal

test('who waits for a place gets it before anyone who comes later', async () => {
  const room = new Room(1)
  await room.enter(idle)
  const order: string[] = []
  const first = room.enter(idle).then(() => order.push('first'))
  room.leave()
  // The place is the first one's already, although it has not gone on yet.
  const second = room.enter(idle).then(() => order.push('second'))
  await first
  expect([order, room.occupied]).toEqual([['first'], 2])
  room.leave()
  await second
  room.leave()
  expect(room.occupied).toBe(0)
})

test('whose signal aborts leaves the line; a place that it was given just then goes to the next', async () => {
  const room = new Room(1)
  await room.enter(idle)
  const stop = new AbortController()
  const stopped = room.enter(stop.signal).catch(codeOf)
  const next = room.enter(idle)
  stop.abort(new Error('no'))
  room.leave()
  expect(await stopped).toBe('ABORTED')
  await next
  expect(room.occupied).toBe(1)
  expect(await room.enter(stop.signal).catch(codeOf)).toBe('ABORTED')
})

test('who has left the line is not given a place any more', async () => {
  const room = new Room(1)
  await room.enter(idle)
  const stop = new AbortController()
  const stopped = room.enter(stop.signal).catch(codeOf)
  const next = room.enter(idle)
  stop.abort()
  expect(await stopped).toBe('ABORTED')
  expect(room.occupied).toBe(2)
  room.leave()
  await next
  room.leave()
  expect([room.occupied, room.tryEnter(), room.tryEnter()]).toEqual([0, true, false])
})

test('closing refuses who waits and who comes; places are given back all the same', async () => {
  const room = new Room(1)
  await room.enter(idle)
  const waiting = room.enter(idle).catch(codeOf)
  room.close(new GreenroomError('CLOSED'))
  expect([await waiting, await room.enter(idle).catch(codeOf)]).toEqual(['CLOSED', 'CLOSED'])
  room.leave()
  expect(room.occupied).toBe(0)
})
