/** D8: how mailboxes end, other than with their incarnation. */
import assert from 'node:assert/strict'
import type { BusCase, BusHarness } from './bus-case.ts'
import { eventually, note, open, operatorOf, Queue, text, type Station } from './station.ts'

const operated = { controls: ['operator'] } as const
const ttlMs = 240_000

async function addresses(harness: BusHarness): Promise<string[]> {
  return (await (await operatorOf(harness)).mailboxes()).map(({ address }) => address)
}

/** Where a sender is told what became of its note, and its run may not start any more. */
async function returned(a: Station): Promise<void> {
  const notice = await a.messages.next()
  assert.deepEqual([notice.kind, notice.from], ['undeliverable', 'b'])
  assert.deepEqual(JSON.parse(text(notice.payload)), { to: 'b', id: 'n1', kind: 'note' })
  assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
}

/** Life cycle of mailboxes. */
export const mailboxCases: readonly BusCase[] = [
  {
    name: 'an operator sees whose a mailbox is and what is in it',
    controls: ['operator', 'advance'],
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { lifetime: 'incarnation', credit: 1 })
      await a.peer.send(note('b', 'm1'))
      await harness.advance?.(1_000)
      await a.peer.send(note('b', 'm22'))
      const { at: oldestAt } = await b.messages.next()
      await a.peer.send(note('c', 'm1'))
      const [inA, inB, inC, ...more] = await (await operatorOf(harness)).mailboxes()
      assert.equal(more.length, 0)
      const empty = { messages: 0, held: 0, bytes: 0, deadLetters: 0 }
      assert.deepEqual(inA, { ...empty, address: 'a', lifetime: 'named', incarnation: 'a-1', state: 'attached' })
      const ofB = { address: 'b', lifetime: 'incarnation', incarnation: 'b-1', state: 'attached', oldestAt }
      assert.deepEqual(inB, { ...ofB, messages: 2, held: 1, bytes: 5, deadLetters: 0 })
      assert.ok(inC?.oldestAt !== undefined && inC.oldestAt > oldestAt)
      const { oldestAt: _, ...factsC } = inC
      assert.deepEqual(factsC, { ...empty, address: 'c', state: 'free', messages: 1, bytes: 2 })
      await b.peer.drain()
      assert.deepEqual(await addresses(harness), ['a', 'c'])
      const d = await open(await harness.bus(), 'd', { presence: { role: 'r' } })
      const states = new Queue<string>()
      a.peer.watch('r', ({ state }) => states.push(state))
      assert.equal(await states.next(), 'attached')
      await d.peer.close()
      assert.equal(await states.next(), 'suspect')
      const left = (await (await operatorOf(harness)).mailboxes()).find(({ address }) => address === 'd')
      assert.deepEqual(left, { ...empty, address: 'd', lifetime: 'named', incarnation: 'd-1', state: 'suspect' })
    },
  },
  {
    ...operated,
    name: 'a mailbox that an operator deletes returns what is in it, and its ids stay taken',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      const operator = await operatorOf(harness)
      await assert.rejects(operator.deleteMailbox('b'), { code: 'MAILBOX_IN_USE' })
      await a.peer.send(note('b', 'acked'))
      await (await b.messages.next()).ack()
      await b.peer.drain()
      await a.peer.send(note('b', 'n1'))
      await a.peer.send(note('b', 'r1', { kind: 'run' }))
      await operator.deleteMailbox('b')
      assert.deepEqual(await addresses(harness), ['a'])
      await returned(a)
      for (const id of ['n1', 'r1']) await assert.rejects(a.peer.send(note('b', id)), { code: 'REVOKED' })
      assert.equal((await a.peer.send(note('b', 'acked'))).duplicate, true)
      for (const address of ['b', 'never']) {
        const unknown = { code: 'UNKNOWN_MAILBOX' }
        await assert.rejects(operator.deleteMailbox(address), unknown)
      }
      await a.peer.send(note('b', 'n2'))
      assert.deepEqual(await addresses(harness), ['a', 'b'])
      const again = await open(await harness.bus(), 'b', { incarnation: 'b-2' })
      assert.equal((await again.messages.next()).id, 'n2')
    },
  },
  {
    name: 'a mailbox that nobody uses for its time returns what is in it; one that is used, or that somebody has, stays',
    controls: ['operator', 'settings', 'advance'],
    settings: { dedupeWindowMs: 60_000, mailboxTtlMs: ttlMs },
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      await b.peer.drain()
      await a.peer.send(note('b', 'n1'))
      await a.peer.send(note('b', 'r1', { kind: 'run' }))
      await a.peer.send(note('c', 'm1'))
      await harness.advance?.(ttlMs - 1)
      assert.deepEqual(await addresses(harness), ['a', 'b', 'c'])
      await a.peer.send(note('c', 'm2'))
      await eventually(harness, async () => !(await addresses(harness)).includes('b'))
      await returned(a)
      assert.deepEqual(await addresses(harness), ['a', 'c'])
      await eventually(harness, async () => !(await addresses(harness)).includes('c'))
      assert.deepEqual(await addresses(harness), ['a'])
    },
  },
  {
    name: 'what an operator sees outlives the broker',
    needs: ['durable'],
    controls: ['operator', 'restart'],
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('b', 'm1'))
      const [, before] = await (await operatorOf(harness)).mailboxes()
      await harness.restart?.()
      const [, after] = await (await operatorOf(harness)).mailboxes()
      assert.equal(after?.address, 'b')
      assert.deepEqual(after, before)
    },
  },
]
