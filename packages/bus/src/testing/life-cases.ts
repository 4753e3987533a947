/** P7, D6 to D8: who may consume a mailbox, and what becomes of it when they are gone. */
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { idsOf, note, open, text } from './station.ts'

const incarnation = { lifetime: 'incarnation' } as const

/** Lives of mailboxes and their consumers. */
export const lifeCases: readonly BusCase[] = [
  {
    name: 'another incarnation takes a named mailbox over: the first is REPLACED and writes nothing any more',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const old = await open(await harness.bus(), 'b')
      await a.peer.send(note('b', 'm1'))
      const held = await old.messages.next()
      const young = await open(await harness.bus(), 'b', { incarnation: 'b-2' })
      assert.equal((await old.peer.closed).code, 'REPLACED')
      assert.equal(old.peer.state, 'closed')
      const again = await young.messages.next()
      assert.deepEqual([again.id, again.attempt], ['m1', 2])
      const replaced = { code: 'REPLACED' }
      await assert.rejects(old.peer.send(note('a', 'late')), replaced)
      await assert.rejects(old.peer.revoke({ to: 'a', id: 'late' }), replaced)
      await assert.rejects(held.claim(), replaced)
      await assert.rejects(held.ack(), replaced)
      assert.equal(old.peer.publish(note('a', 'late')), false)
      await again.claim()
      await old.peer.close()
      await a.peer.send(note('b', 'm2'))
      assert.equal((await young.messages.next()).id, 'm2')
    },
  },
  {
    name: 'a mailbox of one incarnation refuses every other with FENCED',
    async run(harness) {
      await open(await harness.bus(), 'b', incarnation)
      await assert.rejects(open(await harness.bus(), 'b', { ...incarnation, incarnation: 'b-2' }), { code: 'FENCED' })
    },
  },
  {
    name: 'nobody attaches to a mailbox with another lifetime than it has: FORBIDDEN, and who has it stays',
    async run(harness) {
      const b = await open(await harness.bus(), 'b', incarnation)
      const c = await open(await harness.bus(), 'c')
      for (const [address, lifetime] of [
        ['b', 'named'],
        ['c', 'incarnation'],
      ] as const) {
        const thief = open(await harness.bus(), address, { lifetime, incarnation: 'thief' })
        await assert.rejects(thief, { code: 'FORBIDDEN' })
      }
      await b.peer.send(note('c', 'to-c'))
      assert.equal((await c.messages.next()).id, 'to-c')
      await c.peer.send(note('b', 'to-b'))
      assert.equal((await b.messages.next()).id, 'to-b')
    },
  },
  {
    name: 'a fenced incarnation is closed for good and cannot come back',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', incarnation)
      await a.peer.fence({ address: 'b', incarnation: 'b-1' })
      await a.peer.fence({ address: 'b', incarnation: 'b-1' })
      assert.equal((await b.peer.closed).code, 'FENCED')
      await assert.rejects(b.peer.send(note('a', 'late')), { code: 'FENCED' })
      await assert.rejects(open(await harness.bus(), 'b', incarnation), { code: 'FENCED' })
    },
  },
  {
    name: 'an incarnation that was fenced before it attached is refused',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('b', 'waiting', { kind: 'run' }))
      await a.peer.fence({ address: 'b', incarnation: 'b-1' })
      await assert.rejects(open(await harness.bus(), 'b', incarnation), { code: 'FENCED' })
      assert.equal(await a.peer.revoke({ to: 'b', id: 'waiting' }), 'withdrawn')
      await assert.rejects(a.peer.send(note('b', 'late', { kind: 'run' })), { code: 'MAILBOX_CLOSED' })
    },
  },
  {
    name: 'when an incarnation is gone, its unclaimed runs are withdrawn and its claimed ones are not',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { ...incarnation, credit: 2 })
      for (const id of ['held', 'claimed', 'waiting']) await a.peer.send(note('b', id, { kind: 'run' }))
      const [, claimed] = await b.messages.take(2)
      await claimed?.claim()
      await b.messages.next()
      await b.peer.drain()
      for (const id of ['held', 'waiting']) assert.equal(await a.peer.revoke({ to: 'b', id }), 'withdrawn')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'claimed' }), 'claimed')
      await assert.rejects(a.peer.send(note('b', 'late', { kind: 'run' })), { code: 'MAILBOX_CLOSED' })
    },
  },
  {
    name: 'when an incarnation is gone, all but its runs comes back to its senders as undeliverable',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { ...incarnation, credit: 1 })
      await a.peer.send(note('b', 'held'))
      await b.messages.next()
      await a.peer.send(note('b', 'waiting', { kind: 'steer' }))
      await a.peer.send(note('b', 'run', { kind: 'run' }))
      await b.peer.drain()
      await a.peer.send(note('a', 'barrier'))
      const returned = await a.messages.take(2)
      assert.equal((await a.messages.next()).id, 'barrier')
      for (const message of returned) assert.equal(message.kind, 'undeliverable')
      assert.deepEqual(
        returned.map(({ payload }): unknown => JSON.parse(text(payload))),
        [
          { to: 'b', id: 'held', kind: 'note' },
          { to: 'b', id: 'waiting', kind: 'steer' },
        ],
      )
    },
  },
  {
    name: 'what the consumer of a named mailbox held when it left goes to the next one, with one attempt more',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      await b.messages.next()
      await b.peer.drain()
      const next = await open(await harness.bus(), 'b', { incarnation: 'b-2' })
      const messages = await next.messages.take(2)
      assert.deepEqual(
        messages.map(({ id, attempt }) => [id, attempt]),
        [
          ['m1', 2],
          ['m2', 1],
        ],
      )
    },
  },
  {
    name: 'the same incarnation may attach again after a close: what it held comes again, with the same attempt',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', incarnation)
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      const [m1] = await b.messages.take(2)
      await m1?.ack()
      await b.peer.close()
      await a.peer.send(note('b', 'm3'))
      const again = await open(await harness.bus(), 'b', incarnation)
      const messages = await again.messages.take(2)
      assert.deepEqual(idsOf(messages), ['m2', 'm3'])
      assert.equal(messages[0]?.attempt, 1)
    },
  },
]
