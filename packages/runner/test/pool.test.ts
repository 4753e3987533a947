/** Warm workers, in real processes. */
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Outcome } from '@greenroom/proto'
import { expect, test } from 'vitest'
import {
  createMemorySessions,
  createRunner,
  type Roles,
  type Run,
  type RunnerOptions,
  type RunStatus,
  type SessionStore,
} from '../src/index.ts'
import { firstData, isAlive, keepingLogger, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'
import type { TestExecutors } from './fixtures/setup.ts'

type Miss = NonNullable<NonNullable<RunStatus['worker']>['miss']>

function missOf(run: Run<unknown>): Miss | undefined {
  return run.status().worker?.miss
}

function fieldsOf(run: Run<unknown>): readonly string[] {
  const miss = missOf(run)
  return miss?.why === 'differs' ? miss.differences.map(({ field }) => field) : [String(miss?.why)]
}

function pidOf(run: Run<unknown>): number | undefined {
  return run.status().worker?.pid
}

test('fifty equal runs, four at a time, use four processes', { timeout: 60_000 }, async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 4 } })
  const runs = Array.from({ length: 50 }, () => runner.run({ role: 'where' }))
  const outcomes = await Promise.all(runs.map((run) => run.outcome))
  expect(outcomes.every(({ status }) => status === 'completed')).toBe(true)
  expect(new Set(runs.map(pidOf)).size).toBe(4)
  expect(runner.stats()).toMatchObject({ runs: [], started: 50, ended: 50, processes: 4 })
  expect(runner.stats().pool).toMatchObject({ idle: 4, hits: 46, misses: { first: 1, busy: 3, differs: 0 } })
})

test('a warm worker keeps nothing of the runs that it is through with', { timeout: 60_000 }, async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1 } })
  const through: WeakRef<Run<unknown>>[] = []
  for (let n = 0; n < 20; n += 1) {
    const run = runner.run({ role: 'where' })
    await run.outcome
    through.push(new WeakRef(run))
  }
  expect(runner.stats()).toMatchObject({ processes: 1, pool: { hits: 19 } })
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  await until(() => {
    if (typeof collect === 'function') collect()
    // Of the last one something may still be on its way.
    return through.filter((run) => run.deref() !== undefined).length <= 2
  })
})

test(
  'fifty runs in fifty worktrees over two models share four workers of an executor that binds both late',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    const worktrees = Array.from({ length: 50 }, (_, n) => join(folder.path, `tree-${n}`))
    await Promise.all(worktrees.map((tree) => mkdir(tree)))
    await using runner = await testRunner({ admission: { maxExecuting: 4 } })
    const runs = worktrees.map((workspace, n) => runner.run({ role: 'nomad', workspace, model: `model-${n % 2}` }))
    for (const [n, run] of runs.entries())
      expect(await run.outcome).toMatchObject({ output: [pidOf(run), worktrees[n], `model-${n % 2}`, 0] })
    expect(new Set(runs.map(pidOf)).size).toBe(4)

    // Without the declaration a worker is used for its own folder and model only.
    const [one, two] = [runner.run({ role: 'where' }), runner.run({ role: 'where', model: 'other' })]
    await Promise.all([one.outcome, two.outcome])
    expect(pidOf(one)).not.toBe(pidOf(two))
  },
)

/** A runner with the role `first` and one that differs from it in one thing. */
async function differing(
  role: Partial<Roles<TestExecutors>[string]>,
  options: Partial<RunnerOptions<TestExecutors>> = {},
): Promise<readonly string[]> {
  await using runner = await createRunner({
    worker,
    roles: { first: { executor: 'where' }, second: { executor: 'where', ...role } },
    dataDir: null,
    quiet: true,
    ...options,
  })
  await runner.run({ role: 'first' }).outcome
  const second = runner.run({ role: 'second' })
  expect(await second.outcome).toMatchObject({ status: 'completed' })
  expect(JSON.stringify(missOf(second))).not.toContain('hunter2')
  return fieldsOf(second)
}

test(
  'each thing that a worker fixes is a miss that names it, and shows digests only',
  { timeout: 60_000 },
  async () => {
    process.env['POOL_TEST'] = 'hunter2'
    expect(await differing({})).toEqual(['role'])
    expect(await differing({ executor: 'nomad' })).toEqual(['executor', 'executorVersion', 'role'])
    expect(await differing({ workspace: '/tmp' })).toEqual(['role', 'workspace'])
    expect(await differing({ model: 'm' })).toEqual(['model', 'role'])
    expect(await differing({ disabledTools: ['bash'] })).toEqual(['role', 'tools'])
    expect(await differing({ mcpServers: [{ name: 'files', command: 'mcp-files' }] })).toEqual(['mcpServers', 'role'])
    expect(await differing({ env: ['POOL_TEST'] })).toEqual(['env:POOL_TEST', 'role'])
    expect(await differing({ secrets: ['TOKEN'] }, { secrets: { TOKEN: 'hunter2' } })).toEqual(['role', 'secret:TOKEN'])
    for (const flag of ['bypass', 'enforce', 'readOnly'] as const)
      expect(await differing({ posture: { unattended: true, [flag]: true } })).toEqual([flag, 'role'])
    expect(await differing({ posture: { unattended: true, nesting: false } })).toEqual(['nesting', 'role'])
    expect(await differing({ posture: { unattended: false } })).toEqual(['role', 'unattended'])
  },
)

test(
  'roles with other MCP servers never share a worker, and no secret of these is told',
  { timeout: 60_000 },
  async () => {
    const [tickets, files] = [
      { name: 'tickets', url: 'http://127.0.0.1:1/' },
      { name: 'files', command: 'mcp-files' },
    ]
    const server = (headers: string, env: string) => ({
      executor: 'where' as const,
      mcpServers: [
        { ...tickets, headers: { authorization: headers } },
        { ...files, env: { TOKEN: env } },
      ],
    })
    const roles = {
      one: server('hunter1', 'hunter2'),
      two: server('hunter3', 'hunter2'),
      three: server('hunter1', 'hunter4'),
    }
    const logger = keepingLogger()
    await using runner = await createRunner({ worker, roles, dataDir: null, logger })
    const pids = new Set<number | undefined>()
    const told: unknown[] = []
    for (const role of ['one', 'two', 'three'] as const) {
      const run = runner.run({ role })
      const end = await run.outcome
      expect(end).toMatchObject({ status: 'completed' })
      pids.add(pidOf(run))
      told.push(end, run.status(), run.workerLog(), runner.stats())
      expect(fieldsOf(run)).toEqual(role === 'one' ? ['first'] : ['mcpServers', 'role'])
    }
    expect(pids.size).toBe(3)
    expect(JSON.stringify([told, logger])).not.toMatch(/hunter/)
  },
)

test('a rotated secret, and a changed variable of the environment, are each a miss that names it', async () => {
  let token = 'hunter2'
  process.env['POOL_TEST'] = 'one'
  await using runner = await createRunner({
    worker,
    roles: { where: { executor: 'where', secrets: ['TOKEN'], env: ['POOL_TEST'] } },
    secrets: { TOKEN: () => Promise.resolve(token) },
    dataDir: null,
    quiet: true,
  })
  const run = async (): Promise<Run<unknown>> => {
    const next = runner.run({ role: 'where' })
    await next.outcome
    return next
  }
  expect(fieldsOf(await run())).toEqual(['first'])
  expect((await run()).status().worker).toMatchObject({ warm: true })
  token = 'hunter3'
  const rotated = await run()
  expect(fieldsOf(rotated)).toEqual(['secret:TOKEN'])
  expect(JSON.stringify(rotated.status())).not.toMatch(/hunter/)
  process.env['POOL_TEST'] = 'two'
  expect(fieldsOf(await run())).toEqual(['env:POOL_TEST'])
})

test('one byte of a file that the executor imports makes warm workers of the old one unusable', async () => {
  using folder = temporaryFolder()
  const file = (name: string): string => join(folder.path, name)
  const library = JSON.stringify(import.meta.resolve('@greenroom/worker'))
  await writeFile(file('answer.ts'), 'export const answer: number = 1\n')
  await writeFile(
    file('worker.ts'),
    `import { defineExecutor, serveWorker } from ${library}
     import { answer } from './answer.ts'
     const ask = defineExecutor({ version: '1', run: () => Promise.resolve({ output: answer }) })
     await serveWorker({ executors: { ask } })
     `,
  )
  await using runner = await createRunner({
    worker: pathToFileURL(file('worker.ts')),
    roles: { ask: { executor: 'ask' } },
    dataDir: null,
  })
  const run = async (): Promise<Run<unknown>> => {
    const next = runner.run({ role: 'ask' })
    await next.outcome
    return next
  }
  expect(await (await run()).outcome).toMatchObject({ status: 'completed', output: 1 })
  expect((await run()).status().worker).toMatchObject({ warm: true })
  await writeFile(file('answer.ts'), 'export const answer: number = 2\n')
  const changed = await run()
  expect(await changed.outcome).toMatchObject({ output: 2 })
  expect(fieldsOf(changed)).toEqual(['bundle'])
  await appendFile(file('worker.ts'), ' ')
  expect(fieldsOf(await run())).toEqual(['bundle'])
})

test('a worker that died while it was parked is not handed out', async () => {
  await using runner = await testRunner()
  const first = runner.run({ role: 'where' })
  await first.outcome
  process.kill(pidOf(first) ?? 0, 'SIGKILL')
  await until(() => runner.stats().pool.idle === 0)
  const second = runner.run({ role: 'where' })
  expect(await second.outcome).toMatchObject({ status: 'completed' })
  expect(second.status()).toMatchObject({ attempts: 1, worker: { warm: false } })
})

test('a warm worker that is killed between checkout and claim costs one new attempt and nothing else', async () => {
  await using runner = await testRunner()
  const first = runner.run({ role: 'where' })
  await first.outcome
  const pid = pidOf(first) ?? 0
  // It cannot claim any more, and its end is not seen yet.
  process.kill(pid, 'SIGSTOP')
  const second = runner.run({ role: 'where' })
  await until(() => pidOf(second) === pid)
  process.kill(pid, 'SIGKILL')
  expect(await second.outcome).toMatchObject({ status: 'completed' })
  expect(second.status()).toMatchObject({ attempts: 2, worker: { warm: false } })
  expect(pidOf(second)).not.toBe(pid)
})

test('a worker is parked after a success only', async () => {
  await using runner = await testRunner()
  const failed = runner.run({ role: 'fail', task: 'throw' })
  await failed.outcome
  const waiting = runner.run({ role: 'wait' })
  await firstData(waiting, 'pid')
  await waiting.cancel()
  await until(() => runner.stats().processes === 0)
  expect(runner.stats().pool).toMatchObject({ idle: 0, ended: { untrusted: 2 } })

  // Also of a run that has another attempt.
  const failing = { executor: 'fail', idempotent: true, retry: { attempts: 2, backoffMs: 1 } } as const
  await using stubborn = await createRunner({ worker, roles: { failing }, dataDir: null, quiet: true })
  const again = stubborn.run({ role: 'failing', task: 'later' })
  expect(await again.outcome).toMatchObject({ status: 'failed', code: 'MY_CODE' })
  expect(again.status().attempts).toBe(2)
  await until(() => stubborn.stats().processes === 0)
  expect(stubborn.stats().pool).toMatchObject({ idle: 0, hits: 0, ended: { untrusted: 2 } })
})

test('a worker whose executor is cooperative is given several runs at a time', async () => {
  const roles = { many: { executor: 'cooperative' }, held: { executor: 'shared' } } as const
  await using runner = await createRunner({ worker, roles, dataDir: null, admission: { maxExecuting: 9 } })
  await runner.run({ role: 'many' }).outcome
  const runs = Array.from({ length: 5 }, () => runner.run({ role: 'many' }))
  await Promise.all(runs.map((run) => run.outcome))
  expect(new Set(runs.map(pidOf)).size).toBe(2)
  expect(runs.filter((run) => run.status().worker?.warm === true)).toHaveLength(4)
  // As many as it showed while it was idle: by and by it shows fewer.
  const pids: unknown[] = []
  for (let n = 0; n < 9; n += 1) pids.push(await firstData(runner.run({ role: 'held' }), 'pid'))
  expect(pids.map((pid) => pids.indexOf(pid))).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 8])
  await runner.close()
})

test('no more processes are there than may: an idle one of another kind makes room', async () => {
  await using runner = await testRunner({ admission: { maxProcesses: 1 } })
  const one = runner.run({ role: 'where' })
  await one.outcome
  const other = runner.run({ role: 'nomad' })
  expect(await other.outcome).toMatchObject({ status: 'completed' })
  expect(isAlive(pidOf(one) ?? 0)).toBe(false)
  expect(runner.stats()).toMatchObject({ processes: 1, pool: { ended: { evicted: 1 } } })
})

test('a run that is cancelled while it waits for a process ends at once', async () => {
  await using runner = await testRunner({ admission: { maxProcesses: 1 } })
  const first = runner.run({ role: 'wait' })
  await firstData(first, 'pid')
  const second = runner.run({ role: 'where' })
  await until(() => runner.stats().executing === 2)
  expect(second.status()).toMatchObject({ phase: 'queued' })
  expect(await second.cancel('no')).toEqual({ status: 'cancelled', reason: 'no' })
  expect(second.status().attempts).toBe(0)
  await first.cancel()
})

test('a run that is cancelled before its claim takes nothing from those that share its worker', async () => {
  await using runner = await testRunner()
  const sibling = runner.run({ role: 'shared' })
  const pid = Number(await firstData(sibling, 'pid'))
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
  for (let n = 0; n < 40; n += 1) {
    const run = runner.run({ role: 'shared' })
    while (run.status().attempts === 0) await turn()
    for (let turns = 0; turns < n % 8; turns += 1) await turn()
    expect(await run.cancel('no')).toMatchObject({ status: 'cancelled' })
  }
  expect(isAlive(pid)).toBe(true)
  expect(sibling.status()).toMatchObject({ phase: 'running', attempts: 1 })
  await sibling.cancel('enough')
  // It was never in doubt: a run that came to nothing says nothing about its worker.
  expect(await sibling.outcome).toMatchObject({ status: 'cancelled', reason: 'enough' })
})

test('a run that could not even be recorded takes nothing from those that share its worker', async () => {
  const store = createMemorySessions()
  const sessions: SessionStore = {
    ...store,
    append: (id, entries) => (id === 'torn' ? Promise.reject(new Error('store down')) : store.append(id, entries)),
  }
  await using runner = await testRunner({ sessions })
  const sibling = runner.run({ role: 'shared' })
  const pid = Number(await firstData(sibling, 'pid'))
  const torn = runner.run({ role: 'shared', session: 'torn', task: 'x' })
  expect(await torn.outcome).toMatchObject({ status: 'failed', message: 'store down' })
  expect(torn.status().worker).toMatchObject({ pid, warm: true })
  expect(await runner.run({ role: 'shared', limits: { totalMs: 1 } }).outcome).toMatchObject({ status: 'timeout' })
  expect(isAlive(pid)).toBe(true)
  expect(await sibling.cancel('enough')).toMatchObject({ status: 'cancelled', reason: 'enough' })
})

test('workers that hang at their start are not started again and again', { timeout: 30_000 }, async () => {
  using folder = temporaryFolder()
  const file = join(folder.path, 'hangs.ts')
  await writeFile(file, 'setTimeout(() => undefined, 60_000)\n')
  await using runner = await createRunner({
    worker: pathToFileURL(file),
    roles: { hang: { executor: 'hang', limits: { acceptColdMs: 100 } } },
    dataDir: null,
    quiet: true,
  })
  const outcomes: Outcome[] = []
  for (let n = 0; n < 3; n += 1) outcomes.push(await runner.run({ role: 'hang' }).outcome)
  const timeout = { status: 'timeout', which: 'accept' }
  // Each has two attempts; the fifth start is the last.
  expect(outcomes).toMatchObject([timeout, timeout, { code: 'WORKER_SPAWN_FAILED', retry: 'later' }])
  const started = runner.stats().pool.misses
  expect(started.first + started.busy).toBe(5)
})

test('workers are kept ready before anybody asks, and replaced when they are taken', async () => {
  await using runner = await testRunner({ pool: { prewarm: { where: 2 } } })
  await until(() => runner.stats().pool.idle === 2)
  const run = runner.run({ role: 'where' })
  await run.outcome
  expect(run.status().worker).toMatchObject({ warm: true })
  await until(() => runner.stats().pool.idle === 3)
})

test('closing a runner with idle workers takes no time, and none of them stays', async () => {
  const runner = await testRunner({ pool: { prewarm: { where: 4 } } })
  await until(() => runner.stats().pool.idle === 4)
  const run = runner.run({ role: 'where' })
  await run.outcome
  const before = performance.now()
  await runner[Symbol.asyncDispose]()
  const ms = Math.round(performance.now() - before)
  console.log(`a runner with four idle workers is disposed of in ${ms} ms`)
  expect(isAlive(pidOf(run) ?? 0)).toBe(false)
  expect(ms).toBeLessThan(3_000)
})

test('workers that never come up are not started again and again', { timeout: 30_000 }, async () => {
  process.env['WORKER_FAULT'] = 'exit'
  await using runner = await createRunner({
    worker,
    roles: { where: { executor: 'where', env: ['WORKER_FAULT'] } },
    dataDir: null,
    quiet: true,
  })
  const codes: unknown[] = []
  for (let n = 0; n < 5; n += 1) codes.push((await runner.run({ role: 'where' }).outcome).status)
  expect(codes).toEqual(Array.from({ length: 5 }, () => 'failed'))
  const started = runner.stats().pool.misses
  const refused = await runner.run({ role: 'where' }).outcome
  expect(refused).toMatchObject({
    code: 'WORKER_SPAWN_FAILED',
    retry: 'later',
    message: expect.stringMatching(/5 workers in a row.*line two/s),
  })
  expect(runner.stats().pool.misses).toEqual(started)
  delete process.env['WORKER_FAULT']
})

test('what a worker writes for a run can be read from the run, and the next run begins anew', async () => {
  await using runner = await testRunner()
  const first = runner.run({ role: 'noisy' })
  await first.outcome
  await until(() => first.workerLog().length === 2)
  const second = runner.run({ role: 'noisy' })
  await second.outcome
  await until(() => second.workerLog().length === 2)
  expect(second.status().worker).toMatchObject({ warm: true })
  expect(first.workerLog().toSorted()).toEqual(['to stderr', 'to stdout'])
  const third = runner.run({ role: 'mortal' })
  expect(await third.outcome).toMatchObject({ status: 'completed' })
  await until(() => third.workerLog().includes('in attempt 2'))
  expect(third.workerLog()).toEqual(['in attempt 2'])
})

test('with inspect no bound on time ends a run', async () => {
  const limits = { acceptColdMs: 1, acceptWarmMs: 1, firstEventMs: 1, noProgressMs: 1, toolMs: 1, totalMs: 1 }
  await using runner = await testRunner({ inspect: true, limits })
  const run = runner.run({ role: 'tool' })
  await firstData(run, 'pid')
  // Longer than both sides take to look at their clocks.
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect(run.status().phase).toBe('running')
  expect(await run.cancel('enough')).toMatchObject({ status: 'cancelled', reason: 'enough' })
})

test('with inspect each worker waits for a debugger and says where', async () => {
  const logger = keepingLogger()
  await using runner = await testRunner({ inspect: true, quiet: false, logger })
  const run = runner.run({ role: 'wait' })
  await firstData(run, 'pid')
  const line = await until(() => logger.lines.find((text) => text.includes('ws://127.0.0.1:')))
  expect(line).toMatch(/^wait\/\d+: Debugger listening on/)
  const [, port] = /127\.0\.0\.1:(\d+)/.exec(line) ?? []
  const answer = await fetch(`http://127.0.0.1:${port}/json/version`)
  expect(await answer.json()).toMatchObject({ Browser: expect.stringContaining('node.js') })
  await run.cancel()
})
