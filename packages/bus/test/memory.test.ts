import { createMemoryBus } from '@greenroom/bus'
import { applicable } from '@greenroom/bus/testing'
import { describe, expect, test } from 'vitest'
import { FakeClock } from './fake-clock.ts'

describe('the bus in memory keeps the contract', () => {
  for (const { name, controls, run } of applicable({ capabilities: ['ttl', 'quotas'], controls: ['cut', 'advance'] }))
    test(name, async () => {
      const clock = new FakeClock()
      const ownsTime = controls?.includes('advance') === true
      await using bus = createMemoryBus(ownsTime ? { clock } : {})
      await run({
        bus: async () => bus.client(),
        cut: async (address) => {
          bus.cut(address)
          setImmediate(() => bus.restore(address))
        },
        ...(ownsTime ? { advance: async (ms) => clock.advance(ms) } : {}),
      })
    })
})

test.for(['incarnation', 'named'] as const)(
  'who is gone from a mailbox of lifetime %s is remembered for the dedupe window, and no longer',
  async (lifetime) => {
    const clock = new FakeClock()
    await using bus = createMemoryBus({ clock, dedupeWindowMs: 60_000 })
    const life = { address: 'worker.1', incarnation: 'w1', lifetime }
    const other = await bus.attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
    await (await bus.attach(life)).drain()
    await other.fence({ address: 'worker.2', incarnation: 'w2' })
    clock.advance(59_999)
    await expect(bus.attach(life)).rejects.toMatchObject({ code: 'FENCED' })
    await expect(bus.attach({ ...life, address: 'worker.2', incarnation: 'w2' })).rejects.toMatchObject({
      code: 'FENCED',
    })
    clock.advance(1)
    expect((await bus.attach(life)).state).toBe('attached')
    expect((await bus.attach({ ...life, address: 'worker.2', incarnation: 'w2' })).state).toBe('attached')
  },
)
