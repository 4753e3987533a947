import { createMemoryBus } from '@greenroom/bus'
import { applicable, createManualClock } from '@greenroom/bus/testing'
import { describe, test } from 'vitest'

describe('the bus in memory keeps the contract', () => {
  for (const { name, controls, run } of applicable({ capabilities: ['ttl', 'quotas'], controls: ['cut', 'advance'] }))
    test(name, async () => {
      const clock = createManualClock()
      const ownsTime = controls?.includes('advance') === true
      await using bus = createMemoryBus(ownsTime ? { clock } : {})
      await run({
        bus: async () => bus.client(),
        cut: async (address) => {
          bus.cut(address)
          setImmediate(() => bus.restore(address))
        },
        ...(ownsTime ? { advance: async (ms) => clock.jump(ms) } : {}),
      })
    })
})
