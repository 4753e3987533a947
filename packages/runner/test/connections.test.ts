import { createBroker } from '@greenroom/broker'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FabricStage } from './fixtures/fabric-stage.ts'
import { outputs } from './fixtures/resident-stage.ts'
import { firstData, temporaryFolder, testRunner, until } from './fixtures/setup.ts'

test('all runs of a runner share its connection, and each worker has one', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const token = 'a-token-of-some-length'
  await using broker = await createBroker({ listen: { socket: join(folder.path, 'bus.sock') }, token })
  await using runner = await testRunner({ bus: { url: broker.url ?? '', token }, pool: { maxIdle: 0 } })
  await until(() => broker.stats().connections === 1)
  const runs = Array.from({ length: 3 }, () => runner.run({ role: 'wait' }))
  for (const run of runs) await firstData(run, 'pid')
  expect(broker.stats()).toMatchObject({ connections: 1 + 3, attached: 1 + 3 })
  await Promise.all(runs.map((run) => run.cancel()))
  await until(() => broker.stats().connections === 1)
})

test('all runs of a runner at a remote share one connection and one mailbox there', { timeout: 30_000 }, async () => {
  await using stage = new FabricStage()
  const { broker, record } = await stage.member('a', { slots: 3 })
  const runner = await stage.runner(record)
  const runs = Array.from({ length: 3 }, () => runner.run({ role: 'hold' }))
  await until(() => stage.held.length === 3)
  // The other one is the worker's.
  expect(broker.stats()).toMatchObject({ connections: 1 + 1, attached: 1 + 1, mailboxes: 1 + 1 })
  for (const { end } of stage.held) end()
  expect(await outputs(runs)).toEqual(['a', 'a', 'a'])
})
