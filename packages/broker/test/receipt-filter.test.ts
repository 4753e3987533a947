/** A first send reads nothing of the disk, and nothing that was ever sent is taken for new. */
import { codeOf } from '@greenroom/proto'
import { createMemoryStore, type MemoryStore, type Store } from '@greenroom/store'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import { ReceiptFilter } from '../src/receipt-filter.ts'
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { World } from './schedule/world.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const key = (index: number): string => `inbox/${index.toString(36)}-0123456789abcdef`

describe('the filter', () => {
  test('never excludes what was noted, and nearly always what was not', () => {
    const filter = new ReceiptFilter(2 ** 17)
    filter.beginWalk()
    filter.endWalk()
    const count = 13_000
    for (let index = 0; index < count; index += 1) filter.note(key(index))
    let taken = 0
    for (let index = 0; index < count; index += 1) {
      if (filter.excludes(key(index))) expect.fail(`${key(index)} was noted`)
      if (!filter.excludes(key(count + index))) taken += 1
    }
    expect(taken / count).toBeLessThan(0.02)
  })

  test('excludes nothing before the first walk has ended, and then what that did not find', () => {
    const filter = new ReceiptFilter(2 ** 17)
    expect(filter.beginWalk()).toBe(true)
    expect(filter.beginWalk()).toBe(false)
    filter.find('inbox/found')
    filter.note('inbox/noted')
    expect(filter.excludes('inbox/new')).toBe(false)
    filter.endWalk()
    expect(['found', 'noted', 'new'].map((id) => filter.excludes(`inbox/${id}`))).toEqual([false, false, true])
  })

  test('is worn by what it was told, and forgets by another walk what is not there any more', () => {
    const filter = new ReceiptFilter(2 ** 12)
    filter.beginWalk()
    filter.endWalk()
    for (let index = 0; index < 4_000; index += 1) filter.note(key(index))
    const excluded = (): number =>
      Array.from({ length: 1_000 }, (_, n) => key(10_000 + n)).filter((one) => filter.excludes(one)).length
    expect(excluded()).toBeLessThan(100)
    expect(filter.beginWalk()).toBe(true)
    filter.find(key(1))
    filter.note(key(2))
    expect(excluded()).toBeLessThan(100)
    filter.endWalk()
    expect(excluded()).toBeGreaterThan(950)
    expect([1, 2].some((index) => filter.excludes(key(index)))).toBe(false)
    expect(filter.beginWalk()).toBe(false)
  })
})

/** A broker over a store that counts the receipts that are looked for. */
async function watched(
  store: MemoryStore,
  clock = createManualClock(),
): Promise<{ readonly broker: Broker; readonly clock: ManualClock; readonly looks: () => number }> {
  let count = 0
  const get: Store['get'] = (collection, name) => {
    if (collection === 'receipt') count += 1
    return store.get(collection, name)
  }
  const counting = new Proxy(store, {
    get: (target, name) =>
      name === 'get' ? get : (Reflect.get(target, name)?.bind?.(target) ?? Reflect.get(target, name)),
  })
  const broker = await createBroker({ store: counting, clock, partitionGraceMs: 1e9 })
  onTestFinished(() => broker.close())
  return { broker, clock, looks: () => count }
}

/** Sends a note to an inbox that acks; resolves when it was acked. */
function talk(broker: Broker, incarnation: string): (id: string) => Promise<boolean> {
  const acked = new Map<string, () => void>()
  const inbox = broker.bus.attach({
    address: 'inbox',
    incarnation,
    lifetime: 'named',
    onMessage: (message) => void message.ack().then(acked.get(message.id)),
  })
  return async (id) => {
    const peer = await inbox
    const done = new Promise<void>((resolve) => acked.set(id, resolve))
    const { duplicate } = await peer.send({ to: 'inbox', id, kind: 'note', payload: new Uint8Array(1) })
    if (!duplicate) await done
    return duplicate
  }
}

test('a first send looks for no receipt, a second one finds it', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  const { broker, looks } = await watched(store)
  const send = talk(broker, 'i1')
  for (let index = 0; index < 500; index += 1) expect(await send(`m${index}`)).toBe(false)
  expect(looks()).toBe(0)
  for (let index = 0; index < 500; index += 1) expect(await send(`m${index}`)).toBe(true)
  expect(looks()).toBe(500)
})

test('after a start every id is looked for, until housekeeping has gone through all receipts', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  const before = 2_500
  const first = talk((await watched(store)).broker, 'i1')
  await Promise.all(Array.from({ length: before }, (_, index) => first(`m${index}`)))
  const { broker, clock, looks } = await watched(store)
  const send = talk(broker, 'i2')
  expect([await send('m1'), await send('n1')]).toEqual([true, false])
  expect(looks()).toBe(2)
  // Three pages: the first after the usual time, the others soon.
  for (const ms of [10_000, 100]) {
    clock.jump(ms)
    for (let count = 0; count < 5; count += 1) await turn()
    await send(`while-${ms}`)
  }
  expect(looks()).toBe(4)
  clock.jump(100)
  for (let count = 0; count < 5; count += 1) await turn()
  for (let index = 0; index < 100; index += 1) expect(await send(`late-${index}`)).toBe(false)
  expect(looks()).toBe(4)
  for (const id of ['n1', 'while-10000', 'while-100', 'late-7']) expect(await send(id)).toBe(true)
  for (let index = 0; index < before; index += 1) expect(await send(`m${index}`)).toBe(true)
})

test('what the broker before was still committing is found too', async () => {
  let turns = 0
  await using store = createMemoryStore({ schema: brokerSchema, defer: setImmediate, faults: () => ({ turns }) })
  const first = await createBroker({ store })
  const peer = await first.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
  turns = 10
  const revoked = peer.revoke({ to: 'inbox', id: 'm1' }).catch(codeOf)
  await turn()
  await first.close()
  expect(await revoked).toBe('CLOSED')
  await using second = await createBroker({ store })
  const again = await second.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
  const message = { to: 'inbox', id: 'm1', kind: 'note', payload: new Uint8Array(1) }
  await expect(again.send(message)).rejects.toMatchObject({ code: 'REVOKED' })
})

test('a filter that misses what is written is noticed by the schedules', async () => {
  vi.spyOn(ReceiptFilter.prototype, 'note').mockImplementation(() => {})
  onTestFinished(() => void vi.restoreAllMocks())
  let noticed = 0
  for (let seed = 1; noticed === 0 && seed <= 500; seed += 1) noticed = (await World.run(seed)).length
  expect(noticed).toBeGreaterThan(0)
})
