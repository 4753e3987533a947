/** What a worker says of a run whose record is damaged. */
import { encodeMessage } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { dead, Scene } from './fixtures/left-over.ts'
import { readAll, until } from './fixtures/setup.ts'

test('what a worker says of a damaged run, its last word too, is there for who repairs it', async () => {
  await using scene = new Scene()
  await scene.left('r1', { attempt: { ...dead, detached: { limits: {} } }, entries: 1 })
  const worker = await scene.worker('r1')
  const { meta = {} } = scene.store.get('run', 'r1') ?? {}
  await scene.store.commit([{ put: 'run', key: 'r1', meta: {} }])
  const event = { type: 'message', message: { role: 'assistant', content: 'second words' } } as const
  const payload = encodeMessage('events', { runId: 'r1', epoch: 1, first: 2, events: [event] })
  await worker.peer.send({ to: 'runner.me', id: 'events-r1-1-2', kind: 'events', payload })
  await worker.say({ lastSeq: 2 })
  const runner = await scene.life()
  expect(await runner.resume()).toEqual([])
  await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  await runner.close()
  await scene.store.commit([{ put: 'run', key: 'r1', meta }])
  const [run] = await (await scene.life({ partitionGraceMs: 200 })).resume()
  if (run === undefined) throw new Error('there is no open run')
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 'its word' })
  const read = (await readAll(run)).map((one) => one.type === 'message' && one.message.content)
  expect(read).toEqual(['first words 1', 'second words'])
})
