/** What a worker says of a run whose record is damaged. It FAILS: nothing mends it yet. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { dead, Scene } from './fixtures/left-over.ts'

test('the last word of a damaged run is there for who repairs it', async () => {
  await using scene = new Scene()
  await scene.left('r1', { attempt: { ...dead, detached: { limits: {} } }, entries: 1 })
  const worker = await scene.worker('r1')
  const { meta = {} } = scene.store.get('run', 'r1') ?? {}
  await scene.store.commit([{ put: 'run', key: 'r1', meta: {} }])
  await worker.say({ lastSeq: 1 })
  const runner = await scene.life()
  expect(await runner.resume()).toEqual([])
  await sleep(300)
  await runner.close()
  await scene.store.commit([{ put: 'run', key: 'r1', meta }])
  const [run] = await (await scene.life({ partitionGraceMs: 200 })).resume()
  expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
})
