/** How calls wait and how a peer ends. */
import type { Delivery, Peer } from '@greenroom/proto'
import { codeOf } from '@greenroom/proto'
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { note, open, Queue } from './station.ts'

/** Waiting, draining, closing. */
export const callCases: readonly BusCase[] = [
  {
    name: 'no handler is called before attach has resolved',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      const bus = await harness.bus()
      const states = new Queue<string>()
      const attached: { peer?: Peer } = {}
      const onMessage = (message: Delivery): void => states.push(`${message.id} ${attached.peer?.state ?? 'too early'}`)
      attached.peer = await bus.attach({ address: 'b', incarnation: 'b-1', lifetime: 'named', onMessage })
      assert.deepEqual(await states.take(2), ['m1 attached', 'm2 attached'])
    },
  },
  {
    name: 'what is no name is refused with BAD_OPTIONS, what is too large with FRAME_TOO_LARGE, and the peer goes on',
    async run(harness) {
      const bus = await harness.bus()
      const { peer } = await open(bus, 'a')
      const other = await open(await harness.bus(), 'b')
      const refused = { code: 'BAD_OPTIONS' }
      for (const no of ['', 'a/b', ' a', 'é', 'x'.repeat(129)]) {
        await assert.rejects(peer.send(note(no, 'm1')), refused)
        await assert.rejects(peer.send(note('b', no)), refused)
        await assert.rejects(peer.send(note('b', 'm1', { kind: no })), refused)
        await assert.rejects(peer.revoke({ to: no, id: 'm1' }), refused)
        assert.throws(() => peer.announce({ role: no }), refused)
        await assert.rejects(peer.revoke({ to: 'b', id: no }), refused)
        await assert.rejects(peer.fence({ address: no, incarnation: 'b-1' }), refused)
        await assert.rejects(peer.fence({ address: 'b', incarnation: no }), refused)
        assert.throws(() => peer.publish(note(no, 'm1')), refused)
        assert.throws(() => peer.publish(note('b', 'm1', { kind: no })), refused)
        assert.throws(() => peer.watch(no, () => {}), refused)
        await assert.rejects(open(bus, no, { incarnation: 'c-1' }), refused)
        await assert.rejects(open(bus, 'c', { incarnation: no }), refused)
        await assert.rejects(open(bus, 'c', { presence: { role: no } }), refused)
      }
      const large = { to: 'b', kind: 'note', payload: new Uint8Array(8 * 1024 * 1024 + 1) }
      assert.throws(() => peer.publish(large), { code: 'FRAME_TOO_LARGE' })
      assert.deepEqual(await peer.send(note('b', 'm1')), { seq: 1, duplicate: false })
      assert.equal((await other.messages.next()).id, 'm1')
    },
  },
  {
    name: 'a signal that has aborted stops a call before it does anything, with ABORTED',
    async run(harness) {
      const bus = await harness.bus()
      const { peer } = await open(bus, 'a')
      const signal = AbortSignal.abort(new Error('not needed'))
      const stopped = (error: unknown): boolean => codeOf(error) === 'ABORTED'
      await assert.rejects(peer.send(note('b', 'm1'), { signal }), stopped)
      await assert.rejects(peer.revoke({ to: 'b', id: 'm2' }, { signal }), stopped)
      await assert.rejects(peer.fence({ address: 'c', incarnation: 'c-1' }, { signal }), stopped)
      await assert.rejects(open(bus, 'd', { signal }), stopped)
      assert.deepEqual(await peer.send(note('b', 'm1')), { seq: 1, duplicate: false })
      assert.equal((await peer.send(note('b', 'm2'))).duplicate, false)
      await open(bus, 'c')
    },
  },
  {
    name: 'drain lets through what was called, then leaves; afterwards calls are refused with CLOSED',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { lifetime: 'incarnation' })
      for (let index = 0; index < 10; index += 1) await a.peer.send(note('b', `m${index}`))
      const acks = (await b.messages.take(10)).map((message) => message.ack())
      const sent = Array.from({ length: 100 }, (_, index) => b.peer.send(note('a', `n${index}`)))
      const drained = b.peer.drain()
      assert.equal((await Promise.all(sent)).length, 100)
      await Promise.all(acks)
      await drained
      await b.peer.drain()
      assert.equal((await b.peer.closed).code, 'CLOSED')
      assert.equal(b.peer.state, 'closed')
      await assert.rejects(b.peer.send(note('a', 'late')), { code: 'CLOSED' })
      assert.equal(b.peer.publish(note('a', 'late')), false)
      const messages = await a.messages.take(64)
      assert.ok(messages.every(({ kind }) => kind === 'note'))
      await assert.rejects(a.peer.send(note('b', 'late')), { code: 'MAILBOX_CLOSED' })
    },
  },
  {
    name: 'close settles everything that waits, and is idempotent',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('a', 'held'))
      const held = await a.messages.next()
      const calls = [
        ...Array.from({ length: 20 }, (_, index) => a.peer.send(note('b', `m${index}`))),
        a.peer.revoke({ to: 'b', id: 'x' }),
        held.claim(),
      ]
      await Promise.all([a.peer.close(), a.peer.close()])
      const ends = await Promise.allSettled(calls)
      for (const end of ends) if (end.status === 'rejected') assert.equal(codeOf(end.reason), 'CLOSED')
      assert.equal((await a.peer.closed).code, 'CLOSED')
      await a.peer.drain()
      await assert.rejects(held.ack(), { code: 'CLOSED' })
      await assert.rejects(held.claim(), { code: 'CLOSED' })
      await assert.rejects(a.peer.fence({ address: 'b', incarnation: 'b-1' }), { code: 'CLOSED' })
    },
  },
  {
    name: 'closing a bus closes its peers and refuses new ones with CLOSED',
    async run(harness) {
      const bus = await harness.bus()
      const stations = await Promise.all(['a', 'b', 'c'].map((address) => open(bus, address)))
      await bus.close()
      await bus.close()
      for (const { peer } of stations) assert.equal((await peer.closed).code, 'CLOSED')
      await assert.rejects(open(bus, 'd'), { code: 'CLOSED' })
    },
  },
]
