/** D9, D10: what time alone changes. Nothing is forgotten before its time, everything some time after. */
import { codeOf } from '@greenroom/proto'
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { bytes, eventually, note, open, text } from './station.ts'

const windowMs = 60_000
const dedupe = { controls: ['advance', 'settings'], settings: { dedupeWindowMs: windowMs } } as const
const ttl = { needs: ['ttl'], controls: ['advance'] } as const
const run = { kind: 'run' } as const

/** Dedupe windows and times to live. */
export const windowCases: readonly BusCase[] = [
  {
    ...dedupe,
    name: 'an id that was acked is the same message for the dedupe window, and a new one after it',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      const { seq } = await a.peer.send(note('b', 'm1'))
      await (await b.messages.next()).ack()
      await harness.advance?.(windowMs - 1)
      assert.deepEqual(await a.peer.send(note('b', 'm1')), { seq, duplicate: true })
      await eventually(harness, async () => !(await a.peer.send(note('b', 'm1'))).duplicate)
      const again = await b.messages.next()
      assert.deepEqual([again.id, again.attempt], ['m1', 1])
    },
  },
  {
    ...dedupe,
    name: 'what waits is the same message however long it waits',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('b', 'm1'))
      await harness.advance?.(3 * windowMs)
      assert.equal((await a.peer.send(note('b', 'm1'))).duplicate, true)
      await assert.rejects(a.peer.send({ ...note('b', 'm1'), payload: bytes('other') }), { code: 'ID_CONFLICT' })
    },
  },
  {
    ...dedupe,
    name: 'other content is refused with ID_CONFLICT for the dedupe window, and is a new message after it',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      const other = { ...note('b', 'm1'), payload: bytes('other') }
      await a.peer.send(note('b', 'm1'))
      await (await b.messages.next()).ack()
      await harness.advance?.(windowMs - 1)
      await assert.rejects(a.peer.send(other), { code: 'ID_CONFLICT' })
      const isTaken = (): Promise<boolean> => a.peer.send(other).then(() => true, refusedWith('ID_CONFLICT'))
      await eventually(harness, isTaken)
      assert.equal(text((await b.messages.next()).payload), 'other')
    },
  },
  {
    ...dedupe,
    name: 'a revoked id is refused for the dedupe window, whether it ever came or not, and is a new one after it',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('b', 'came', run))
      assert.equal(await a.peer.revoke({ to: 'b', id: 'came' }), 'withdrawn')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'never' }), 'unknown')
      await harness.advance?.(windowMs - 1)
      for (const id of ['came', 'never']) {
        await assert.rejects(a.peer.send(note('b', id, run)), { code: 'REVOKED' })
        assert.equal(await a.peer.revoke({ to: 'b', id }), 'withdrawn')
      }
      const b = await open(await harness.bus(), 'b')
      for (const id of ['came', 'never']) {
        await eventually(harness, () => a.peer.send(note('b', id, run)).then(() => true, refusedWith('REVOKED')))
        assert.equal((await b.messages.next()).id, id)
      }
    },
  },
  {
    ...dedupe,
    name: 'a claim is remembered for the dedupe window: it may be repeated, and nothing withdraws it',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      await a.peer.send(note('b', 'r1', run))
      const message = await b.messages.next()
      await message.claim()
      await harness.advance?.(windowMs - 1)
      await message.claim()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'claimed')
      await eventually(harness, async () => (await a.peer.revoke({ to: 'b', id: 'r1' })) === 'unknown')
      await assert.rejects(message.claim())
    },
  },
  {
    ...ttl,
    name: 'a message whose time to live is over is not delivered',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send({ ...note('b', 'short'), ttlMs: 1000 })
      await a.peer.send({ ...note('b', 'long'), ttlMs: 1001 })
      await harness.advance?.(1000)
      const b = await open(await harness.bus(), 'b')
      assert.equal((await b.messages.next()).id, 'long')
    },
  },
  {
    needs: ['ttl', 'durable'],
    controls: ['advance', 'restart'],
    name: 'a time to live runs on over a restart of the broker',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send({ ...note('b', 'short'), ttlMs: 1000 })
      await a.peer.send({ ...note('b', 'long'), ttlMs: 5000 })
      await harness.restart?.()
      await harness.advance?.(2000)
      const b = await open(await harness.bus(), 'b')
      assert.equal((await b.messages.next()).id, 'long')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'short' }), 'withdrawn')
    },
  },
  {
    ...ttl,
    name: 'a message whose time is over counts as withdrawn, its id stays taken, and nobody is told',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const message = { ...note('b', 'm1', run), ttlMs: 1_000 }
      await a.peer.send(message)
      await harness.advance?.(20_000)
      assert.equal((await a.peer.send(message)).duplicate, true)
      await assert.rejects(a.peer.send({ ...message, payload: bytes('other') }), { code: 'ID_CONFLICT' })
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm1' }), 'withdrawn')
      await a.peer.send(note('a', 'barrier'))
      assert.equal((await a.messages.next()).id, 'barrier')
    },
  },
  {
    ...ttl,
    name: 'who holds a message may finish it when its time is over; given back, it is dropped',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      for (const id of ['m1', 'm2']) await a.peer.send({ ...note('b', id), ttlMs: 1_000 })
      const [m1, m2] = await b.messages.take(2)
      await harness.advance?.(20_000)
      await m1?.claim()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm1' }), 'claimed')
      await m2?.nack()
      await a.peer.send(note('b', 'barrier'))
      assert.equal((await b.messages.next()).id, 'barrier')
    },
  },
  {
    name: 'a message whose time is over makes room',
    needs: ['ttl', 'quotas'],
    controls: ['advance', 'settings'],
    settings: { limits: { mailboxMessages: 1 } },
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send({ ...note('b', 'm1'), ttlMs: 1_000 })
      await assert.rejects(a.peer.send(note('b', 'm2')), { code: 'MAILBOX_FULL' })
      await eventually(harness, () => a.peer.send(note('b', 'm2')).then(() => true, refusedWith('MAILBOX_FULL')))
    },
  },
]

/** Not yet, when it is refused for this reason. */
function refusedWith(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.equal(codeOf(error), code)
    return false
  }
}
