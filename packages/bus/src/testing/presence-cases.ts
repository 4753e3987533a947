/** Presence: first who is there, then what changes. */
import type { PresenceChange } from '@greenroom/proto'
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { open, Queue } from './station.ts'

function line({ address, incarnation, state, presence }: PresenceChange): string {
  return `${address} ${incarnation} ${state} ${presence.role} ${presence.load ?? 0}`
}

/** Presence. */
export const presenceCases: readonly BusCase[] = [
  {
    name: 'a watcher first hears of everyone of the role, then of every change, until it stops',
    async run(harness) {
      const w = await open(await harness.bus(), 'w')
      const one = await open(await harness.bus(), 'one', {
        presence: { role: 'r', load: 1, slots: 2, labels: { os: 'x' } },
      })
      await open(await harness.bus(), 'hidden')
      await open(await harness.bus(), 'other', { presence: { role: 's' } })
      const changes = new Queue<PresenceChange>()
      const stop = w.peer.watch('r', (change) => changes.push(change))
      const first = await changes.next()
      assert.deepEqual(first.presence, { role: 'r', load: 1, slots: 2, labels: { os: 'x' } })
      assert.equal(line(first), 'one one-1 attached r 1')
      const two = await open(await harness.bus(), 'two', { presence: { role: 'r' } })
      assert.equal(line(await changes.next()), 'two two-1 attached r 0')
      one.peer.announce({ role: 'r', load: 0.5 })
      assert.equal(line(await changes.next()), 'one one-1 attached r 0.5')
      // Whoever is of another role from now on is seen to be so.
      two.peer.announce({ role: 's' })
      assert.equal(line(await changes.next()), 'two two-1 attached s 0')
      const late = new Queue<PresenceChange>()
      const v = await open(await harness.bus(), 'v')
      v.peer.watch('r', (change) => late.push(change))
      assert.equal(line(await late.next()), 'one one-1 attached r 0.5')
      two.peer.announce({ role: 'r', load: 0.75 })
      await two.peer.drain()
      const last = ['two two-1 attached r 0.75', 'two two-1 gone r 0.75']
      for (const told of [changes, late]) assert.deepEqual((await told.take(2)).map(line), last)
      stop()
      const others = new Queue<PresenceChange>()
      w.peer.watch('r', (change) => others.push(change))
      assert.equal(line(await others.next()), 'one one-1 attached r 0.5')
      one.peer.announce({ role: 'r', load: 0.25 })
      assert.equal(line(await others.next()), 'one one-1 attached r 0.25')
      assert.equal(changes.length, 0)
    },
  },
  {
    name: 'two watchers of one role on one peer each hear everything',
    async run(harness) {
      const w = await open(await harness.bus(), 'w')
      const [early, within] = [new Queue<PresenceChange>(), new Queue<PresenceChange>()]
      const stop = w.peer.watch('r', (change) => {
        early.push(change)
        if (change.address === 'two') w.peer.watch('r', (later) => within.push(later))
      })
      await open(await harness.bus(), 'one', { presence: { role: 'r' } })
      await early.next()
      const late = new Queue<PresenceChange>()
      w.peer.watch('r', (change) => late.push(change))
      assert.equal(line(await late.next()), 'one one-1 attached r 0')
      await open(await harness.bus(), 'two', { presence: { role: 'r' } })
      assert.equal(line(await late.next()), 'two two-1 attached r 0')
      assert.equal(line(await early.next()), 'two two-1 attached r 0')
      stop()
      await open(await harness.bus(), 'three', { presence: { role: 'r' } })
      // Who began later is told later.
      assert.equal(line(await late.next()), 'three three-1 attached r 0')
      assert.equal(early.length, 0)
      // Who began while others were told of a change hears of it once: by who is there.
      const heard = (await within.take(3)).map(line)
      assert.deepEqual(heard, ['one one-1 attached r 0', 'two two-1 attached r 0', 'three three-1 attached r 0'])
    },
  },
  {
    name: 'who is fenced is gone for its watchers, and a lost connection is suspect until the same life is back',
    async run(harness) {
      const w = await open(await harness.bus(), 'w')
      const one = await open(await harness.bus(), 'one', { lifetime: 'incarnation', presence: { role: 'r' } })
      const changes = new Queue<PresenceChange>()
      w.peer.watch('r', (change) => changes.push(change))
      await changes.next()
      await one.peer.close()
      assert.equal((await changes.next()).state, 'suspect')
      const late = new Queue<PresenceChange>()
      const v = await open(await harness.bus(), 'v')
      v.peer.watch('r', (change) => late.push(change))
      assert.equal((await late.next()).state, 'suspect')
      await open(await harness.bus(), 'one', { lifetime: 'incarnation', presence: { role: 'r' } })
      assert.equal((await changes.next()).state, 'attached')
      await w.peer.fence({ address: 'one', incarnation: 'one-1' })
      assert.equal(line(await changes.next()), 'one one-1 gone r 0')
    },
  },
  {
    name: 'of who is fenced its watchers are told that it was seen dead when whoever did it says so, and else are not',
    async run(harness) {
      const w = await open(await harness.bus(), 'w')
      for (const name of ['one', 'two'])
        await open(await harness.bus(), name, { lifetime: 'incarnation', presence: { role: 'r' } })
      const changes = new Queue<PresenceChange>()
      w.peer.watch('r', (change) => changes.push(change))
      for (const _ of ['one', 'two']) assert.equal((await changes.next()).state, 'attached')
      await w.peer.fence({ address: 'one', incarnation: 'one-1', seenDead: true })
      const gone = { state: 'gone', presence: { role: 'r' } }
      assert.deepEqual(await changes.next(), { address: 'one', incarnation: 'one-1', ...gone, seenDead: true })
      await w.peer.fence({ address: 'two', incarnation: 'two-1' })
      assert.deepEqual(await changes.next(), { address: 'two', incarnation: 'two-1', ...gone })
    },
  },
  {
    name: 'what a watcher throws reaches onError and stops nothing',
    async run(harness) {
      const w = await open(await harness.bus(), 'w')
      w.peer.watch('r', () => {
        throw new Error('no watcher')
      })
      await open(await harness.bus(), 'one', { presence: { role: 'r' } })
      assert.match(String(await w.errors.next()), /no watcher/)
      await open(await harness.bus(), 'two', { presence: { role: 'r' } })
      assert.match(String(await w.errors.next()), /no watcher/)
    },
  },
]
