/** D4: what comes back too often becomes a dead letter, which a person requeues or purges. */
import assert from 'node:assert/strict'
import type { BusCase, BusHarness } from './bus-case.ts'
import { bytes, eventually, note, open, operatorOf, text, type Station } from './station.ts'

const twice = {
  needs: ['dead-letters'],
  controls: ['operator', 'settings'],
  settings: { maxAttempts: 2, dedupeWindowMs: 60_000 },
} as const
const poison = { address: 'b', id: 'poison' } as const
const unknown = { code: 'UNKNOWN_LETTER' }

/** A sender, a consumer, and a dead letter of the consumer's mailbox. */
async function poisoned(harness: BusHarness): Promise<readonly [Station, Station]> {
  const a = await open(await harness.bus(), 'a')
  const b = await open(await harness.bus(), 'b', { credit: 1 })
  await a.peer.send(note('b', 'poison'))
  for (let attempt = 1; attempt <= 2; attempt += 1) await (await b.messages.next()).nack()
  return [a, b]
}

/** Dead letters. */
export const letterCases: readonly BusCase[] = [
  {
    ...twice,
    name: 'a message that came back too often is kept aside with its history and payload, and holds up nobody',
    async run(harness) {
      const [a, b] = await poisoned(harness)
      await a.peer.send(note('b', 'next'))
      assert.equal((await b.messages.next()).id, 'next')
      const operator = await operatorOf(harness)
      const [listed, ...more] = await operator.deadLetters('b')
      assert.equal(more.length, 0)
      const { letter, payload } = await operator.deadLetter(poison)
      assert.deepEqual(letter, listed)
      assert.equal(text(payload), 'poison')
      const { history, at, ...facts } = letter
      const expected = { ...poison, kind: 'note', from: 'a', fromIncarnation: 'a-1', seq: 1, size: 6, attempts: 2 }
      assert.deepEqual(facts, expected)
      assert.deepEqual(
        history.map(({ why, by }) => [why, by]),
        [
          ['nack', 'b-1'],
          ['nack', 'b-1'],
        ],
      )
      assert.ok(history.every((one) => one.at >= at))
      assert.deepEqual(await operator.deadLetters(), [letter])
      assert.deepEqual(await operator.deadLetters('a'), [])
    },
  },
  {
    ...twice,
    name: 'consumers that are gone or were replaced count as returns, by name',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('b', 'poison'))
      const first = await open(await harness.bus(), 'b', { incarnation: 'b-1' })
      await first.messages.next()
      const second = await open(await harness.bus(), 'b', { incarnation: 'b-2' })
      assert.equal((await second.messages.next()).attempt, 2)
      await second.peer.drain()
      const { letter } = await (await operatorOf(harness)).deadLetter(poison)
      assert.deepEqual(
        letter.history.map(({ why, by }) => [why, by]),
        [
          ['replaced', 'b-1'],
          ['gone', 'b-2'],
        ],
      )
    },
  },
  {
    ...twice,
    name: 'a message of an incarnation becomes no dead letter',
    async run(harness) {
      const b = await open(await harness.bus(), 'b', { lifetime: 'incarnation' })
      await b.peer.send(note('b', 'poison'))
      for (let attempt = 1; attempt <= 5; attempt += 1) {
        const message = await b.messages.next()
        assert.equal(message.attempt, attempt)
        await message.nack()
      }
      assert.deepEqual(await (await operatorOf(harness)).deadLetters(), [])
    },
  },
  {
    ...twice,
    name: 'a requeued letter comes as if it had just been sent, and is no letter any more',
    async run(harness) {
      const [, b] = await poisoned(harness)
      const operator = await operatorOf(harness)
      await operator.requeue(poison)
      const again = await b.messages.next()
      assert.deepEqual([again.id, again.attempt, again.seq, again.from], ['poison', 1, 2, 'a'])
      assert.equal(text(again.payload), 'poison')
      assert.deepEqual(await operator.deadLetters(), [])
      await assert.rejects(operator.requeue(poison), unknown)
      await again.nack()
      await (await b.messages.next()).nack()
      assert.equal((await operator.deadLetter(poison)).letter.attempts, 2)
    },
  },
  {
    ...twice,
    name: 'a letter is requeued also when its time to live is over, and has none any more',
    needs: ['dead-letters', 'ttl'],
    controls: [...twice.controls, 'advance'],
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      await a.peer.send({ ...note('b', 'poison'), ttlMs: 5_000 })
      for (let attempt = 1; attempt <= 2; attempt += 1) await (await b.messages.next()).nack()
      await a.peer.send(note('b', 'ahead'))
      const ahead = await b.messages.next()
      await harness.advance?.(20_000)
      await (await operatorOf(harness)).requeue(poison)
      await a.peer.send(note('b', 'behind'))
      await harness.advance?.(20_000)
      await ahead.ack()
      assert.equal((await b.messages.next()).id, 'poison')
    },
  },
  {
    ...twice,
    name: 'a letter for which there is no room stays one',
    settings: { ...twice.settings, limits: { mailboxMessages: 1 } },
    async run(harness) {
      const [a, b] = await poisoned(harness)
      await a.peer.send(note('b', 'm1'))
      const operator = await operatorOf(harness)
      await assert.rejects(operator.requeue(poison), { code: 'MAILBOX_FULL' })
      await (await b.messages.next()).ack()
      await operator.requeue(poison)
      assert.equal((await b.messages.next()).id, 'poison')
    },
  },
  {
    ...twice,
    name: 'the id of a letter is taken as long as it is there: sent again it is a duplicate, with other content a conflict',
    controls: [...twice.controls, 'advance'],
    async run(harness) {
      const [a, b] = await poisoned(harness)
      await harness.advance?.(200_000)
      assert.equal((await a.peer.send(note('b', 'poison'))).duplicate, true)
      await assert.rejects(a.peer.send({ ...note('b', 'poison'), payload: bytes('other') }), { code: 'ID_CONFLICT' })
      await (await operatorOf(harness)).purge(poison)
      await eventually(harness, async () => !(await a.peer.send(note('b', 'poison'))).duplicate)
      assert.equal((await b.messages.next()).id, 'poison')
    },
  },
  {
    ...twice,
    name: 'a revoked letter is withdrawn, and is no letter any more',
    async run(harness) {
      const [a] = await poisoned(harness)
      assert.equal(await a.peer.revoke({ to: 'b', id: 'poison' }), 'withdrawn')
      await assert.rejects((await operatorOf(harness)).requeue(poison), unknown)
      await assert.rejects(a.peer.send(note('b', 'poison')), { code: 'REVOKED' })
    },
  },
  {
    ...twice,
    name: 'letters are purged one by one or all of a mailbox, are counted, and stay taken',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      for (const [to, ids] of [
        ['b', ['m1', 'm2', 'm3']],
        ['c', ['m1']],
      ] as const) {
        const { messages } = await open(await harness.bus(), to)
        for (const id of ids) await a.peer.send(note(to, id))
        for (let count = 0; count < 2 * ids.length; count += 1) await (await messages.next()).nack()
      }
      const operator = await operatorOf(harness)
      assert.equal((await operator.deadLetters()).length, 4)
      assert.deepEqual(
        (await operator.mailboxes()).map(({ address, messages, deadLetters }) => [address, messages, deadLetters]),
        [
          ['a', 0, 0],
          ['b', 0, 3],
          ['c', 0, 1],
        ],
      )
      assert.equal(await operator.purge({ address: 'b', id: 'm2' }), 1)
      await assert.rejects(operator.purge({ address: 'b', id: 'm2' }), unknown)
      assert.equal(await operator.purge({ address: 'b' }), 2)
      await assert.rejects(operator.purge({ address: 'b' }), unknown)
      assert.deepEqual(
        (await operator.deadLetters()).map(({ address, id }) => [address, id]),
        [['c', 'm1']],
      )
      assert.equal((await a.peer.send(note('b', 'm1'))).duplicate, true)
    },
  },
  {
    ...twice,
    name: 'what is no letter is UNKNOWN_LETTER',
    async run(harness) {
      const operator = await operatorOf(harness)
      await open(await harness.bus(), 'b')
      await assert.rejects(operator.deadLetter(poison), unknown)
      await assert.rejects(operator.requeue(poison), unknown)
      await assert.rejects(operator.purge(poison), unknown)
      assert.deepEqual(await operator.deadLetters(), [])
    },
  },
  {
    ...twice,
    name: 'what is no name is refused with BAD_OPTIONS',
    async run(harness) {
      const operator = await operatorOf(harness)
      const bad = { code: 'BAD_OPTIONS' }
      for (const letter of [
        { address: '../b', id: 'poison' },
        { address: 'b', id: 'poi/son' },
      ]) {
        await assert.rejects(operator.deadLetter(letter), bad)
        await assert.rejects(operator.requeue(letter), bad)
        await assert.rejects(operator.purge(letter), bad)
      }
      await assert.rejects(operator.purge({ address: '' }), bad)
      await assert.rejects(operator.deadLetters('b/'), bad)
      await assert.rejects(operator.deleteMailbox('b b'), bad)
    },
  },
  {
    ...twice,
    name: 'letters outlive the broker',
    needs: ['dead-letters', 'durable'],
    controls: [...twice.controls, 'restart'],
    async run(harness) {
      const [, b] = await poisoned(harness)
      const before = await (await operatorOf(harness)).deadLetter(poison)
      await harness.restart?.()
      const operator = await operatorOf(harness)
      assert.deepEqual(await operator.deadLetter(poison), before)
      await operator.requeue(poison)
      assert.equal((await b.messages.next()).id, 'poison')
    },
  },
]
