import { defineExecutor } from '@greenroom/worker'
import { expect, test } from 'vitest'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMemorySessions, createRunner } from '../src/index.ts'
import { openStill } from './fixtures/still.ts'
import { firstData, isAlive, testRunner, until, worker } from './fixtures/setup.ts'

test('a run that is cancelled before it starts never does', async () => {
  const read: string[] = []
  const sessions = createMemorySessions()
  await using runner = await createRunner({
    worker,
    roles: { reader: { executor: 'secret', secrets: ['TOKEN'] } },
    secrets: { TOKEN: () => Promise.resolve(`secret ${read.push('secret')}`) },
    sessions: { ...sessions, messages: (id) => (read.push('session'), sessions.messages(id)) },
    dataDir: null,
  })
  const run = runner.run({ role: 'reader', task: 'x', signal: AbortSignal.abort(new Error('too late')) })
  expect(await run.outcome).toEqual({ status: 'cancelled', reason: 'too late' })
  expect(run.status()).toMatchObject({ attempts: 0, phase: 'ended', status: 'cancelled' })
  expect(runner.stats().processes).toBe(0)
  // Not even a plan was made.
  expect(read).toEqual([])
})

test('a run that is cancelled while its worker starts ends at once and executes nothing', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'echo', task: 'x' })
  const pid = await until(() => run.status().worker?.pid)
  const before = performance.now()
  expect(await run.cancel('changed my mind')).toEqual({ status: 'cancelled', reason: 'changed my mind' })
  console.log(`cancel while starting: ${Math.round(performance.now() - before)} ms`)
  expect(run.status().events).toBe(0)
  await until(() => !isAlive(pid), 'the end of the worker')
})

test('a secret that never comes does not keep a cancel waiting', async () => {
  await using runner = await createRunner({
    worker,
    roles: { reader: { executor: 'secret', secrets: ['TOKEN'] } },
    secrets: { TOKEN: () => new Promise<string>(() => undefined) },
    dataDir: null,
  })
  const run = runner.run({ role: 'reader' })
  await sleep(20)
  expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
})

test('a run that is cancelled while it waits for a remote that is not there ends at once', async () => {
  const placement = { remote: 'ws://127.0.0.1:1', token: 'a-token-of-some-length' }
  await using runner = await createRunner({
    roles: { far: { executor: 'far', placement, limits: { acceptWarmMs: 60_000 } } },
    dataDir: null,
  })
  const run = runner.run({ role: 'far' })
  await until(() => run.status().phase === 'queued' && runner.stats().executing === 1)
  expect(await run.cancel('not any more')).toEqual({ status: 'cancelled', reason: 'not any more' })
  expect(run.status().attempts).toBe(0)
})

test('a cancelled executor hears the reason and the transcript so far is kept', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'wait' })
  await firstData(run, 'pid')
  expect(await run.cancel('stop it')).toEqual({ status: 'cancelled', reason: 'stop it' })
  expect(await runner.sessions.messages(run.id)).toEqual([{ role: 'assistant', content: 'waiting' }])
})

test("the caller's signal cancels, and leaving the scope of a run does", async () => {
  await using runner = await testRunner()
  const stop = new AbortController()
  const signalled = runner.run({ role: 'wait', signal: stop.signal })
  await firstData(signalled, 'pid')
  stop.abort('by signal')
  expect(await signalled.outcome).toEqual({ status: 'cancelled', reason: 'by signal' })
  let outcome
  {
    await using run = runner.run({ role: 'wait' })
    await firstData(run, 'pid')
    outcome = run.outcome
  }
  expect(await outcome).toMatchObject({ status: 'cancelled' })
})

test('an executor that ignores its cancel is cut off after the grace', async () => {
  await using runner = await testRunner({ cancelGraceMs: 200 })
  const run = runner.run({ role: 'stubborn' })
  await until(() => run.status().events > 0)
  const before = performance.now()
  expect(await run.cancel('now')).toMatchObject({ status: 'cancelled', reason: 'now' })
  expect(performance.now() - before).toBeLessThan(3 * 1_200)
})

test('an executor that tidies up has all of its grace for that, and what it says then is kept', async () => {
  let tidyUp = (): void => undefined
  const tidy = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      const { promise: tidied, resolve } = Promise.withResolvers<void>()
      tidyUp = resolve
      await ctx.message('at work')
      await tidied
      await ctx.message('tidied up')
    },
  })
  await using it = await openStill({ tidy }, { cancelGraceMs: 60_000 })
  const run = it.runner.run({ role: 'tidy' })
  await it.clock.settle()
  const cancelled = run.cancel('enough')
  await it.clock.advance(59_999)
  expect(run.status().phase).toBe('cancelling')
  tidyUp()
  expect(await it.end(run)).toEqual({ status: 'cancelled', reason: 'enough' })
  await cancelled
  const said = await it.runner.sessions.messages(run.id)
  expect(said.map(({ content }) => content)).toEqual(['at work', 'tidied up'])
})

test('a worker that hears nothing is ended by force, with the programs it started', async () => {
  await using runner = await testRunner({ cancelGraceMs: 200 })
  const run = runner.run({ role: 'spin' })
  const pids = await firstData(run, 'pids')
  const before = performance.now()
  expect(await run.cancel('now')).toMatchObject({ status: 'cancelled', reason: 'now' })
  const ms = performance.now() - before
  console.log(`forced end of a spinning worker with 200 ms grace: ${Math.round(ms)} ms`)
  expect(ms).toBeLessThan(3 * 1_200)
  for (const pid of Array.isArray(pids) ? pids.map(Number) : [0]) await until(() => !isAlive(pid), `the end of ${pid}`)
})

test('a run that was faster than its cancel is completed', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'add', input: { a: 1, b: 1 } })
  await run.outcome
  expect(await run.cancel()).toMatchObject({ status: 'completed', output: { sum: 2 } })
  expect(run.status().phase).toBe('ended')
})

test('whatever a library throws when it is stopped, the run was cancelled', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'library' })
  for await (const event of run) if (event.type === 'status') break
  expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
})
