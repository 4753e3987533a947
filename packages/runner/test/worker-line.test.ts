import { createMemoryBus } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { WorkerLine } from '../src/drive/worker-line.ts'

test('an assignment of which the broker may have forgotten the claim counts as claimed', async () => {
  const clock = createManualClock()
  await using bus = createMemoryBus()
  const peer = await bus.client().attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
  const line = new WorkerLine(peer, 'worker.1', clock)
  expect(await line.withdraw({ runId: 'one', epoch: 1 })).toBe('unknown')
  // The machine slept over the weekend.
  clock.suspend(2 * 24 * 3_600_000)
  expect(await line.withdraw({ runId: 'two', epoch: 1 })).toBe('claimed')
})
