/** Each text that was sent to a run is answered, and is in the transcript once: as what the executor took, or at the end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { textOf } from '@greenroom/proto'
import { defineExecutor } from '@greenroom/worker'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createMemorySessions, type Runner, type SessionStore } from '../src/index.ts'
import { settleLate, Steering } from '../src/steering.ts'
import { openTheatre } from './fixtures/threadless.ts'
import { firstData, keepingLogger, testRunner, until } from './fixtures/setup.ts'

const said = async ({ sessions }: Pick<Runner, 'sessions'>, session: string): Promise<string[]> =>
  (await sessions.messages(session)).map(textOf)

/** An executor that takes texts when the test says so. */
function listener() {
  const asked = Promise.withResolvers<number>()
  const taken: string[] = []
  const listen = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      await ctx.emit({ type: 'data', name: 'here', data: true })
      const count = await asked.promise
      if (count === 0) return
      for await (const { text } of ctx.steering) if (taken.push(text) === count) return
    },
  })
  return { ask: asked.resolve, taken, executors: { listen } }
}

test('a text for a worker process that never asks for it is queued at once, and in the transcript at the end', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'wait', session: 's' })
  await firstData(run, 'pid')
  expect(await run.send('hello?')).toBe('queued')
  expect(run.status().phase).toBe('running')
  await run.cancel()
  expect(await said(runner, 's')).toEqual(['waiting', 'hello?'])
})

test('a text that is queued and then taken is in the transcript once, where it was taken', async () => {
  const { ask, taken, executors } = listener()
  await using theatre = await openTheatre(executors)
  const run = theatre.runner.run({ role: 'listen', session: 's' })
  await firstData(run, 'here')
  expect(await Promise.all([run.send('one'), run.send('two', { mode: 'queue' }), run.send('three')])).toEqual([
    'queued',
    'queued',
    'queued',
  ])
  ask(2)
  await run.outcome
  expect(taken).toEqual(['one', 'two'])
  expect(await said(theatre.runner, 's')).toEqual(['one', 'two', 'three'])
})

test('a text whose entry comes before its receipt is what its mode says', async () => {
  const steering = new Steering()
  const carrier = { steer: vi.fn<(...said: string[]) => void>() }
  const sent = (['now', 'queue'] as const).map((mode) => steering.send(mode, 'hello', mode, carrier))
  expect(carrier.steer.mock.calls).toEqual(['now', 'queue'].map((mode) => [mode, 'hello', mode]))
  for (const id of ['queue', 'now'])
    steering.noteTaken({ type: 'message', message: { role: 'user', content: 'hello', id } })
  expect(await Promise.all(sent)).toEqual(['delivered', 'queued'])
  expect(steering.isEmpty).toBe(true)
})

test('what has no entry when its run is over was too late, whatever its mode, in the order in which it came', async () => {
  const steering = new Steering()
  const sent = (['queue', 'now', 'queue'] as const).map((mode, n) =>
    steering.send(`${n}`, `text ${n}`, mode, undefined),
  )
  const kept: string[] = []
  settleLate(steering.close(), async (_, text) => {
    kept.push(text)
    return 'not-live'
  })
  expect(await Promise.all(sent)).toEqual(['not-live', 'not-live', 'not-live'])
  expect(kept).toEqual(['text 0', 'text 1', 'text 2'])
})

test('a text that a worker refused is what the next one does with it, else not-live when the transcript has it', async () => {
  const steering = new Steering()
  const [taken, late] = ['taken', 'late'].map((id) => steering.send(id, 'hello', 'now', undefined))
  for (const steerId of ['taken', 'late']) steering.receipt({ runId: 'r', epoch: 1, steerId, status: 'not-live' })
  steering.receipt({ runId: 'r', epoch: 2, steerId: 'taken', status: 'delivered' })
  steering.noteTaken({ type: 'message', message: { role: 'user', content: 'hello', id: 'taken' } })
  const kept = Promise.withResolvers<'not-live'>()
  settleLate(steering.close(), () => kept.promise)
  expect(await taken).toBe('delivered')
  expect(await Promise.race([late, Promise.resolve('not yet')])).toBe('not yet')
  kept.resolve('not-live')
  expect(await late).toBe('not-live')
})

test('a text that its sender does not wait with is queued while no worker has the run, else answered by that', async () => {
  const steering = new Steering()
  const carrier = { steer: () => undefined }
  const send = (id: string): Promise<string> => steering.send(id, 'hello', 'now', carrier, true)
  expect(await send('before')).toBe('queued')
  steering.handOver(carrier)
  const meanwhile = send('meanwhile')
  steering.receipt({ runId: 'r', epoch: 1, steerId: 'meanwhile', status: 'delivered' })
  expect(await meanwhile).toBe('delivered')
  const lost = send('lost')
  steering.park()
  expect([await lost, await send('after')]).toEqual(['queued', 'queued'])
  expect(steering.close().map(({ id }) => id)).toEqual(['before', 'meanwhile', 'lost', 'after'])
})

test('a text that comes while the end is being recorded is not-live once the transcript has it', async () => {
  const store = createMemorySessions()
  const recorded = Promise.withResolvers<void>()
  const sessions: SessionStore = {
    ...store,
    async append(id, entries) {
      if (entries.some(({ epoch }) => epoch > 0)) await recorded.promise
      await store.append(id, entries)
    },
  }
  await using runner = await testRunner({ sessions })
  const run = runner.run({ role: 'wait', session: 's' })
  await firstData(run, 'pid')
  const cancelled = run.cancel()
  await until(() => run.status().phase === 'ending')
  const sent = run.send('hello?')
  recorded.resolve()
  await cancelled
  expect(await sent).toBe('not-live')
  expect(await said(runner, 's')).toEqual(['waiting', 'hello?'])
})

test('a loop that reads a run may send to it, also while the window is full', async () => {
  const flood = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      const heard = ctx.steering[Symbol.asyncIterator]().next()
      for (let n = 0; n < 5_000; n += 1) await ctx.emit({ type: 'text-delta', text: 'x'.repeat(1_000) })
      return { output: (await heard).value.text }
    },
  })
  await using theatre = await openTheatre({ flood })
  const run = theatre.runner.run({ role: 'flood', session: 's' })
  for await (const event of run) {
    if (event.type !== 'text-delta') continue
    await until(() => run.status().events >= 100, 'a full window')
    expect(await run.send('are you there?')).toBe('queued')
    break
  }
  expect(await run.outcome).toMatchObject({ output: 'are you there?' })
  expect(await said(theatre.runner, 's')).toEqual(['are you there?'])
})

test('a worker killed at each of its steps: each text is answered, and once in the transcript', async () => {
  const answers = new Map<string, number>()
  for (let n = 1, isOver = false; !isOver; n += 1) {
    const { ask, executors } = listener()
    let steps = 0
    let name = ''
    await using theatre = await openTheatre(executors, (step) => {
      if (step.worker !== 1) return
      steps += 1
      if (steps !== n) return
      name = `${n}: ${step.name}`
      step.kill()
    })
    const run = theatre.runner.run({ role: 'listen', session: 's' })
    const sent = [run.send('one'), run.send('two')]
    await Promise.race([run.outcome, Promise.all(sent)])
    sent.push(run.send('three'))
    ask(2)
    const outcome = await run.outcome
    const told = await Promise.all(sent)
    expect((await said(theatre.runner, 's')).toSorted(), name).toEqual(['one', 'three', 'two'])
    const key = `${outcome.status}: ${told.join()}`
    answers.set(key, (answers.get(key) ?? 0) + 1)
    isOver = steps < n
  }
  console.log('killed at each step:', Object.fromEntries(answers))
  expect([...answers.keys()].join()).toMatch(/failed: queued,queued,not-live/)
})

test('a queued text that can be kept nowhere breaks nothing', async () => {
  const stray: unknown[] = []
  const onStray = (error: unknown): void => void stray.push(error)
  process.on('unhandledRejection', onStray)
  onTestFinished(() => void process.off('unhandledRejection', onStray))
  const sessions = { ...createMemorySessions(), append: () => Promise.reject(new Error('the disk is gone')) }
  await using runner = await testRunner({ sessions, logger: keepingLogger() })
  const run = runner.run({ role: 'wait' })
  await firstData(run, 'pid')
  expect(await run.send('hello?')).toBe('queued')
  await run.cancel()
  await sleep(10)
  expect(stray).toEqual([])
  await runner.close()
})
