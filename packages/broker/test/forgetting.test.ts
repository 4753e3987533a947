/** What is over leaves the memory at once, and the disk after the dedupe window. */
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { createMemoryStore, openStore, type Store } from '@greenroom/store'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import type { Message } from '../src/message.ts'
import { ReadyQueue } from '../src/ready-queue.ts'
import { temporaryFolder } from './temporary-folder.ts'

const payload = new Uint8Array([1])
const windowMs = 60_000
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Lets the dedupe window pass, and housekeeping go through everything. */
async function passWindow(clock: ManualClock): Promise<void> {
  for (let passed = 0; passed < 3 * windowMs; passed += 10_000) {
    clock.jump(10_000)
    for (let count = 0; count < 3; count += 1) await turn()
  }
}

/** One life: it gets a run, claims it, and leaves. */
async function live(broker: Broker, address: string): Promise<void> {
  const { promise: claimed, resolve } = Promise.withResolvers<void>()
  const worker = await broker.bus.attach({
    address,
    incarnation: 'i',
    lifetime: 'incarnation',
    onMessage: (message) => void message.claim().then(resolve),
  })
  await worker.send({ to: address, id: 'run', kind: 'run', payload })
  await claimed
  await worker.drain()
}

test('incarnations that are gone take no room: as many may come as will', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  {
    await using broker = await createBroker({ store, limits: { mailboxes: 4 } })
    for (let count = 0; count < 20; count += 1) await live(broker, `worker.${count}`)
    expect(broker.stats()).toMatchObject({ mailboxes: 0, gone: 20 })
  }
  await using broker = await createBroker({ store, limits: { mailboxes: 4 } })
  expect(broker.stats().mailboxes).toBe(0)
  const runner = await broker.bus.attach({ address: 'runner', incarnation: 'r', lifetime: 'named' })
  await expect(runner.send({ to: 'worker.7', id: 'late', kind: 'run', payload })).rejects.toMatchObject({
    code: 'MAILBOX_CLOSED',
  })
  expect(await runner.revoke({ to: 'worker.7', id: 'run' })).toBe('claimed')
  expect(await runner.revoke({ to: 'worker.7', id: 'late' })).toBe('withdrawn')
  await expect(
    broker.bus.attach({ address: 'worker.7', incarnation: 'j', lifetime: 'incarnation' }),
  ).rejects.toMatchObject({ code: 'FENCED' })
  expect(broker.stats().mailboxes).toBe(1)
})

test('a named mailbox whose consumer has left is nobody’s, before and after a start', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  const free = { address: 'inbox', lifetime: 'named', state: 'free', messages: 0, held: 0, bytes: 0, deadLetters: 0 }
  {
    await using broker = await createBroker({ store })
    const peer = await broker.bus.attach({ address: 'inbox', incarnation: 'i', lifetime: 'named' })
    await peer.drain()
    expect(broker.stats()).toMatchObject({ mailboxes: 0, suspect: 0 })
    expect(await broker.operator.mailboxes()).toEqual([free])
  }
  await using broker = await createBroker({ store })
  expect(broker.stats()).toMatchObject({ mailboxes: 0, suspect: 0 })
  expect(await broker.operator.mailboxes()).toEqual([free])
})

test('a start looks at no more records after many lives than after none', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  let looked = 0
  const scan: Store['scan'] = (collection, range) => {
    const records = store.scan(collection, range)
    looked += records.length
    return records
  }
  const watched = new Proxy(store, {
    get: (target, name) =>
      name === 'scan' ? scan : (Reflect.get(target, name)?.bind?.(target) ?? Reflect.get(target, name)),
  })
  let starts = 0
  const start = async (): Promise<number> => {
    starts += 1
    looked = 0
    await using broker = await createBroker({ store: watched })
    const looks = looked
    for (let count = 0; count < 100; count += 1) await live(broker, `worker.${starts}.${count}`)
    const waiting = { to: 'absent', id: 'm1', kind: 'note', payload }
    await (await broker.bus.attach({ address: 'runner', incarnation: 'r', lifetime: 'named' })).send(waiting)
    return looks
  }
  expect(await start()).toBe(0)
  const few = await start()
  expect(few).toBeGreaterThan(0)
  expect(await start()).toBe(few)
})

test('a life that is over costs a broker on disk nothing, and one in memory its records', async () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const lives = 4_000
  const perLife = async (dir: string | null): Promise<number> => {
    await using broker = await createBroker({ dir })
    const runner = await broker.bus.attach({ address: 'runner', incarnation: 'r', lifetime: 'named' })
    const many = async (from: number, to: number): Promise<number> => {
      for (let first = from; first < to; first += 50)
        await Promise.all(
          Array.from({ length: 50 }, async (_, index) => {
            const address = `worker.${'x'.repeat(16)}${first + index}`
            await live(broker, address)
            await runner.fence({ address, incarnation: 'i' })
          }),
        )
      await turn()
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = await many(0, 1_000)
    return ((await many(1_000, 1_000 + lives)) - before) / lives
  }
  using folder = temporaryFolder()
  const cost = { disk: await perLife(folder.path), memory: await perLife(null) }
  console.log(
    `memory kept of a life that is over: ${Math.round(cost.disk)} B on disk, ${Math.round(cost.memory)} B in memory`,
  )
  expect(cost.disk).toBeLessThan(100)
  expect(cost.memory).toBeLessThan(600)
})

test('whose mailbox is empty and unattended is still told what could not be delivered', async () => {
  await using broker = await createBroker()
  const sender = { address: 'sender', incarnation: 's1', lifetime: 'named' } as const
  const first = await broker.bus.attach(sender)
  await first.send({ to: 'worker', id: 'm1', kind: 'note', payload })
  await first.drain()
  expect(broker.stats().mailboxes).toBe(1)
  const worker = await broker.bus.attach({ address: 'worker', incarnation: 'w', lifetime: 'incarnation' })
  await worker.drain()
  const kinds: string[] = []
  const again = { ...sender, incarnation: 's2', onMessage: ({ kind }: { kind: string }) => void kinds.push(kind) }
  await broker.bus.attach(again)
  while (kinds.length === 0) await turn()
  expect(kinds).toEqual(['undeliverable'])
})

test('numbers go on where they were when a mailbox is used again', async () => {
  await using broker = await createBroker()
  const peer = await broker.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
  for (const seq of [1, 2, 3]) {
    expect(await peer.send({ to: 'inbox', id: `m${seq}`, kind: 'note', payload })).toMatchObject({ seq })
    await peer.revoke({ to: 'inbox', id: `m${seq}` })
    expect(broker.stats().mailboxes).toBe(1)
  }
})

test('numbers go on behind what waits when the broker is started again', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  for (const seqs of [[1, 2], [3]]) {
    await using broker = await createBroker({ store })
    const peer = await broker.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
    for (const seq of seqs)
      expect(await peer.send({ to: 'inbox', id: `m${seq}`, kind: 'note', payload })).toMatchObject({ seq })
  }
})

test('after the dedupe window nothing of what is over is left on the disk, and later no mailbox that nobody uses', async () => {
  const clock = createManualClock()
  await using store = createMemoryStore({ schema: brokerSchema })
  await using broker = await createBroker({ store, clock, dedupeWindowMs: windowMs, mailboxTtlMs: 4 * windowMs })
  for (let count = 0; count < 5; count += 1) await live(broker, `worker.${count}`)
  const runner = await broker.bus.attach({ address: 'runner', incarnation: 'r', lifetime: 'named' })
  await runner.send({ to: 'nobody', id: 'm1', kind: 'note', payload })
  await runner.revoke({ to: 'nobody', id: 'm1' })
  await runner.fence({ address: 'never-came', incarnation: 'n' })
  await runner.send({ to: 'absent', id: 'm2', kind: 'note', payload })
  await passWindow(clock)
  await runner.drain()
  const left = (): object => Object.fromEntries(brokerSchema.collections.map((name) => [name, store.count(name)]))
  expect(left()).toMatchObject({ message: 1, receipt: 0, gone: 1, mailbox: 3, closed: 0 })
  await passWindow(clock)
  // Nobody came for m2: its sender's mailbox, which nobody has either, was told.
  expect(left()).toMatchObject({ message: 1, gone: 0, mailbox: 1, closed: 0 })
  expect(await broker.operator.mailboxes()).toMatchObject([{ address: 'runner', messages: 1 }])
  for (let pass = 0; pass < 2; pass += 1) await passWindow(clock)
  expect(new Set(Object.values(left()))).toEqual(new Set([0]))
  expect(broker.stats()).toMatchObject({ mailboxes: 0, messages: 0, bytes: 0 })
})

test('a damaged receipt stays, and keeps no other from being forgotten', async () => {
  const clock = createManualClock()
  using folder = temporaryFolder()
  const dir = join(folder.path, 'data')
  await using store = await openStore({ dir, schema: brokerSchema, thread: false })
  await using broker = await createBroker({ store, clock, dedupeWindowMs: windowMs })
  const runner = await broker.bus.attach({ address: 'runner', incarnation: 'r', lifetime: 'named' })
  for (const id of ['m1', 'm2', 'm3']) await runner.revoke({ to: 'nobody', id })
  {
    using db = new DatabaseSync(join(dir, 'store.db'))
    db.exec(`UPDATE receipt SET meta = replace(meta, 'revoked', 'revoker') WHERE key = 'nobody/m2'`)
  }
  await passWindow(clock)
  await runner.drain()
  expect(store.keys('receipt')).toEqual(['nobody/m2'])
})

test('what was taken back behind a message that nobody takes is not kept in memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const message = (seq: number): Message => ({
    seq,
    id: `m${seq}`,
    kind: 'note',
    control: false,
    from: 'sender',
    fromIncarnation: undefined,
    at: 0,
    digest: '',
    size: 0,
    expiresAt: undefined,
    place: 'ready',
    attempt: 1,
    history: [],
    notBefore: 0,
    dueAt: 0,
    body: undefined,
  })
  const queue = new ReadyQueue()
  const first = message(1)
  queue.push(first)
  const taken = Array.from({ length: 20_000 }, (_, index) => {
    const one = message(index + 2)
    queue.push(one)
    one.place = 'gone'
    return new WeakRef(one)
  })
  await turn()
  collect()
  expect(taken.filter((one) => one.deref() !== undefined).length).toBeLessThan(5_000)
  const last = message(30_000)
  queue.push(last)
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([first, last, undefined])
})
