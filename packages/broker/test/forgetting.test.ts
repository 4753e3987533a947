/** What is over leaves the memory at once, and the disk after the dedupe window. */
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { createMemoryStore } from '@greenroom/store'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import type { Message } from '../src/message.ts'
import { ReadyQueue } from '../src/ready-queue.ts'

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

test('after the dedupe window nothing of what is over is left on the disk', async () => {
  const clock = createManualClock()
  await using store = createMemoryStore({ schema: brokerSchema })
  await using broker = await createBroker({ store, clock, dedupeWindowMs: windowMs })
  for (let count = 0; count < 5; count += 1) await live(broker, `worker.${count}`)
  const runner = await broker.bus.attach({ address: 'runner', incarnation: 'r', lifetime: 'named' })
  await runner.send({ to: 'nobody', id: 'm1', kind: 'note', payload })
  await runner.revoke({ to: 'nobody', id: 'm1' })
  await runner.fence({ address: 'never-came', incarnation: 'n' })
  await runner.send({ to: 'absent', id: 'm2', kind: 'note', payload })
  await passWindow(clock)
  await runner.drain()
  const left = (): object => Object.fromEntries(brokerSchema.collections.map((name) => [name, store.count(name)]))
  expect(left()).toMatchObject({ message: 1, receipt: 0, gone: 1, mailbox: 2 })
  await passWindow(clock)
  expect(left()).toMatchObject({ message: 1, receipt: 0, gone: 0, mailbox: 1 })
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
