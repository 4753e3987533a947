/** P4: starting is a claim, and of a claim and a revocation exactly one wins. */
import { codeOf, type Delivery } from '@greenroom/proto'
import assert from 'node:assert/strict'
import type { BusCase } from './bus-case.ts'
import { note, open } from './station.ts'

const run = { kind: 'run' } as const

/** Claims and revocations. */
export const claimCases: readonly BusCase[] = [
  {
    name: 'a claim removes the message, may be repeated, and makes revoke say claimed',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      await a.peer.send(note('b', 'r1', run))
      const message = await b.messages.next()
      await message.claim()
      await message.claim()
      await message.ack()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'claimed')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'claimed')
      await message.claim()
      assert.deepEqual(await a.peer.send(note('b', 'r1', run)), { seq: 1, duplicate: true })
      await a.peer.send(note('b', 'r2', run))
      assert.equal((await b.messages.next()).id, 'r2')
    },
  },
  {
    name: 'a revoked message cannot be claimed any more, and its id is refused',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      await a.peer.send(note('b', 'r1', run))
      const message = await b.messages.next()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
      await assert.rejects(message.claim(), { code: 'REVOKED' })
      await assert.rejects(message.claim(), { code: 'REVOKED' })
      await assert.rejects(a.peer.send(note('b', 'r1', run)), { code: 'REVOKED' })
    },
  },
  {
    name: 'a message that is revoked while it waits is never delivered',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      await a.peer.send(note('b', 'r1', run))
      await a.peer.send(note('b', 'r2', run))
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
      const b = await open(await harness.bus(), 'b')
      assert.equal((await b.messages.next()).id, 'r2')
    },
  },
  {
    name: 'revoking a held message gives its credit back',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b', { credit: 1 })
      await a.peer.send(note('b', 'r1', run))
      await a.peer.send(note('b', 'r2', run))
      assert.equal((await b.messages.next()).id, 'r1')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
      assert.equal((await b.messages.next()).id, 'r2')
    },
  },
  {
    name: 'revoking what was never seen says unknown and refuses it from then on',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'unknown')
      await assert.rejects(a.peer.send(note('b', 'r1', run)), { code: 'REVOKED' })
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
      assert.equal((await a.peer.send(note('b', 'r2', run))).duplicate, false)
      // Where nothing can come any more it has been withdrawn already.
      await a.peer.fence({ address: 'c', incarnation: 'c-1' })
      assert.equal(await a.peer.revoke({ to: 'c', id: 'r1' }), 'withdrawn')
    },
  },
  {
    name: 'what was acked without a claim counts as claimed',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      await a.peer.send(note('b', 'r1', run))
      await (await b.messages.next()).ack()
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'claimed')
    },
  },
  {
    name: 'a message that was given back cannot be claimed: NOT_HOLDER',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const b = await open(await harness.bus(), 'b')
      await a.peer.send(note('b', 'r1', run))
      const message = await b.messages.next()
      await message.nack({ delayMs: 60_000 })
      await assert.rejects(message.claim(), { code: 'NOT_HOLDER' })
      assert.equal(await a.peer.revoke({ to: 'b', id: 'r1' }), 'withdrawn')
    },
  },
  {
    name: 'of a claim and a revocation exactly one wins, in 300 races',
    async run(harness) {
      const a = await open(await harness.bus(), 'a')
      const claims = new Map<string, Promise<string>>()
      const answers = new Map<string, string>()
      const delivered = new Map<string, PromiseWithResolvers<void>>()
      const onMessage = (message: Delivery): void => {
        const claim = message.claim().then(
          () => 'claimed',
          (error: unknown) => codeOf(error) ?? String(error),
        )
        claims.set(message.id, claim)
        delivered.get(message.id)?.resolve()
      }
      await open(await harness.bus(), 'b', { onMessage, credit: 300 })
      const race = async (round: number): Promise<void> => {
        const id = `r${round}`
        delivered.set(id, Promise.withResolvers<void>())
        const sent = a.peer.send(note('b', id, run)).catch((error: unknown) => codeOf(error))
        // Sometimes while it is on its way, sometimes when it is stored, sometimes when it is claimed.
        if (round % 3 > 0) await sent
        if (round % 3 > 1) {
          await delivered.get(id)?.promise
          assert.equal(await claims.get(id), 'claimed')
        }
        const answer = await a.peer.revoke({ to: 'b', id })
        answers.set(id, answer)
        await sent
        assert.equal(await a.peer.revoke({ to: 'b', id }), answer === 'claimed' ? 'claimed' : 'withdrawn')
      }
      for (let first = 0; first < 300; first += 30)
        await Promise.all(Array.from({ length: 30 }, (_, index) => race(first + index)))
      for (const [id, answer] of answers) {
        const claim = await claims.get(id)
        // What was withdrawn may never have been delivered.
        if (claim === undefined) assert.notEqual(answer, 'claimed', id)
        else assert.equal(claim, answer === 'claimed' ? 'claimed' : 'REVOKED', id)
      }
    },
  },
]
