/** D12: what is neither settled nor touched in time returns, and its former holder has no say any more. */
import { codeOf, type Delivery, type PeerOptions } from '@greenroom/proto'
import assert from 'node:assert/strict'
import type { BusCase, BusHarness } from './bus-case.ts'
import { idsOf, note, open, operatorOf, type Station } from './station.ts'

const visibilityMs = 10_000
const visibility = { needs: ['visibility'], controls: ['advance'] } as const
const cut = { ...visibility, controls: ['advance', 'cut'] } as const
const notHolder = { code: 'NOT_HOLDER' }
const run = { kind: 'run' } as const

/** A sender, and a consumer of `b` whose deliveries time out. */
async function pair(harness: BusHarness, options: Partial<PeerOptions> = {}): Promise<readonly [Station, Station]> {
  const a = await open(await harness.bus(), 'a')
  return [a, await open(await harness.bus(), 'b', { visibilityMs, ...options })]
}

let barriers = 0

/** Nothing more has come, also of what was sent before this. */
async function assertNothingCame(station: Station, sender: Station): Promise<void> {
  barriers += 1
  const id = `barrier-${barriers}`
  await sender.peer.send(note(station.peer.address, id, { control: true }))
  const barrier = await station.messages.next()
  assert.equal(barrier.id, id)
  await barrier.ack()
  assert.equal(station.messages.length, 0)
}

const facts = ({ id, attempt, seq }: Delivery): readonly unknown[] => [id, attempt, seq]

/** Visibility timeouts. */
export const visibilityCases: readonly BusCase[] = [
  {
    ...visibility,
    name: 'a delivery that is neither settled nor touched in time is delivered again, with one attempt more, again and again',
    async run(harness) {
      const [a, b] = await pair(harness)
      await a.peer.send(note('b', 'm1'))
      const first = await b.messages.next()
      await harness.advance?.(visibilityMs - 1)
      await assertNothingCame(b, a)
      await harness.advance?.(1)
      const second = await b.messages.next()
      await harness.advance?.(visibilityMs)
      const third = await b.messages.next()
      assert.deepEqual([first, second, third].map(facts), [
        ['m1', 1, 1],
        ['m1', 2, 1],
        ['m1', 3, 1],
      ])
      await third.ack()
      await harness.advance?.(2 * visibilityMs)
      await assertNothingCame(b, a)
    },
  },
  {
    ...visibility,
    name: 'a delivery that is touched has its whole time from then on, those that are not do not',
    async run(harness) {
      const [a, b] = await pair(harness)
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      const [m1] = await b.messages.take(2)
      await harness.advance?.(visibilityMs - 1)
      await m1?.touch()
      await harness.advance?.(1)
      assert.deepEqual(facts(await b.messages.next()), ['m2', 2, 2])
      await harness.advance?.(visibilityMs - 2)
      await assertNothingCame(b, a)
      await m1?.touch()
      await harness.advance?.(2)
      assert.deepEqual(facts(await b.messages.next()), ['m2', 3, 2])
      await m1?.ack()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm1' }), 'claimed')
    },
  },
  {
    ...visibility,
    name: 'each delivery has its own time, from when it was delivered',
    async run(harness) {
      const [a, b] = await pair(harness)
      await a.peer.send(note('b', 'm1'))
      await b.messages.next()
      await harness.advance?.(visibilityMs / 2)
      await a.peer.send(note('b', 'm2'))
      await b.messages.next()
      await harness.advance?.(visibilityMs / 2)
      const again = await b.messages.next()
      assert.deepEqual(facts(again), ['m1', 2, 1])
      await again.ack()
      await assertNothingCame(b, a)
      await harness.advance?.(visibilityMs / 2)
      assert.deepEqual(facts(await b.messages.next()), ['m2', 2, 2])
    },
  },
  {
    ...visibility,
    name: 'what a former holder says of a delivery that timed out is refused with NOT_HOLDER and changes nothing',
    async run(harness) {
      const [a, b] = await pair(harness)
      const verdicts: readonly (readonly [string, (message: Delivery) => Promise<void>])[] = [
        ['ack', (message) => message.ack()],
        ['nack', (message) => message.nack()],
        ['claim', (message) => message.claim()],
        ['touch', (message) => message.touch()],
      ]
      for (const [id] of verdicts) await a.peer.send(note('b', id, run))
      const late = await b.messages.take(4)
      await harness.advance?.(visibilityMs)
      const present = await b.messages.take(4)
      for (const [index, [id, say]] of verdicts.entries()) {
        assert.equal(late[index]?.id, id)
        await assert.rejects(async () => late[index] && say(late[index]), notHolder, id)
      }
      await assertNothingCame(b, a)
      // Each is still there, as its present delivery, whose time was not touched.
      await harness.advance?.(visibilityMs)
      const next = await b.messages.take(4)
      assert.deepEqual(
        next.map(({ attempt }) => attempt),
        [3, 3, 3, 3],
      )
      for (const message of present) await assert.rejects(message.claim(), notHolder)
      for (const message of next) await message.claim()
      for (const [id] of verdicts) assert.equal(await a.peer.revoke({ to: 'b', id }), 'claimed')
    },
  },
  {
    ...visibility,
    name: 'of several deliveries of a message to one consumer only the one that claimed it may repeat the claim',
    async run(harness) {
      const [a, b] = await pair(harness)
      await a.peer.send(note('b', 'r1', run))
      const first = await b.messages.next()
      await harness.advance?.(visibilityMs)
      const second = await b.messages.next()
      await second.claim()
      await assert.rejects(first.claim(), notHolder)
      await second.claim()
      await assert.rejects(first.touch(), notHolder)
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'claimed')
    },
  },
  {
    ...visibility,
    name: 'of a claim and a timeout exactly one wins, and a delivery that timed out may be revoked',
    async run(harness) {
      const [a, b] = await pair(harness, { credit: 100 })
      const wins: unknown[] = []
      for (let round = 0; round < 30; round += 1) {
        const id = `r${round}`
        await a.peer.send(note('b', id, run))
        const message = await b.messages.next()
        // Before, at, or after its time.
        await harness.advance?.(visibilityMs - (round % 3 > 1 ? 0 : 1))
        const claim = message.claim().then(
          () => 'claimed',
          (error: unknown) => codeOf(error),
        )
        if (round % 3 !== 1) wins.push(await claim)
        await harness.advance?.(1)
        const won = (await claim) === 'claimed'
        assert.equal(await a.peer.revoke({ to: 'b', id }), won ? 'claimed' : 'withdrawn')
        if (!won) assert.deepEqual([await claim, (await b.messages.next()).id], ['NOT_HOLDER', id])
        await assertNothingCame(b, a)
      }
      assert.deepEqual(wins, Array.from({ length: 10 }, () => ['claimed', 'NOT_HOLDER']).flat())
    },
  },
  {
    ...visibility,
    name: 'a delivery that timed out gives its credit back, before what waits behind it',
    async run(harness) {
      const [a, b] = await pair(harness, { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      assert.equal((await b.messages.next()).id, 'm1')
      await harness.advance?.(visibilityMs)
      const again = await b.messages.next()
      assert.deepEqual(facts(again), ['m1', 2, 1])
      await again.ack()
      assert.equal((await b.messages.next()).id, 'm2')
    },
  },
  {
    ...visibility,
    needs: ['visibility', 'dead-letters'],
    controls: ['advance', 'operator', 'settings'],
    settings: { maxAttempts: 2 },
    name: 'what times out too often is a dead letter that says so, and its last holder cannot ack it any more',
    async run(harness) {
      const [a, b] = await pair(harness, { credit: 1 })
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      await b.messages.next()
      await harness.advance?.(visibilityMs)
      const last = await b.messages.next()
      await harness.advance?.(visibilityMs)
      assert.equal((await b.messages.next()).id, 'm2')
      await assert.rejects(last.ack(), notHolder)
      const { letter } = await (await operatorOf(harness)).deadLetter({ address: 'b', id: 'm1' })
      assert.equal(letter.attempts, 2)
      assert.deepEqual(
        letter.history.map(({ why, by }) => [why, by]),
        [
          ['timeout', 'b-1'],
          ['timeout', 'b-1'],
        ],
      )
      assert.ok((letter.history[1]?.at ?? 0) - (letter.history[0]?.at ?? 0) >= visibilityMs)
    },
  },
  {
    ...visibility,
    name: 'without a visibility timeout nothing returns, and touch is refused with MISSING_FEATURE',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      await a.peer.send(note('b', 'm1'))
      const message = await b.messages.next()
      await assert.rejects(message.touch(), { code: 'MISSING_FEATURE' })
      await harness.advance?.(100 * visibilityMs)
      await assertNothingCame(b, a)
      await message.ack()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'm1' }), 'claimed')
    },
  },
  {
    needs: ['visibility'],
    name: 'a visibility timeout that is none is refused with BAD_OPTIONS',
    async run(harness) {
      const bus = await harness.bus()
      for (const ms of [0, -1, 999, 43_200_001, Number.NaN, Number.POSITIVE_INFINITY])
        await assert.rejects(open(bus, 'b', { visibilityMs: ms }), { code: 'BAD_OPTIONS' }, String(ms))
      for (const ms of [1_000, 43_200_000]) await open(bus, `b${ms}`, { visibilityMs: ms })
    },
  },
  {
    ...visibility,
    name: 'a later consumer gets what the one before let time out, and has the timeout that it asked for itself',
    async run(harness) {
      const [a, b] = await pair(harness, { credit: 1 })
      await a.peer.send(note('b', 'm1'))
      const first = await b.messages.next()
      await harness.advance?.(visibilityMs)
      await b.messages.next()
      const next = await open(await harness.bus(), 'b', { incarnation: 'b-2' })
      const message = await next.messages.next()
      assert.deepEqual(facts(message), ['m1', 3, 1])
      await assert.rejects(first.ack())
      await harness.advance?.(2 * visibilityMs)
      await assertNothingCame(next, a)
      await message.ack()
    },
  },
  {
    ...cut,
    name: 'what is held over a cut has its whole time from the reconnect on',
    async run(harness) {
      const [a, b] = await pair(harness)
      for (const id of ['m1', 'm2']) await a.peer.send(note('b', id))
      const [message] = await b.messages.take(2)
      await harness.advance?.(visibilityMs - 10)
      await harness.cut?.('b')
      await b.states.until((state) => state === 'attached')
      await harness.advance?.(visibilityMs - 10)
      await assertNothingCame(b, a)
      await message?.touch()
      await harness.advance?.(10)
      assert.deepEqual(facts(await b.messages.next()), ['m2', 2, 2])
      await message?.ack()
    },
  },
  {
    ...cut,
    name: 'after a cut what timed out is not held by its former holder, whatever it still says of it',
    async run(harness) {
      const [a, b] = await pair(harness)
      for (const id of ['m1', 'm2', 'm3']) await a.peer.send(note('b', id, run))
      const late = await b.messages.take(3)
      await harness.advance?.(visibilityMs)
      const present = await b.messages.take(3)
      await harness.cut?.('b')
      const said = late.map((message) => assert.rejects(message.claim(), notHolder))
      await b.states.until((state) => state === 'attached')
      await Promise.all(said)
      await assertNothingCame(b, a)
      for (const message of present) await message.claim()
      assert.deepEqual(idsOf(present).toSorted(), ['m1', 'm2', 'm3'])
      for (const { id } of present) assert.equal(await a.peer.revoke({ to: 'b', id }), 'claimed')
    },
  },
  {
    ...visibility,
    needs: ['visibility', 'durable'],
    controls: ['advance', 'restart'],
    name: 'over a restart of the broker what is held stays held, has its whole time then, and counts what timed out before',
    async run(harness) {
      const [a, b] = await pair(harness)
      await a.peer.send(note('b', 'm1'))
      const first = await b.messages.next()
      await harness.advance?.(visibilityMs)
      const second = await b.messages.next()
      await harness.advance?.(visibilityMs - 10)
      await harness.restart?.()
      await b.states.until((state) => state === 'attached')
      await harness.advance?.(visibilityMs - 10)
      await assertNothingCame(b, a)
      await assert.rejects(first.ack(), notHolder)
      await second.touch()
      await harness.advance?.(visibilityMs)
      const third = await b.messages.next()
      assert.deepEqual(facts(third), ['m1', 3, 1])
      await third.ack()
    },
  },
]
