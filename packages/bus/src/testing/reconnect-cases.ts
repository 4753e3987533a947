/** P3, P6: a lost connection and a restart of the broker change nothing but the time that things take. */
import { codeOf } from '@greenroom/proto'
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { note, open, text, type Station } from './station.ts'

const cut = { controls: ['cut'] } as const
const restart = { needs: ['durable'], controls: ['restart'] } as const

async function back(station: Station): Promise<void> {
  await station.states.until((state) => state === 'attached')
}

/** Reconnecting. */
export const reconnectCases: readonly BusCase[] = [
  {
    ...cut,
    name: 'what was delivered before a cut stays held: it does not come again, counts no attempt, and can be settled',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      for (const id of ['m1', 'm2', 'm3']) await a.peer.send(note('b', id))
      const [m1, m2, m3] = await b.messages.take(3)
      for (let round = 0; round < 3; round += 1) {
        await harness.cut?.('b')
        await back(b)
      }
      await a.peer.send(note('b', 'm4'))
      assert.equal((await b.messages.next()).id, 'm4')
      await m1?.ack()
      await m2?.claim()
      await m3?.nack()
      const again = await b.messages.next()
      assert.deepEqual([again.id, again.attempt], ['m3', 2])
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm2' }), 'claimed')
    },
  },
  {
    ...cut,
    name: 'a peer says that it is lost and attached again, and keeps its state by then',
    async run(harness) {
      const b = await open(await harness.bus(), 'b')
      assert.equal(b.peer.state, 'attached')
      await harness.cut?.('b')
      assert.deepEqual(await b.states.take(2), ['lost', 'attached'])
      assert.equal(b.peer.state, 'attached')
    },
  },
  {
    ...cut,
    name: 'calls made while the connection is lost are through when it is back',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      for (const id of ['m1', 'm2', 'm3']) await a.peer.send(note('b', id))
      const m1 = await b.messages.next()
      await harness.cut?.('b')
      const acked = m1.ack()
      const sent = b.peer.send(note('a', 'answer'))
      const revoked = b.peer.revoke({ to: 'b', id: 'm2' })
      const fenced = b.peer.fence({ address: 'x', incarnation: 'x-1' })
      await Promise.all([acked, fenced])
      assert.equal((await sent).duplicate, false)
      assert.equal((await a.messages.next()).id, 'answer')
      const m = await b.messages.next()
      if ((await revoked) === 'withdrawn' && m.id === 'm2') await assert.rejects(m.claim(), { code: 'REVOKED' })
      else assert.equal(m.id, 'm3')
    },
  },
  {
    ...cut,
    name: 'cut again and again on both sides, every message arrives once, in order, with attempt 1',
    async run(harness) {
      const b = await open(await harness.bus(), 'b', { credit: 8, onMessage: (message) => void message.ack() })
      const a = await open(await harness.bus(), 'a')
      const sent: Promise<unknown>[] = []
      for (let index = 0; index < 200; index += 1) {
        sent.push(a.peer.send(note('b', `m${index}`)))
        if (index % 40 === 20) await harness.cut?.('a')
        if (index % 40 === 30) await harness.cut?.('b')
      }
      await Promise.all(sent)
      const messages = await b.messages.take(200)
      assert.deepEqual(
        messages.map(({ id, attempt }) => [id, attempt]),
        Array.from({ length: 200 }, (_, index) => [`m${index}`, 1]),
      )
      await a.peer.send(note('b', 'last'))
      assert.equal((await b.messages.next()).id, 'last')
    },
  },
  {
    ...cut,
    name: 'a claim that is cut off is confirmed after all, and revoke agrees',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      for (let round = 0; round < 20; round += 1) {
        const id = `r${round}`
        await a.peer.send(note('b', id, { kind: 'run' }))
        const message = await b.messages.next()
        const claim = message.claim().then(
          () => 'claimed',
          (error: unknown) => codeOf(error) ?? String(error),
        )
        const [answer] = await Promise.all([a.peer.revoke({ to: 'b', id }), harness.cut?.('b')])
        assert.equal(await claim, answer === 'claimed' ? 'claimed' : 'REVOKED')
        await back(b)
      }
    },
  },
  {
    ...cut,
    name: 'a peer that was replaced while its connection was lost does not come back',
    async run(harness) {
      const b = await open(await harness.bus(), 'b')
      const other = await harness.bus()
      await harness.cut?.('b')
      const young = await open(other, 'b', { incarnation: 'b-2' })
      assert.equal((await b.peer.closed).code, 'REPLACED')
      assert.equal(young.peer.state, 'attached')
    },
  },
  {
    ...cut,
    name: 'watches and announcements go on over a cut',
    async run(harness) {
      const watcher = await open(await harness.bus(), 'w')
      const seen: string[] = []
      let wake = (): void => {}
      watcher.peer.watch('r', ({ address, state, presence }) => {
        seen.push(`${address} ${state} ${presence.load ?? 0}`)
        wake()
      })
      const told = async (what: string): Promise<void> => {
        while (!seen.includes(what)) {
          const { promise, resolve } = Promise.withResolvers<void>()
          wake = resolve
          await promise
        }
      }
      const one = await open(await harness.bus(), 'one', { presence: { role: 'r' } })
      await told('one attached 0')
      await harness.cut?.('one')
      one.peer.announce({ role: 'r', load: 1 })
      await told('one suspect 0')
      await told('one attached 1')
      await harness.cut?.('w')
      await open(await harness.bus(), 'two', { presence: { role: 'r' } })
      one.peer.announce({ role: 'r', load: 0.5 })
      await told('two attached 0')
      await told('one attached 0.5')
      assert.ok(!seen.some((line) => line.includes('gone')))
    },
  },
  {
    ...restart,
    name: 'messages, ids, claims and revocations outlive a restart of the broker',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      await a.peer.send(note('b', 'claimed', { kind: 'run' }))
      const message = await b.messages.next()
      await message.claim()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'revoked' }), 'unknown')
      await a.peer.send(note('c', 'm1'))
      await a.peer.send(note('c', 'withdrawn'))
      assert.equal(await a.peer.revoke({ to: 'c', id: 'withdrawn' }), 'withdrawn')
      await harness.restart?.()
      await assert.rejects(a.peer.send(note('c', 'withdrawn')), { code: 'REVOKED' })
      assert.equal(await a.peer.revoke({ to: 'b', id: 'claimed' }), 'claimed')
      await message.claim()
      await assert.rejects(a.peer.send(note('b', 'revoked')), { code: 'REVOKED' })
      assert.deepEqual(await a.peer.send(note('c', 'm1')), { seq: 1, duplicate: true })
      const c = await open(await harness.bus(), 'c')
      const { id, kind, from, fromIncarnation, payload } = await c.messages.next()
      assert.deepEqual([id, kind, from, fromIncarnation, text(payload)], ['m1', 'note', 'a', 'a-1', 'm1'])
    },
  },
  {
    ...restart,
    name: 'held messages stay held over a restart of the broker, and what was acked meanwhile is gone',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { lifetime: 'incarnation', credit: 2 })
      for (const id of ['m1', 'm2', 'm3']) await a.peer.send(note('b', id))
      const [m1, m2] = await b.messages.take(2)
      await m1?.ack()
      assert.equal((await b.messages.next()).id, 'm3')
      const restarted = harness.restart?.()
      const acked = m2?.ack()
      await restarted
      await acked
      await a.peer.send(note('b', 'm4'))
      const m4 = await b.messages.next()
      assert.deepEqual([m4.id, m4.attempt], ['m4', 1])
      assert.equal(b.messages.length, 0)
    },
  },
  {
    ...restart,
    controls: ['restart', 'advance'],
    name: 'a nack with a delay waits its time out over a restart of the broker',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      await (await b.messages.next()).nack({ delayMs: 10_000 })
      assert.equal((await b.messages.next()).id, 'm2')
      await harness.restart?.()
      await back(b)
      await a.peer.send(note('b', 'barrier', { control: true }))
      assert.equal((await b.messages.next()).id, 'barrier')
      await a.peer.revoke({ to: 'b', id: 'm2' })
      await a.peer.send(note('b', 'm3'))
      const m3 = await b.messages.next()
      assert.equal(m3.id, 'm3')
      await harness.advance?.(9_999)
      await m3.ack()
      await a.peer.send(note('b', 'm4'))
      const m4 = await b.messages.next()
      assert.equal(m4.id, 'm4')
      await m4.ack()
      await harness.advance?.(1)
      const again = await b.messages.next()
      assert.deepEqual([again.id, again.attempt], ['m1', 2])
    },
  },
  {
    ...restart,
    name: 'what a consumer held before a restart of the broker goes to the next one, with one attempt more',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 2 })
      for (const id of ['acked', 'held', 'waiting']) await a.peer.send(note('b', id))
      const [acked] = await b.messages.take(2)
      await acked?.ack()
      await b.messages.next()
      await b.peer.close()
      await a.peer.send(note('b', 'late'))
      await harness.restart?.()
      const next = await open(await harness.bus(), 'b', { incarnation: 'b-2' })
      const messages = await next.messages.take(3)
      assert.deepEqual(
        messages.map(({ id, attempt }) => [id, attempt]),
        [
          ['held', 2],
          ['waiting', 2],
          ['late', 1],
        ],
      )
    },
  },
]
