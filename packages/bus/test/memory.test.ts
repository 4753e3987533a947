import { createMemoryBus } from '@greenroom/bus'
import { applicable, createManualClock } from '@greenroom/bus/testing'
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
