/** Runs that wait: for a permit, for their time, for the next attempt. */
import { codeOf } from '@greenroom/proto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createRunner, type Run } from '../src/index.ts'
import { firstData, roles, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'

/** The order in which runs are let in. */
function followed(runs: ReadonlyMap<string, Run<unknown>>): string[] {
  const order: string[] = []
  for (const [name, run] of runs) void run.outcome.then(() => order.push(name))
  return order
}

test('no more runs execute than may, and the others are let in by priority, then in their order', async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1 } })
  const first = runner.run({ role: 'wait' })
  await firstData(first, 'pid')
  const waiting = new Map([
    ['late', runner.run({ role: 'echo', task: 'late' })],
    ['later', runner.run({ role: 'echo', task: 'later' })],
    ['urgent', runner.run({ role: 'echo', task: 'urgent', priority: 1 })],
  ])
  const order = followed(waiting)
  await until(() => runner.stats().queued === 3)
  expect(runner.stats()).toMatchObject({ executing: 1, processes: 1 })
  expect([...waiting.values()].map((run) => run.status().phase)).toEqual(['queued', 'queued', 'queued'])
  await first.cancel()
  await Promise.all([...waiting.values()].map((run) => run.outcome))
  expect(order).toEqual(['urgent', 'late', 'later'])
  expect(runner.stats()).toMatchObject({ executing: 0, queued: 0 })
})

test('runs of a role with a concurrency key wait for each other, and hold up nobody else', async () => {
  await using runner = await createRunner({
    worker,
    roles: { ...roles, deploy: { executor: 'wait', concurrency: { key: 'production', limit: 1 } } },
    dataDir: null,
  })
  const one = runner.run({ role: 'deploy' })
  await firstData(one, 'pid')
  const two = runner.run({ role: 'deploy' })
  expect(await runner.run({ role: 'echo', task: 'passes' }).outcome).toMatchObject({ status: 'completed' })
  expect(two.status().phase).toBe('queued')
  await one.cancel()
  await firstData(two, 'pid')
  await two.cancel()
})

test('one more than may wait is refused by name, and nothing of it is left', async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1, queue: 1 } })
  const runs = [1, 2, 3].map(() => runner.run({ role: 'wait' }))
  expect(await runs[2]?.outcome).toMatchObject({ status: 'failed', code: 'QUEUE_FULL', retry: 'later' })
  expect(runner.stats()).toMatchObject({ executing: 1, queued: 1 })
  await Promise.all(runs.map((run) => run.cancel()))
})

test('a run that is cancelled while it waits ends at once and starts nothing', async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1 } })
  const first = runner.run({ role: 'wait' })
  await firstData(first, 'pid')
  const queued = runner.run({ role: 'echo' })
  const delayed = runner.run({ role: 'echo', delayMs: 60_000 })
  const stop = new AbortController()
  const signalled = runner.run({ role: 'echo', signal: stop.signal })
  await until(() => runner.stats().queued === 2 && delayed.status().phase === 'delayed')
  expect(await queued.cancel('not now')).toEqual({ status: 'cancelled', reason: 'not now' })
  expect(await delayed.cancel('not ever')).toEqual({ status: 'cancelled', reason: 'not ever' })
  stop.abort(new Error('by its signal'))
  expect(await signalled.outcome).toEqual({ status: 'cancelled', reason: 'by its signal' })
  expect([queued, delayed, signalled].map((run) => run.status().attempts)).toEqual([0, 0, 0])
  expect(runner.stats()).toMatchObject({ executing: 1, queued: 0, processes: 1 })
  await first.cancel()
})

test('a delay is over before a run is let in', async () => {
  await using runner = await testRunner()
  const before = performance.now()
  await runner.run({ role: 'echo', delayMs: 300 }).outcome
  expect(performance.now() - before).toBeGreaterThan(295)
})

test('an idempotent run whose worker was killed is tried again, and its outcome is the last attempt’s', async () => {
  using folder = temporaryFolder()
  process.env['WORKER_MARK'] = join(folder.path, 'mark')
  await using runner = await createRunner({
    worker,
    roles: {
      flaky: {
        executor: 'flaky',
        env: ['WORKER_MARK'],
        idempotent: true,
        retry: { attempts: 3, backoffMs: 10 },
      },
    },
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'flaky' })
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 3 })
  expect(run.status().attempts).toBe(3)
  expect(readFileSync(join(folder.path, 'mark'), 'utf8')).toBe('123')
})

test('an executor may say that it is idempotent; its role decides', async () => {
  const retry = { attempts: 2, backoffMs: 1 }
  await using runner = await createRunner({
    worker,
    roles: {
      trusted: { executor: 'mortal', retry },
      careful: { executor: 'mortal', retry, idempotent: false },
    },
    dataDir: null,
    quiet: true,
  })
  expect(await runner.run({ role: 'trusted' }).outcome).toMatchObject({ status: 'completed' })
  expect(await runner.run({ role: 'careful' }).outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST' })
})

test('one that is not idempotent is not, and a failure that says never ends it', async () => {
  using folder = temporaryFolder()
  process.env['WORKER_MARK'] = join(folder.path, 'mark')
  const retry = { attempts: 3, backoffMs: 10 }
  await using runner = await createRunner({
    worker,
    roles: {
      flaky: { executor: 'flaky', env: ['WORKER_MARK'], retry },
      broken: { executor: 'fail', idempotent: true, retry },
    },
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'flaky' })
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', retry: 'later' })
  expect(run.status().attempts).toBe(1)
  const broken = runner.run({ role: 'broken', task: 'throw' })
  expect(await broken.outcome).toMatchObject({ status: 'failed', code: 'EXECUTOR_ERROR', retry: 'never' })
  expect(broken.status().attempts).toBe(1)
  const later = runner.run({ role: 'broken', task: 'later' })
  expect(await later.outcome).toMatchObject({ status: 'failed', code: 'MY_CODE', retry: 'later' })
  expect(later.status().attempts).toBe(3)
})

test('a run that is cancelled while it waits for its next attempt ends at once', async () => {
  using folder = temporaryFolder()
  process.env['WORKER_MARK'] = join(folder.path, 'mark')
  await using runner = await createRunner({
    worker,
    roles: {
      flaky: { executor: 'flaky', env: ['WORKER_MARK'], idempotent: true, retry: { attempts: 3, backoffMs: 60_000 } },
    },
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'flaky' })
  await until(() => run.status().phase === 'delayed')
  expect(runner.stats().executing).toBe(0)
  // It has no worker now.
  expect(run.status()).not.toHaveProperty('worker')
  expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
  await until(() => runner.stats().processes === 0)
})

test('what its attempts used is in the outcome of a run that is cancelled between them', async () => {
  await using runner = await createRunner({
    worker,
    roles: { mortal: { executor: 'mortal', idempotent: true, retry: { attempts: 2, backoffMs: 60_000 } } },
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'mortal' })
  await until(() => run.status().phase === 'delayed')
  expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough', usage: { rounds: 2 } })
})

test('what is no number is refused by name', async () => {
  await expect(testRunner({ admission: { maxExecuting: -1 } })).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringContaining('admission.maxExecuting'),
  })
  const bad = { worker, roles: { echo: { executor: 'echo', retry: { attempts: 0 } } }, dataDir: null } as const
  expect(await createRunner(bad).catch(codeOf)).toBe('BAD_OPTIONS')
})
