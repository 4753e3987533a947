/** What a broker does on data that was restored from a backup: nothing of it is taken for proof that something did not happen. */
import { createManualClock } from '@greenroom/bus/testing'
import type { Delivery, Peer, Revocation } from '@greenroom/proto'
import { createMemoryStore, restoreBackup, type CommitFault } from '@greenroom/store'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import { RawClient } from './raw-client.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const hourMs = 3_600_000
const payload = new Uint8Array([1])
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function turns(count = 60): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn()
}

type Lifetime = 'named' | 'incarnation'

async function attach(
  broker: Broker,
  address: string,
  incarnation: string,
  lifetime: Lifetime = 'named',
): Promise<{ readonly peer: Peer; readonly came: Delivery[] }> {
  const came: Delivery[] = []
  const onMessage = (message: Delivery): void => void came.push(message)
  return { peer: await broker.bus.attach({ address, incarnation, lifetime, onMessage }), came }
}

const run = (to: string, id: string) => ({ to, id, kind: 'run', payload })
const note = (to: string, id: string) => ({ to, id, kind: 'note', payload })
const ids = (came: readonly Delivery[]): readonly string[] => came.map(({ id, kind }) => (kind === 'note' ? id : kind))

/** A broker of which a backup was made, and what happened after it; then that backup, restored. */
async function restoredWorld() {
  const folder = temporaryFolder()
  const clock = createManualClock()
  const from = join(folder.path, 'backup.db')
  const dir = join(folder.path, 'restored')
  {
    await using broker = await createBroker({ dir: join(folder.path, 'data'), clock })
    const runner = await attach(broker, 'runner', 'r1')
    const worker = await attach(broker, 'worker', 'w1', 'incarnation')
    const inbox = await attach(broker, 'inbox', 'i1')
    await runner.peer.send(run('worker', 'claimed-later'))
    await runner.peer.send(note('worker', 'to-the-worker'))
    await runner.peer.send(run('pool', 'of-the-pool'))
    for (const id of ['acked-later', 'held']) await runner.peer.send(note('inbox', id))
    while (worker.came.length < 2 || inbox.came.length < 2) await turn()
    await broker.operator.backup(from)
    for (const message of worker.came) await message.claim()
    await inbox.came[0]?.ack()
    await runner.peer.send(run('worker', 'unknown'))
    while (worker.came.length < 3) await turn()
    await worker.came[2]?.claim()
  }
  restoreBackup({ from, dir, schema: brokerSchema })
  const options = { dir, clock, listen: { socket: join(folder.path, 'socket', 'bus') }, token }
  return { clock, options, [Symbol.dispose]: () => folder[Symbol.dispose]() }
}

describe('on restored data', () => {
  test('no run of then is delivered or withdrawn, known or not, before and after another start', async () => {
    using it = await restoredWorld()
    for (const life of ['first', 'second']) {
      await using broker = await createBroker(it.options)
      const { peer } = await attach(broker, 'runner', `r-${life}`)
      const pool = await attach(broker, 'pool', `p-${life}`)
      const revoke = (to: string, id: string): Promise<Revocation> => peer.revoke({ to, id })
      const answers = [
        ['worker', 'claimed-later'],
        ['worker', 'unknown'],
        ['worker', 'unknown'],
        ['worker', `never-${life}`],
        ['other', 'unknown'],
        ['pool', 'of-the-pool'],
      ] as const
      for (const [to, id] of answers) expect([to, id, await revoke(to, id)]).toEqual([to, id, 'claimed'])
      expect(await peer.send(run('worker', 'claimed-later'))).toMatchObject({ duplicate: true })
      await expect(peer.send(run('other', 'unknown'))).rejects.toMatchObject({ code: 'REVOKED' })
      await expect(peer.send(run('worker', 'new'))).rejects.toMatchObject({ code: 'MAILBOX_CLOSED' })
      await turns()
      expect(pool.came).toEqual([])
      // What is of this life is as it always is.
      await peer.send(run('pool', `of-the-${life}`))
      while (pool.came.length === 0) await turn()
      expect(await revoke('pool', `of-the-${life}`)).toBe('withdrawn')
    }
  })

  test('nobody of then comes back, known or not; what was for them is returned or delivered again', async () => {
    using it = await restoredWorld()
    await using broker = await createBroker(it.options)
    const fenced = expect.objectContaining({ code: 'FENCED' })
    await expect(attach(broker, 'runner', 'r1')).rejects.toEqual(fenced)
    await expect(attach(broker, 'worker', 'w1', 'incarnation')).rejects.toEqual(fenced)
    const again = { t: 'attach', req: 1, address: 'later', incarnation: 'l1', lifetime: 'incarnation', credit: 1 }
    using client = await RawClient.open(broker.url ?? '', token)
    client.say({ ...again, controlCredit: 1, again: true })
    expect(await client.heard(({ t }) => t === 'error')).toMatchObject({ code: 'FENCED' })
    using fresh = await RawClient.open(broker.url ?? '', token)
    fresh.say({ ...again, controlCredit: 1 })
    expect(await fresh.answer(1)).toMatchObject({ t: 'ok' })
    const runner = await attach(broker, 'runner', 'r2')
    const inbox = await attach(broker, 'inbox', 'i2')
    while (runner.came.length < 1 || inbox.came.length < 2) await turn()
    await turns()
    expect(ids(runner.came)).toEqual(['undeliverable'])
    expect(ids(inbox.came)).toEqual(['acked-later', 'held'])
  })

  test('a later start is no new life: whoever is there comes back, and runs wait for them', async () => {
    using it = await restoredWorld()
    const worker = { t: 'attach', req: 1, address: 'w', incarnation: 'w1', lifetime: 'incarnation' }
    const credit = { credit: 1, controlCredit: 1 }
    {
      await using broker = await createBroker(it.options)
      using client = await RawClient.open(broker.url ?? '', token)
      client.say({ ...worker, ...credit })
      expect(await client.answer(1)).toMatchObject({ t: 'ok' })
      await (await attach(broker, 'runner', 'r2')).peer.send(run('w', 'of-now'))
      await client.heard(({ t }) => t === 'deliver')
    }
    await using broker = await createBroker(it.options)
    using client = await RawClient.open(broker.url ?? '', token)
    client.say({ ...worker, ...credit, again: true })
    expect(await client.answer(1)).toMatchObject({ t: 'ok' })
    expect(await client.heard(({ t }) => t === 'deliver')).toMatchObject({ id: 'of-now' })
  })

  test('after the dedupe window nothing of then can be meant any more', async () => {
    using it = await restoredWorld()
    {
      await using broker = await createBroker(it.options)
      it.clock.jump(23 * hourMs)
      const { peer } = await attach(broker, 'runner', 'r2')
      expect(await peer.revoke({ to: 'other', id: 'm1' })).toBe('claimed')
    }
    it.clock.jump(2 * hourMs)
    await using broker = await createBroker(it.options)
    const { peer } = await attach(broker, 'runner', 'r3')
    expect(await peer.revoke({ to: 'other', id: 'm2' })).toBe('unknown')
  })
})

test('a new life that is cut off by any commit begins again at the next start', async () => {
  const faults: CommitFault['outcome'][] = []
  const next = (): CommitFault | undefined => {
    const outcome = faults.shift()
    return outcome && { outcome }
  }
  const first = createMemoryStore({ schema: brokerSchema, defer: (task) => setImmediate(task), faults: next })
  {
    await using broker = await createBroker({ store: first })
    const runner = await attach(broker, 'runner', 'r1')
    await attach(broker, 'worker', 'w1', 'incarnation')
    await runner.peer.send(run('worker', 'm1'))
    await runner.peer.send(note('worker', 'm2'))
    await first.backup('backup')
  }
  for (let before = 0; before < 5; before += 1)
    for (const fault of ['fails', 'lies', 'limbo'] as const) {
      let store = first.openBackup('backup')
      faults.push(...Array.from({ length: before }, () => 'stored' as const), fault)
      const cut = await createBroker({ store }).catch(() => undefined)
      faults.length = 0
      const left = store.powerCut()
      await cut?.close()
      store = left
      await using broker = await createBroker({ store })
      const runner = await attach(broker, 'runner', 'r2')
      expect(await runner.peer.revoke({ to: 'worker', id: 'm1' })).toBe('claimed')
      await expect(attach(broker, 'worker', 'w1', 'incarnation')).rejects.toMatchObject({ code: 'FENCED' })
      while (runner.came.length === 0) await turn()
      await turns()
      expect(ids(runner.came)).toEqual(['undeliverable'])
      expect(broker.stats()).toMatchObject({ suspect: 0 })
    }
})
