/** P5: the live lane keeps order and stores nothing. */
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { bytes, note, open, text } from './station.ts'

/** The live lane. */
export const liveCases: readonly BusCase[] = [
  {
    name: 'live messages arrive in order, whatever their kind, with the sender that the bus saw',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      for (let index = 0; index < 1000; index += 1)
        assert.ok(
          a.peer.publish({ to: 'b', kind: index % 7 === 0 ? 'heartbeat' : 'events', payload: bytes(String(index)) }),
        )
      const messages = await b.live.take(1000)
      assert.deepEqual(
        messages.map(({ payload }) => Number(text(payload))),
        Array.from({ length: 1000 }, (_, index) => index),
      )
      assert.deepEqual([messages[0]?.kind, messages[0]?.from, messages[0]?.fromIncarnation], ['heartbeat', 'a', 'a-1'])
    },
  },
  {
    name: 'live messages to nobody are not kept',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      assert.ok(a.peer.publish(note('b', 'lost')))
      await a.peer.send(note('c', 'barrier'))
      const b = await open(await harness.bus(), 'b')
      assert.ok(a.peer.publish(note('b', 'found')))
      assert.equal(text((await b.live.next()).payload), 'found')
    },
  },
  {
    name: 'live messages need no credit and take none',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      const m1 = await b.messages.next()
      for (let index = 0; index < 10; index += 1) a.peer.publish(note('b', `l${index}`))
      await b.live.take(10)
      await m1.ack()
      assert.equal((await b.messages.next()).id, 'm2')
    },
  },
]
