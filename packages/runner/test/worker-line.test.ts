import { createMemoryBus } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { GreenroomError, limits, systemClock, type Peer } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { Markers } from '../src/drive/markers.ts'
import { WorkerLine } from '../src/drive/worker-line.ts'
import { until } from './fixtures/setup.ts'

test('an assignment of which the broker may have forgotten the claim counts as claimed', async () => {
  const clock = createManualClock()
  await using bus = createMemoryBus()
  const peer = await bus.client().attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
  const line = new WorkerLine(peer, 'worker.1', clock)
  clock.suspend(limits.dedupeWindowMs / 2)
  expect(await line.withdraw({ runId: 'one', epoch: 1 })).toBe('unknown')
  // The machine slept a little longer.
  clock.suspend(1)
  expect(await line.withdraw({ runId: 'two', epoch: 1 })).toBe('claimed')
})

test('a call that was given up after half of the window proves nothing, and ends nothing', async () => {
  await using bus = createMemoryBus()
  const peer = await bus.client().attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
  let unknown = 1
  const asleep = (): Promise<never> | undefined => {
    unknown -= 1
    return unknown < 0 ? undefined : Promise.reject(new GreenroomError('OUTCOME_UNKNOWN'))
  }
  const forgetful: Peer = Object.assign(Object.create(peer), {
    revoke: (...call: Parameters<Peer['revoke']>) => asleep() ?? peer.revoke(...call),
    send: (...call: Parameters<Peer['send']>) => asleep() ?? peer.send(...call),
  })
  const line = new WorkerLine(forgetful, 'worker.1', systemClock)
  expect(await line.withdraw({ runId: 'one', epoch: 1 })).toBe('claimed')
  unknown = 1
  const markers = new Markers(forgetful, systemClock, { runId: 'one', epoch: 1 }, 'marker')
  const passed = markers.pass('data', new AbortController().signal)
  await until(() => bus.stats().messages === 1, 'the second marker')
  markers.cameBack('data')
  await passed
})
