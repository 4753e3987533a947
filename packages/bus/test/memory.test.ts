import { createMemoryBus } from '@greenroom/bus'
import { applicable, createManualClock } from '@greenroom/bus/testing'
import type { Delivery } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'

describe('the bus in memory keeps the contract', () => {
  const able = {
    capabilities: ['ttl', 'quotas', 'dead-letters', 'visibility'],
    controls: ['cut', 'advance', 'operator', 'settings'],
  } as const
  for (const { name, controls, settings, run } of applicable(able))
    test(name, async () => {
      const clock = createManualClock()
      const ownsTime = controls?.includes('advance') === true
      await using bus = createMemoryBus({ ...settings, ...(ownsTime ? { clock } : {}) })
      await run({
        bus: async () => bus.client(),
        operator: async () => bus.operator,
        cut: async (address) => {
          bus.cut(address)
          setImmediate(() => bus.restore(address))
        },
        ...(ownsTime ? { advance: async (ms) => clock.jump(ms) } : {}),
      })
    })
})

test.for(['incarnation', 'named'] as const)(
  'who is gone from a mailbox of lifetime %s is remembered for the dedupe window, and no longer',
  async (lifetime) => {
    const clock = createManualClock()
    await using bus = createMemoryBus({ clock, dedupeWindowMs: 60_000 })
    const life = { address: 'worker.1', incarnation: 'w1', lifetime }
    const other = await bus.attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
    await (await bus.attach(life)).drain()
    await other.fence({ address: 'worker.2', incarnation: 'w2' })
    clock.jump(59_999)
    await expect(bus.attach(life)).rejects.toMatchObject({ code: 'FENCED' })
    await expect(bus.attach({ ...life, address: 'worker.2', incarnation: 'w2' })).rejects.toMatchObject({
      code: 'FENCED',
    })
    clock.jump(1)
    expect((await bus.attach(life)).state).toBe('attached')
    expect((await bus.attach({ ...life, address: 'worker.2', incarnation: 'w2' })).state).toBe('attached')
  },
)

test('live messages on their way are bounded: beyond it they are dropped, in order, and there is room again afterwards', async () => {
  const clock = createManualClock()
  await using bus = createMemoryBus({ clock, defer: clock.defer, limits: { liveBytes: 100 } })
  const came: number[] = []
  const onLive = ({ payload }: { readonly payload: Uint8Array }): void => void came.push(payload[0] ?? -1)
  await bus.attach({ address: 'deaf', incarnation: 'd1', lifetime: 'named', onLive })
  const loud = await bus.attach({ address: 'loud', incarnation: 'l1', lifetime: 'named' })
  const flood = (from: number): void => {
    for (let index = from; index < from + 10; index += 1)
      loud.publish({ to: 'deaf', kind: 'x', payload: new Uint8Array(40).fill(index) })
  }
  flood(0)
  await clock.settle()
  flood(10)
  await clock.settle()
  expect(came).toEqual([0, 1, 10, 11])
})

test('nothing times out while its consumer is away or the machine sleeps, and no timer stays', async () => {
  const clock = createManualClock()
  const bus = createMemoryBus({ clock, defer: clock.defer })
  const came: Delivery[] = []
  const onMessage = (delivery: Delivery): void => void came.push(delivery)
  const own = { address: 'b', incarnation: 'b1', lifetime: 'named', visibilityMs: 10_000, onMessage } as const
  const peer = await bus.attach(own)
  await peer.send({ to: 'b', id: 'm1', kind: 'note', payload: new Uint8Array() })
  await clock.advance(9_000)
  bus.cut('b')
  await clock.advance(20_000)
  bus.restore('b')
  await clock.advance(9_999)
  clock.suspend(3_600_000)
  await clock.advance(9_999)
  expect(came.map(({ attempt }) => attempt)).toEqual([1])
  await clock.advance(1)
  expect(came.map(({ attempt }) => attempt)).toEqual([1, 2])
  await bus.close()
  expect(clock.timers.length).toBe(0)
})

test('a delivery that times out on its way to its consumer is handed over once, as what it is by then', async () => {
  const clock = createManualClock()
  await using bus = createMemoryBus({ clock, defer: clock.defer })
  const came: number[] = []
  const onMessage = ({ attempt }: Delivery): void => void came.push(attempt)
  const peer = await bus.attach({ address: 'b', incarnation: 'b1', lifetime: 'named', visibilityMs: 1_000, onMessage })
  const sent = peer.send({ to: 'b', id: 'm1', kind: 'note', payload: new Uint8Array() })
  clock.jump(2_000)
  await sent
  await clock.settle()
  expect(came).toEqual([3])
})
