/** Outages that last longer than anybody remembers: what a client is told, and what sending again does. */
import { connectBus } from '@greenroom/bus'
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { codeOf, type Delivery, type Peer } from '@greenroom/proto'
import { createMemoryStore } from '@greenroom/store'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const hourMs = 3_600_000
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const message = (id: string, text = id) => ({ to: 'inbox', id, kind: 'note', payload: bytes(text) })

async function turns(count = 30): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

async function pass(clock: ManualClock, ms: number, steps: number): Promise<void> {
  for (let step = 0; step < steps; step += 1) {
    clock.jump(ms / steps)
    await turns()
  }
}

/** Lets time pass in small steps until something is so. */
async function until(clock: ManualClock, isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await pass(clock, 500, 1)
}

/** A broker that can be away, and what its clients are told. */
async function world() {
  const folder = temporaryFolder()
  const clock = createManualClock()
  const listen = { socket: join(folder.path, 'socket', 'broker.sock') }
  // Time that is moved leaves none to answer pings.
  const options = { dir: join(folder.path, 'data'), listen, token, clock, limits: { pingMs: 1_000 * hourMs } }
  let broker: Broker = await createBroker(options)
  const bus = connectBus({ url: `ws+unix://${listen.socket}`, token, clock })
  const came: Delivery[] = []
  const onMessage = (delivery: Delivery): void => {
    came.push(delivery)
    void delivery.ack()
  }
  const sender = await bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
  const inbox = await bus.attach({ address: 'inbox', incarnation: 'i1', lifetime: 'named', onMessage })
  const isBack = (peer: Peer): boolean => peer.state === 'attached'
  return {
    clock,
    sender,
    came,
    away: async (hours: number, work?: () => Promise<void>) => {
      await broker.close()
      await until(clock, () => !isBack(sender) && !isBack(inbox))
      await work?.()
      await pass(clock, hours * hourMs, hours)
      broker = await createBroker(options)
      await until(clock, () => isBack(sender) && isBack(inbox))
    },
    async [Symbol.asyncDispose]() {
      await bus.close()
      await broker.close()
      folder[Symbol.dispose]()
    },
  }
}

test('a send across an outage of two days ends as OUTCOME_UNKNOWN after half of the dedupe window, and is not repeated', async () => {
  await using it = await world()
  let end: unknown = 'it waits'
  await it.away(48, async () => {
    it.sender.send(message('m1')).then(
      () => (end = 'sent'),
      (error: unknown) => (end = codeOf(error)),
    )
    await pass(it.clock, 11 * hourMs, 11)
    expect(end).toBe('it waits')
    await pass(it.clock, 2 * hourMs, 2)
    expect(end).toBe('OUTCOME_UNKNOWN')
  })
  await turns(100)
  expect(it.came).toEqual([])
  // Who decides to send it again all the same sends what nobody knows any more.
  expect(await it.sender.send(message('m1'))).toEqual({ seq: 1, duplicate: false })
})

test('a send across an outage of less than half of the window is through when the broker is back, once', async () => {
  await using it = await world()
  let receipt: unknown
  await it.away(11, async () => void it.sender.send(message('m1')).then((sent) => (receipt = sent)))
  await until(it.clock, () => receipt !== undefined && it.came.length > 0)
  expect(receipt).toEqual({ seq: 1, duplicate: false })
  expect(await it.sender.send(message('m1'))).toEqual({ seq: 1, duplicate: true })
  expect(it.came.map(({ id }) => id)).toEqual(['m1'])
})

test('what was settled before an outage is known for a day, however often the broker starts, and is new after two', async () => {
  await using it = await world()
  const { sender, clock, came } = it
  for (const id of ['m1', 'm2']) await sender.send(message(id))
  await until(clock, () => came.length === 2)
  expect(await sender.revoke({ to: 'inbox', id: 'm3' })).toBe('unknown')

  await it.away(23)
  expect(await sender.send(message('m1'))).toEqual({ seq: 1, duplicate: true })
  await expect(sender.send(message('m2', 'other'))).rejects.toMatchObject({ code: 'ID_CONFLICT' })
  await expect(sender.send(message('m3'))).rejects.toMatchObject({ code: 'REVOKED' })

  await it.away(25)
  const refusals = new Set(['ID_CONFLICT', 'REVOKED'])
  const isNew = async (id: string, text?: string): Promise<boolean> => {
    const receipt = await sender.send(message(id, text)).catch((error: unknown) => {
      expect(refusals).toContain(codeOf(error))
    })
    return receipt?.duplicate === false
  }
  for (const [id, text] of [['m1'], ['m2', 'other'], ['m3']] as const) await until(clock, () => isNew(id, text))
  await until(clock, () => came.length === 5)
  const all = came.map(({ id, payload }) => [id, new TextDecoder().decode(payload)])
  expect(all.slice(2)).toEqual([
    ['m1', 'm1'],
    ['m2', 'other'],
    ['m3', 'm3'],
  ])
})

test('inside the process a store that confirms nothing for half of the window ends as OUTCOME_UNKNOWN', async () => {
  const clock = createManualClock()
  let isBroken = false
  const faults = (): { outcome: 'limbo' } | undefined => (isBroken ? { outcome: 'limbo' } : undefined)
  await using store = createMemoryStore({ schema: brokerSchema, faults, defer: (task) => setImmediate(task) })
  await using broker = await createBroker({ store, clock })
  const peer = await broker.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
  isBroken = true
  let end: unknown = 'it waits'
  peer.send(message('m1')).catch((error: unknown) => (end = codeOf(error)))
  await pass(clock, 11 * hourMs, 110)
  expect(end).toBe('it waits')
  await pass(clock, 2 * hourMs, 20)
  expect(end).toBe('OUTCOME_UNKNOWN')
  isBroken = false
  expect(await peer.send(message('m2'))).toMatchObject({ duplicate: false })
})
