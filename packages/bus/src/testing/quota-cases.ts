/** D1: how much may wait, and what becomes of what is too much. */
import assert from 'node:assert/strict'
import type { BusCase, BusSettings } from './bus-case.ts'
import { bytes, idsOf, note, open } from './station.ts'

const quotas = { needs: ['quotas'], controls: ['settings'] } as const
const tenBytes = bytes('0123456789')

/** Three messages of ten bytes fill it, the fourth has to wait. */
const limits: readonly (readonly [what: string, limits: NonNullable<BusSettings['limits']>, others: string])[] = [
  ['messages of a mailbox', { mailboxMessages: 3 }, 'b'],
  ['bytes of a mailbox', { mailboxBytes: 30 }, 'b'],
  ['messages in total', { totalMessages: 3 }, 'c'],
  ['bytes in total', { totalBytes: 30 }, 'c'],
]

function fullCase([what, limit, others]: (typeof limits)[number]): BusCase {
  return {
    ...quotas,
    name: `beyond the ${what} a send is refused with MAILBOX_FULL, nothing of it is kept, and acks make room`,
    settings: { limits: limit },
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      const message = (to: string, id: string) => ({ ...note(to, id), payload: tenBytes })
      await a.peer.send(message('b', 'm1'))
      for (const id of ['m2', 'm3']) await a.peer.send(message(others, id))
      for (let round = 0; round < 3; round += 1)
        await assert.rejects(a.peer.send(message('b', 'm4')), { code: 'MAILBOX_FULL', retry: 'later' })
      // It is full: not even the smallest gets in.
      await assert.rejects(a.peer.send({ ...note('b', 'm4'), payload: bytes('0') }), { code: 'MAILBOX_FULL' })
      assert.equal((await a.peer.send(message('b', 'm1'))).duplicate, true)
      await (await b.messages.next()).ack()
      assert.equal((await a.peer.send(message('b', 'm4'))).duplicate, false)
      await assert.rejects(a.peer.send(message('b', 'm5')), { code: 'MAILBOX_FULL' })
      const c = others === 'b' ? b : await open(await harness.bus(), 'c')
      assert.deepEqual([...idsOf(await c.messages.take(2)), (await b.messages.next()).id], ['m2', 'm3', 'm4'])
      assert.equal(b.messages.length + c.messages.length, 0)
      assert.equal(await a.peer.revoke({ to: others, id: 'm3' }), 'withdrawn')
      assert.equal((await a.peer.send(message('b', 'm5'))).duplicate, false)
    },
  }
}

/** What is being committed counts, too. */
function manyCase(name: string, limit: NonNullable<BusSettings['limits']>, mailboxes: readonly string[]): BusCase {
  return {
    ...quotas,
    name,
    settings: { limits: limit },
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const sends = Array.from({ length: 50 / mailboxes.length }, (_, index) =>
        mailboxes.map((to) => a.peer.send(note(to, `m${index}`))),
      )
      const ends = await Promise.allSettled(sends.flat())
      assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, 10)
      for (const to of mailboxes) {
        const { messages } = await open(await harness.bus(), to)
        assert.equal((await messages.take(10 / mailboxes.length)).length, 10 / mailboxes.length)
        assert.equal(messages.length, 0)
      }
    },
  }
}

/** Quotas. */
export const quotaCases: readonly BusCase[] = [
  ...limits.map(fullCase),
  manyCase('of many sends at once none gets beyond the quota', { mailboxMessages: 10 }, ['b']),
  manyCase('of many sends at once, to many mailboxes, none gets beyond the quota of all', { totalMessages: 10 }, [
    'b',
    'c',
    'd',
    'e',
    'f',
  ]),
  {
    ...quotas,
    name: 'who is told that a message was not delivered is told it in a full mailbox too',
    settings: { limits: { mailboxMessages: 2 } },
    async run(harness) {
      const a = await open(await harness.bus(), 'a', { credit: 2 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('a', id))
      await a.messages.take(2)
      const b = await open(await harness.bus(), 'b', { lifetime: 'incarnation' })
      for (const id of ['n1', 'n2']) await a.peer.send(note('b', id))
      await b.messages.take(2)
      await b.peer.drain()
      const notices = await a.messages.take(2)
      assert.deepEqual(
        notices.map(({ kind }) => kind),
        ['undeliverable', 'undeliverable'],
      )
      await assert.rejects(a.peer.send(note('a', 'm3')), { code: 'MAILBOX_FULL' })
    },
  },
]
