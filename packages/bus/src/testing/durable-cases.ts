/** P1 to P3: what is sent is there once, in order, as far as credit goes, until it is settled. */
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { bytes, idsOf, note, open, text } from './station.ts'

/** The durable lane. */
export const durableCases: readonly BusCase[] = [
  {
    name: 'a message arrives with its content and the sender that the bus saw',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const payload = bytes('héllo')
      const receipt = await a.peer.send({ to: 'b', id: 'm1', kind: 'note', payload })
      assert.deepEqual(receipt, { seq: 1, duplicate: false })
      // From here on the bytes are its sender's again.
      payload.fill(0)
      const b = await open(await harness.bus(), 'b')
      const message = await b.messages.next()
      assert.equal(text(message.payload), 'héllo')
      const { id, kind, seq, attempt, from, fromIncarnation } = message
      const expected = { id: 'm1', kind: 'note', seq: 1, attempt: 1, from: 'a', fromIncarnation: 'a-1' }
      assert.deepEqual({ id, kind, seq, attempt, from, fromIncarnation }, expected)
    },
  },
  {
    name: 'an empty payload and a payload of every byte arrive as they are',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const every = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)
      await a.peer.send({ to: 'a', id: 'empty', kind: 'note', payload: new Uint8Array() })
      await a.peer.send({ to: 'a', id: 'every', kind: 'note', payload: every })
      const [first, second] = await a.messages.take(2)
      assert.equal(first?.payload.length, 0)
      assert.deepEqual(Buffer.from(second?.payload ?? []), Buffer.from(every))
    },
  },
  {
    name: 'messages sent before their mailbox has a consumer wait for it, in order',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      for (const id of ['m1', 'm2', 'm3']) await a.peer.send(note('b', id))
      const b = await open(await harness.bus(), 'b')
      assert.deepEqual(idsOf(await b.messages.take(3)), ['m1', 'm2', 'm3'])
    },
  },
  {
    name: 'sequence numbers grow by one and deliveries follow them',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { onMessage: (message) => void message.ack() })
      const receipts = await Promise.all(Array.from({ length: 300 }, (_, index) => a.peer.send(note('b', `m${index}`))))
      const seqs = Array.from({ length: 300 }, (_, index) => index + 1)
      assert.deepEqual(
        receipts.map(({ seq }) => seq),
        seqs,
      )
      const messages = await b.messages.take(300)
      assert.deepEqual(
        messages.map(({ seq }) => seq),
        seqs,
      )
      assert.deepEqual(
        idsOf(messages),
        seqs.map((seq) => `m${seq - 1}`),
      )
    },
  },
  {
    name: 'the same id and content again is the same message, delivered once, even after its ack',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      const first = await a.peer.send(note('b', 'm1'))
      assert.deepEqual(await a.peer.send(note('b', 'm1')), { seq: first.seq, duplicate: true })
      await (await b.messages.next()).ack()
      assert.deepEqual(await a.peer.send(note('b', 'm1')), { seq: first.seq, duplicate: true })
      await a.peer.send(note('b', 'm2'))
      assert.equal((await b.messages.next()).id, 'm2')
    },
  },
  {
    name: 'the same id with another payload or kind is refused with ID_CONFLICT',
    async run(harness) {
      const { peer } = await open(await harness.bus(), 'a')
      await peer.send({ to: 'b', id: 'm1', kind: 'note', payload: bytes('one') })
      const conflict = { code: 'ID_CONFLICT' }
      await assert.rejects(peer.send({ to: 'b', id: 'm1', kind: 'note', payload: bytes('two') }), conflict)
      await assert.rejects(peer.send({ to: 'b', id: 'm1', kind: 'other', payload: bytes('one') }), conflict)
      assert.equal((await peer.send({ to: 'c', id: 'm1', kind: 'note', payload: bytes('two') })).duplicate, false)
    },
  },
  {
    name: 'a payload above the limit is refused with FRAME_TOO_LARGE and the peer goes on',
    async run(harness) {
      const { peer } = await open(await harness.bus(), 'a')
      const payload = new Uint8Array(8 * 1024 * 1024 + 1)
      await assert.rejects(peer.send({ to: 'b', id: 'm1', kind: 'note', payload }), { code: 'FRAME_TOO_LARGE' })
      assert.equal((await peer.send(note('b', 'm2'))).seq, 1)
    },
  },
  {
    name: 'credit bounds what is held, and ack, nack and claim give it back',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 2 })
      for (let index = 1; index <= 6; index += 1) await a.peer.send(note('b', `m${index}`))
      await a.peer.send(note('b', 'control', { control: true }))
      const held = await b.messages.take(3)
      assert.deepEqual(idsOf(held).toSorted(), ['control', 'm1', 'm2'])
      const [m1, m2] = held.filter(({ id }) => id !== 'control')
      await m1?.ack()
      const m3 = await b.messages.next()
      await m2?.claim()
      const m4 = await b.messages.next()
      await m3.nack({ delayMs: 60_000 })
      const m5 = await b.messages.next()
      assert.deepEqual(idsOf([m3, m4, m5]), ['m3', 'm4', 'm5'])
      await a.peer.send(note('b', 'barrier', { control: true }))
      assert.equal((await b.messages.next()).id, 'barrier')
    },
  },
  {
    name: 'credit for control bounds what is held of it, and does not count data',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 4, controlCredit: 1 })
      for (const id of ['c1', 'c2']) await a.peer.send(note('b', id, { control: true }))
      await a.peer.send(note('b', 'd1'))
      const [c1, d1] = await b.messages.take(2)
      assert.deepEqual([c1?.id, d1?.id], ['c1', 'd1'])
      await c1?.ack()
      assert.equal((await b.messages.next()).id, 'c2')
    },
  },
  {
    name: 'control is not held up by data that waits, nor data by control',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1, controlCredit: 1 })
      for (const id of ['d1', 'd2', 'd3']) await a.peer.send(note('b', id))
      for (const id of ['c1', 'c2', 'c3']) await a.peer.send(note('b', id, { control: true }))
      const [d1, c1] = await b.messages.take(2)
      assert.deepEqual([d1?.id, c1?.id], ['d1', 'c1'])
      await c1?.ack()
      const c2 = await b.messages.next()
      assert.equal(c2.id, 'c2')
      await d1?.ack()
      assert.equal((await b.messages.next()).id, 'd2')
      await c2.ack()
      assert.equal((await b.messages.next()).id, 'c3')
    },
  },
  {
    name: 'nack brings a message back before the next one, with its attempt one higher',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      for (const attempt of [1, 2, 3]) {
        const message = await b.messages.next()
        assert.deepEqual([message.id, message.attempt, message.seq], ['m1', attempt, 1])
        if (attempt < 3) await message.nack()
        else await message.ack()
      }
      const message = await b.messages.next()
      assert.deepEqual([message.id, message.attempt], ['m2', 1])
    },
  },
  {
    name: 'a nack with a delay lets the next messages by, then brings it back',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      await (await b.messages.next()).nack({ delayMs: 50 })
      const m2 = await b.messages.next()
      assert.equal(m2.id, 'm2')
      await m2.ack()
      await harness.advance?.(50)
      const again = await b.messages.next()
      assert.deepEqual([again.id, again.attempt], ['m1', 2])
    },
  },
  {
    name: 'of ack and nack the first stands: what is said of a delivery afterwards changes nothing and is no error',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      await a.peer.send(note('b', 'm1'))
      const first = await b.messages.next()
      await first.nack()
      const second = await b.messages.next()
      assert.deepEqual([second.id, second.attempt], ['m1', 2])
      await first.ack()
      await first.nack()
      await second.nack({ delayMs: 60_000 })
      await second.ack()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm1' }), 'withdrawn')
      await a.peer.send(note('b', 'm2'))
      const third = await b.messages.next()
      await third.ack()
      await third.nack()
      await third.ack()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm2' }), 'claimed')
    },
  },
  {
    name: 'what a handler throws reaches onError, and the message stays held until it is settled',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const held: { ack(): Promise<void> }[] = []
      const onMessage = (message: { readonly id: string; ack(): Promise<void> }): void => {
        if (message.id !== 'bad') return
        held.push(message)
        throw new Error('no handler')
      }
      const b = await open(await harness.bus(), 'b', { credit: 1, onMessage })
      await a.peer.send(note('b', 'bad'))
      await a.peer.send(note('b', 'good'))
      assert.match(String(await b.errors.next()), /no handler/)
      assert.equal(b.messages.length, 0)
      await held[0]?.ack()
      assert.equal((await b.messages.next()).id, 'good')
    },
  },
  {
    name: 'fifty senders at once lose nothing, and each keeps its order',
    async run(harness) {
      const all = 50 * 40
      const b = await open(await harness.bus(), 'b', { credit: 16, onMessage: (message) => void message.ack() })
      const bus = await harness.bus()
      const senders = await Promise.all(Array.from({ length: 50 }, (_, index) => open(bus, `s${index}`)))
      const sent = senders.flatMap(({ peer }) =>
        Array.from({ length: 40 }, (_, index) => peer.send(note('b', `${peer.address}-${index}`))),
      )
      const messages = await b.messages.take(all)
      const receipts = await Promise.all(sent)
      assert.equal(new Set(receipts.map(({ seq }) => seq)).size, all)
      assert.equal(new Set(idsOf(messages)).size, all)
      for (const { peer } of senders) {
        const own = messages.filter(({ from }) => from === peer.address)
        assert.deepEqual(
          idsOf(own),
          Array.from({ length: 40 }, (_, index) => `${peer.address}-${index}`),
        )
      }
    },
  },
]
