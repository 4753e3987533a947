import { readFileSync, realpathSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineExecutor } from '@greenroom/worker'
import { expect, test } from 'vitest'
import { keepingLogger, readAll, roles, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'
import { openTheatre } from './fixtures/threadless.ts'
import { createRunner } from '../src/index.ts'
import { moduleOptions } from '../src/platform/process-launcher.ts'

test('a run does its task in a fresh worker and brings back one outcome', async () => {
  await using runner = await testRunner()
  const before = performance.now()
  const run = runner.run({ role: 'echo', task: 'hello' })
  const outcome = await run.outcome
  console.log(`first run, cold: ${Math.round(performance.now() - before)} ms`)
  expect(outcome).toMatchObject({ status: 'completed', text: 'hello', output: { messages: 1 } })
  const { worker: used, ...status } = run.status()
  expect(status).toMatchObject({
    runId: run.id,
    role: 'echo',
    phase: 'ended',
    attempts: 1,
    events: 2,
    status: 'completed',
    placement: { kind: 'local', host: hostname() },
  })
  expect(used?.warm).toBe(false)
  expect(outcome).toMatchObject({ output: { pid: used?.pid } })
})

test('a command is a worker, in its folder, and is told so by its last argument', async () => {
  using folder = temporaryFolder()
  const script = 'pwd > where; echo "$0 $@" > words; exec "$0" "$@"'
  const words = [process.execPath, ...moduleOptions(process.execArgv), fileURLToPath(worker.url)]
  await using runner = await createRunner({
    worker: { command: ['sh', '-c', script, ...words], cwd: folder.path },
    roles: { echo: { executor: 'echo' } },
    dataDir: null,
    quiet: true,
  })
  expect(await runner.run({ role: 'echo', task: 'hello' }).outcome).toMatchObject({
    status: 'completed',
    text: 'hello',
  })
  const read = (name: string): string => readFileSync(join(folder.path, name), 'utf8')
  expect([read('where'), read('words')]).toEqual([
    `${realpathSync(folder.path)}\n`,
    `${[...words, '--greenroom-worker'].join(' ')}\n`,
  ])
})

test('input and output are typed by the executor', async () => {
  await using runner = await testRunner()
  const outcome = await runner.run({ role: 'add', input: { a: 2, b: 3 } }).outcome
  expect(outcome).toEqual({ status: 'completed', output: { sum: 5 }, text: 'added', usage: { rounds: 1 } })
  if (outcome.status === 'completed') expect(outcome.output.sum.toFixed(1)).toBe('5.0')
})

test('a reader sees every event exactly once and in order', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'count', input: { count: 3_000 } })
  const events = await readAll(run)
  expect(events.map((event) => (event.type === 'skipped' ? 'skipped' : event.seq))).toEqual(
    Array.from({ length: 3_000 }, (_, n) => n + 1),
  )
  expect(events[0]).toEqual({ type: 'data', name: 'n', data: [1, ''], seq: 1, epoch: 1 })
  expect(events[1]).toEqual({ type: 'text-delta', text: '2 ', seq: 2, epoch: 1 })
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 3_000 })
})

test('an executor that throws or fails ends the run as failed, with its words', async () => {
  await using runner = await testRunner()
  const [thrown, own] = await Promise.all([
    runner.run({ role: 'fail', task: 'throw' }).outcome,
    runner.run({ role: 'fail' }).outcome,
  ])
  expect(thrown).toEqual({ status: 'failed', code: 'EXECUTOR_ERROR', message: 'it broke', retry: 'never' })
  expect(own).toEqual({ status: 'failed', code: 'MY_CODE', message: 'my words', retry: 'later' })
})

test('the next run of a session sees its transcript, also from a new runner on the same folder', async () => {
  using folder = temporaryFolder()
  {
    await using runner = await testRunner({ dataDir: folder.path })
    expect(await runner.run({ role: 'echo', task: 'one', session: 's1' }).outcome).toMatchObject({
      output: { messages: 1 },
    })
    expect(await runner.run({ role: 'echo', task: 'two', session: 's1' }).outcome).toMatchObject({
      output: { messages: 3 },
    })
  }
  await using runner = await testRunner({ dataDir: folder.path })
  const added = { role: 'user', content: 'from elsewhere' } as const
  expect(await runner.run({ role: 'echo', session: 's1', messages: [added] }).outcome).toMatchObject({
    text: 'from elsewhere',
    output: { messages: 5 },
  })
  expect(await runner.sessions.messages('s1')).toEqual([
    { role: 'user', content: 'one' },
    { role: 'assistant', content: 'said: one' },
    { role: 'user', content: 'two' },
    { role: 'assistant', content: 'said: two' },
    added,
    { role: 'assistant', content: 'said: from elsewhere' },
  ])
})

test('what an executor says is in the transcript as it is, whoever speaks', async () => {
  const said = (['assistant', 'tool', 'system', 'user'] as const).map((role) => ({ role, content: `as ${role}` }))
  const talk = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      for (const message of said) await ctx.emit({ type: 'message', message })
    },
  })
  await using theatre = await openTheatre({ talk })
  expect(await theatre.runner.run({ role: 'talk', session: 's' }).outcome).toMatchObject({ status: 'completed' })
  expect(await theatre.runner.sessions.messages('s')).toEqual(said)
})

test('a history above a megabyte arrives whole', async () => {
  await using runner = await testRunner()
  const messages = Array.from({ length: 40 }, (_, n) => ({
    role: 'user' as const,
    content: `${n} ${'x'.repeat(100_000)}`,
  }))
  expect(await runner.run({ role: 'echo', task: 'long', messages }).outcome).toMatchObject({
    status: 'completed',
    output: { messages: 41 },
  })
})

test('a worker gets the secrets of its role, and no environment but the allowed one', async () => {
  process.env['RUNNER_TEST_SECRET'] = 'in the environment'
  await using runner = await createRunner({
    worker,
    roles: { reader: { executor: 'secret', secrets: ['TOKEN', 'OTHER'] }, other: { executor: 'secret' } },
    secrets: { TOKEN: () => Promise.resolve('t0p'), OTHER: 'not declared' },
    dataDir: null,
    quiet: true,
  })
  const [declared, undeclared, notGiven] = await Promise.all([
    runner.run({ role: 'reader', task: 'TOKEN' }).outcome,
    runner.run({ role: 'reader', task: 'OTHER' }).outcome,
    runner.run({ role: 'other', task: 'TOKEN' }).outcome,
  ])
  expect(declared).toMatchObject({ status: 'completed', text: 't0p' })
  expect(undeclared).toMatchObject({ status: 'failed', code: 'SECRET_UNDECLARED' })
  expect(notGiven).toMatchObject({
    status: 'failed',
    code: 'SECRET_MISSING',
    message: expect.stringContaining('the executor "secret" declares it, but the role "other" does not name it'),
  })
  const allowed = new Set(['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'NODE_COMPILE_CACHE', 'PWD', 'OLDPWD', 'SHLVL', '_'])
  expect(declared).toMatchObject({ output: expect.arrayContaining(['PATH', 'NODE_COMPILE_CACHE']) })
  if (declared.status === 'completed')
    expect([declared.output].flat().filter((name) => typeof name !== 'string' || !allowed.has(name))).toEqual([])
})

test('a secret whose function gives none is SECRET_MISSING, and what it threw is not told', async () => {
  await using runner = await createRunner({
    worker,
    roles: { empty: { executor: 'secret', secrets: ['TOKEN'] }, broken: { executor: 'secret', secrets: ['OTHER'] } },
    // @ts-expect-error As from JavaScript.
    secrets: { TOKEN: () => Promise.resolve(undefined), OTHER: () => Promise.reject(new Error('t0p is wrong')) },
    dataDir: null,
    quiet: true,
  })
  expect(await runner.run({ role: 'empty', task: 'TOKEN' }).outcome).toMatchObject({
    code: 'SECRET_MISSING',
    message: `secret "TOKEN": the role "empty" names it, but its function in the runner's secrets gave no text`,
  })
  expect(await runner.run({ role: 'broken', task: 'OTHER' }).outcome).toMatchObject({
    code: 'SECRET_MISSING',
    message: `secret "OTHER": the role "broken" names it, but its function in the runner's secrets threw`,
  })
  expect(runner.stats().processes).toBe(0)
})

test('what a worker writes is passed on with its role and process, or kept quiet', async () => {
  const logger = keepingLogger()
  await using runner = await testRunner({ quiet: false, logger })
  const run = runner.run({ role: 'noisy' })
  await run.outcome
  const source = `noisy/${run.status().worker?.pid}`
  await runner.drain()
  expect(logger.lines.toSorted()).toEqual([`${source}: to stderr`, `${source}: to stdout`])
  const silent = keepingLogger()
  await using quiet = await testRunner({ quiet: true, logger: silent })
  await quiet.run({ role: 'noisy' }).outcome
  await quiet.drain()
  expect(silent.lines).toEqual([])
})

test('a steering text reaches the executor, waits for one that does not ask, and is not-live after the end', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'steered' })
  await until(() => run.status().events > 0, 'its first event')
  expect(await run.send('turn left')).toBe('delivered')
  expect(await run.outcome).toMatchObject({ text: 'turn left' })
  expect(await run.send('too late')).toBe('not-live')
  expect(await runner.sessions.messages(run.id)).toEqual([
    { id: expect.any(String), role: 'user', content: 'turn left' },
    { id: expect.any(String), role: 'user', content: 'too late' },
  ])

  const deaf = runner.run({ role: 'steered', task: 'ignore' })
  expect(await deaf.send('hello?')).toBe('queued')
  expect(await deaf.outcome).toMatchObject({ text: 'ignored' })
  expect((await runner.sessions.messages(deaf.id)).at(-1)).toMatchObject({ role: 'user', content: 'hello?' })
})

test('sixteen runs at once each get a worker and an outcome', async () => {
  await using runner = await testRunner()
  const runs = Array.from({ length: 16 }, (_, n) => runner.run({ role: 'echo', task: `t${n}` }))
  expect(runner.stats()).toMatchObject({ started: 16, ended: 0 })
  const outcomes = await Promise.all(runs.map((run) => run.outcome))
  expect(outcomes.map((outcome) => outcome.status === 'completed' && outcome.text)).toEqual(runs.map((_, n) => `t${n}`))
  expect(new Set(runs.map((run) => run.status().worker?.pid)).size).toBe(8)
  expect(runner.stats()).toMatchObject({ runs: [], started: 16, ended: 16, strayMessages: 0 })
  expect(Object.keys(roles)).toContain('echo')
}, 60_000)
