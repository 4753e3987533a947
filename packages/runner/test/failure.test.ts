import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { createMemoryBus } from '@greenroom/bus'
import { expect, test } from 'vitest'
import { createRunner, type Launcher, type LaunchSpec, type Run } from '../src/index.ts'
import { programLauncher } from '../src/platform/process-launcher.ts'
import {
  firstData,
  isAlive,
  keepingLogger,
  readAll,
  temporaryFolder,
  testRunner,
  until,
  worker,
} from './fixtures/setup.ts'

test('kill -9 of a worker in mid-run is WORKER_LOST within a second, and the transcript so far is kept', async () => {
  await using runner = await testRunner()
  const run = runner.run({ role: 'wait' })
  const pid = Number(await firstData(run, 'pid'))
  const before = performance.now()
  process.kill(pid, 'SIGKILL')
  const outcome = await run.outcome
  const ms = performance.now() - before
  console.log(`kill -9 of the worker to the outcome: ${Math.round(ms)} ms`)
  expect(outcome).toEqual({
    status: 'failed',
    code: 'WORKER_LOST',
    retry: 'later',
    mayStillRun: false,
    message: 'the worker was ended by SIGKILL',
  })
  expect(ms).toBeLessThan(3 * 1_000)
  expect(await runner.sessions.messages(run.id)).toEqual([{ role: 'assistant', content: 'waiting' }])
  expect(run.status().attempts).toBe(1)
})

test('a worker that dies before its claim is followed by one more', async () => {
  using folder = temporaryFolder()
  process.env['WORKER_FAULT'] = 'die-once'
  process.env['WORKER_MARK'] = join(folder.path, 'died')
  await using runner = await createRunner({
    worker,
    roles: { echo: { executor: 'echo', env: ['WORKER_FAULT', 'WORKER_MARK'] } },
    dataDir: null,
  })
  const run = runner.run({ role: 'echo', task: 'again' })
  expect(await run.outcome).toMatchObject({ status: 'completed', text: 'again' })
  expect(existsSync(process.env['WORKER_MARK'])).toBe(true)
  expect(run.status().attempts).toBe(2)
  expect((await readAll(run)).map((event) => event.epoch)).toEqual([2, 2])
})

test('one that is kept ready and dies before it is there is told of, and followed by one more', async () => {
  using folder = temporaryFolder()
  process.env['WORKER_FAULT'] = 'die-once'
  process.env['WORKER_MARK'] = join(folder.path, 'died')
  const logger = keepingLogger()
  await using runner = await createRunner({
    worker,
    roles: { echo: { executor: 'echo', env: ['WORKER_FAULT', 'WORKER_MARK'] } },
    pool: { prewarm: { echo: 1 } },
    dataDir: null,
    logger,
  })
  await until(() => runner.stats().pool.ended.gone === 1 && runner.stats().pool.idle === 1, 'the second one')
  expect(logger.warnings).toEqual([expect.stringMatching(/did not come up.*was ended by SIGKILL/)])
})

test('a worker whose file fails says so within the time of its start, with its last lines', async () => {
  process.env['WORKER_FAULT'] = 'exit'
  const logger = keepingLogger()
  await using runner = await createRunner({
    worker,
    roles: { echo: { executor: 'echo', env: ['WORKER_FAULT'] } },
    dataDir: null,
    logger,
  })
  const run = runner.run({ role: 'echo' })
  expect(await run.outcome).toEqual({
    status: 'failed',
    code: 'WORKER_SPAWN_FAILED',
    retry: 'later',
    message: 'the worker ended with exit code 7\nline one\nline two',
  })
  expect(run.status().attempts).toBe(1)
  expect(logger.lines.map((line) => line.split(': ')[1])).toEqual(['line one', 'line two'])
})

test("a stranger's mistake in the worker file is in the message, and no stack beside it", async () => {
  using folder = temporaryFolder()
  const mistakes: Readonly<Record<string, readonly [text: string, said: RegExp]>> = {
    'syntax.mts': ['export const x = {', /syntax\.mts:1\n[^]*SyntaxError/],
    'throws.mjs': ["throw new Error('no such setting')", /throws\.mjs:1\n[^]*\nError: no such setting$/],
    'import.mjs': ["import 'not-installed'", /Cannot find package 'not-installed' imported from .*import\.mjs/],
    'silent.mjs': ['export const executors = {}', /exit code 0: does its file call serveWorker\?$/],
  }
  const messages = Object.entries(mistakes).map(async ([name, [text, said]]) => {
    const file = join(folder.path, name)
    writeFileSync(file, text)
    await using runner = await createRunner({
      worker: pathToFileURL(file),
      roles: { any: { executor: 'x' } },
      dataDir: null,
      quiet: true,
    })
    const outcome = await runner.run({ role: 'any' }).outcome
    expect(outcome).toMatchObject({ code: 'WORKER_SPAWN_FAILED', message: expect.stringMatching(said) })
    expect(outcome).toMatchObject({ message: expect.not.stringMatching(/^\s+at |^Node\.js/m) })
  })
  await Promise.all(messages)
})

test('a worker file that is not there is named, and trying again is no help', async () => {
  using folder = temporaryFolder()
  const file = join(folder.path, 'missing.mjs')
  const roles = { any: { executor: 'any', retry: { attempts: 3 } } }
  const options = { worker: pathToFileURL(file), roles, dataDir: null, quiet: true }
  await expect(createRunner(options)).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: `worker must be a file that is there: ${options.worker.href} is none`,
  })
  writeFileSync(file, '')
  await using runner = await createRunner(options)
  // Such as a build that is made anew.
  rmSync(file)
  const run = runner.run({ role: 'any' })
  expect(await run.outcome).toEqual({
    status: 'failed',
    code: 'WORKER_SPAWN_FAILED',
    retry: 'never',
    message: `the worker could not be started: there is no file ${file}`,
  })
  expect(run.status().attempts).toBe(1)
})

test('a program that is not there, and a launcher that throws, are WORKER_SPAWN_FAILED', async () => {
  const roles = { any: { executor: 'any' } }
  await using missing = await createRunner({ worker: { command: ['greenroom-no-such-program'] }, roles, dataDir: null })
  expect(await missing.run({ role: 'any' }).outcome).toMatchObject({
    status: 'failed',
    code: 'WORKER_SPAWN_FAILED',
    retry: 'never',
    message: expect.stringContaining('greenroom-no-such-program'),
  })
  const launcher: Launcher = {
    launch: () => {
      throw new Error('no room')
    },
  }
  await using full = await createRunner({ worker: launcher, roles, dataDir: null })
  expect(await full.run({ role: 'any' }).outcome).toMatchObject({
    status: 'failed',
    code: 'WORKER_SPAWN_FAILED',
    message: 'no room',
  })
})

test('a launcher that breaks its promises does not break a run', async () => {
  const launcher: Launcher = {
    launch: () => ({
      stdin: new PassThrough().resume(),
      stderr: new PassThrough().end(),
      exited: Promise.reject(new Error('lost from sight')),
      kill: () => {
        throw new Error('cannot')
      },
    }),
  }
  const logger = keepingLogger()
  await using runner = await createRunner({
    worker: launcher,
    roles: { any: { executor: 'x' } },
    dataDir: null,
    logger,
  })
  expect(await runner.run({ role: 'any' }).outcome).toMatchObject({
    code: 'WORKER_SPAWN_FAILED',
    message: 'the worker could not be started: lost from sight',
  })
  expect(logger.warnings[0]).toContain('cannot')
})

/** Starts what has ended already. */
function endsAtOnce(stdin: Writable, stderr = new PassThrough().end()): Launcher {
  return {
    launch: () => ({
      stdin,
      stderr,
      exited: Promise.resolve({ code: 1, signal: null }),
      kill: () => undefined,
    }),
  }
}

test('the document is all that a worker reads: then its standard input is closed', async () => {
  const stdin = new PassThrough()
  await using bus = createMemoryBus()
  await using runner = await createRunner({
    bus: bus.client(),
    worker: endsAtOnce(stdin),
    roles: { any: { executor: 'x' } },
    dataDir: null,
    quiet: true,
  })
  const [document] = await Promise.all([text(stdin), runner.run({ role: 'any' }).outcome])
  expect(JSON.parse(document)).toMatchObject({ executors: ['x'] })
})

test('a worker that ends before it has read what it is told is its run’s failure, and no error of the program’s', async () => {
  let isHeard: boolean | undefined
  const stdin = new Writable({
    write(_chunk, _encoding, done) {
      isHeard = this.listenerCount('error') > 0
      done(new Error('write EPIPE'))
    },
  })
  await using runner = await createRunner({
    worker: endsAtOnce(stdin),
    roles: { any: { executor: 'x' } },
    dataDir: null,
    quiet: true,
  })
  expect(await runner.run({ role: 'any' }).outcome).toMatchObject({ code: 'WORKER_SPAWN_FAILED' })
  await until(() => stdin.closed)
  // Else it would have been an error of the program's.
  expect(isHeard).toBe(true)
})

test('the end of a worker is seen all the same where somebody else keeps its output open', async () => {
  const stderr = new PassThrough()
  stderr.write('last words\n')
  await using runner = await createRunner({
    worker: endsAtOnce(new PassThrough().resume(), stderr),
    roles: { any: { executor: 'x' } },
    dataDir: null,
    quiet: true,
  })
  expect(await runner.run({ role: 'any' }).outcome).toMatchObject({
    code: 'WORKER_SPAWN_FAILED',
    message: 'the worker ended with exit code 1\nlast words',
  })
})

test('a worker that ends before it is there is declared gone: what comes for it afterwards is refused', async () => {
  await using bus = createMemoryBus()
  const addresses: string[] = []
  const launcher: Launcher = {
    launch(spec) {
      addresses.push(spec.address)
      return endsAtOnce(new PassThrough().resume()).launch(spec)
    },
  }
  await using runner = await createRunner({
    bus: bus.client(),
    worker: launcher,
    roles: { any: { executor: 'x' } },
    dataDir: null,
    quiet: true,
  })
  for (let n = 0; n < 2; n += 1)
    expect(await runner.run({ role: 'any' }).outcome).toMatchObject({ code: 'WORKER_SPAWN_FAILED' })
  const sender = await bus.attach({ address: 'late', incarnation: 'l1', lifetime: 'named' })
  // Each had a mailbox of its own.
  expect(new Set(addresses).size).toBe(2)
  for (const to of addresses)
    await expect(sender.send({ to, id: 'late', kind: 'note', payload: new Uint8Array() })).rejects.toMatchObject({
      code: 'MAILBOX_CLOSED',
    })
})

test('a launcher is told the role, the mailbox and the whole environment of what it starts', async () => {
  process.env['WORKER_MARK'] = 'allowed'
  const specs: LaunchSpec[] = []
  const launcher = endsAtOnce(new PassThrough().resume())
  await using runner = await createRunner({
    worker: { launch: (spec) => (specs.push(spec), launcher.launch(spec)) },
    roles: { any: { executor: 'x', env: ['WORKER_MARK'] } },
    env: [],
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'any' })
  await run.outcome
  const env = { NODE_COMPILE_CACHE: specs[0]?.env['NODE_COMPILE_CACHE'], WORKER_MARK: 'allowed' }
  expect(specs).toEqual([{ role: 'any', address: run.status().worker?.address, env }])
})

test('an executor that the worker does not have is named, with those it has', async () => {
  await using runner = await createRunner({
    worker: new URL(worker.url),
    roles: { any: { executor: 'nothing' } },
    dataDir: null,
    quiet: true,
  })
  const outcome = await runner.run({ role: 'any' }).outcome
  expect(outcome).toMatchObject({ status: 'failed', code: 'UNKNOWN_EXECUTOR', retry: 'never' })
  expect(outcome).toMatchObject({ message: expect.stringMatching(/"nothing".*echo/) })
})

test('an input that does not pass, or is not JSON, is INPUT_INVALID; an unknown role is named', async () => {
  await using runner = await createRunner({
    worker: new URL(worker.url),
    roles: { add: { executor: 'add' } },
    dataDir: null,
    quiet: true,
  })
  expect(await runner.run({ role: 'add', input: { a: 'one' } }).outcome).toMatchObject({
    status: 'failed',
    code: 'INPUT_INVALID',
  })
  // As from JavaScript: past the compiler.
  const untyped = (spec: object): Run => Reflect.apply(Reflect.get(runner, 'run'), runner, [spec])
  const circular: { self?: unknown } = {}
  circular.self = circular
  expect(await untyped({ role: 'add', input: circular }).outcome).toMatchObject({
    status: 'failed',
    code: 'INPUT_INVALID',
  })
  expect(await untyped({ role: 'subtract' }).outcome).toMatchObject({
    status: 'failed',
    code: 'UNKNOWN_ROLE',
    message: 'no role "subtract"; there are: add',
  })
  expect(await runner.run({ role: 'add', session: 'no/id' }).outcome).toMatchObject({
    status: 'failed',
    code: 'BAD_OPTIONS',
  })
  expect(runner.stats().processes).toBeLessThanOrEqual(1)
})

test('an assignment above the limit is SPEC_TOO_LARGE', async () => {
  await using runner = await testRunner()
  expect(await runner.run({ role: 'echo', task: 'x'.repeat(9 * 1024 * 1024) }).outcome).toMatchObject({
    status: 'failed',
    code: 'SPEC_TOO_LARGE',
  })
})

test('secrets above the limit of what a worker is told are SPEC_TOO_LARGE, and no worker is started', async () => {
  for (const spare of [10_000, 0]) {
    await using bus = createMemoryBus()
    await using runner = await createRunner({
      bus: bus.client(),
      worker: { launch: () => expect.fail('nothing is to be started') },
      roles: { any: { executor: 'x', secrets: ['HUGE'] } },
      secrets: { HUGE: 'x'.repeat(8 * 1024 * 1024 - spare) },
      dataDir: null,
      quiet: true,
    })
    const outcome = await runner.run({ role: 'any' }).outcome
    expect(outcome).toMatchObject({ status: 'failed', code: spare > 0 ? 'WORKER_SPAWN_FAILED' : 'SPEC_TOO_LARGE' })
  }
})

test('a worker that never answers is given up after the acceptance deadline: nothing ran, a second one is tried', async () => {
  const node = programLauncher({ command: [process.execPath, '-e', 'setInterval(() => {}, 1000)', '--'] })
  await using runner = await createRunner({
    worker: node,
    roles: { mute: { executor: 'x', limits: { acceptColdMs: 100 } } },
    dataDir: null,
  })
  const run = runner.run({ role: 'mute' })
  expect(await run.outcome).toEqual({ status: 'timeout', which: 'accept' })
  expect(run.status().attempts).toBe(2)
})

test('a broker that is killed and restarted is not noticed: every entry once, nothing executed twice', async () => {
  using folder = temporaryFolder()
  await using first = await startBroker(folder.path)
  const bus = { url: `ws+unix:${join(folder.path, 'socket', 'bus')}`, token: 'a-token-of-some-length' }
  await using runner = await testRunner({ bus, dataDir: join(folder.path, 'runner') })
  const run = runner.run({ role: 'count', input: { count: 300, pauseMs: 5 } })
  const reading = readAll(run)
  await until(() => run.status().events > 50)
  first.kill()
  await first.ended
  await using second = await startBroker(folder.path)
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 300 })
  expect((await reading).map((event) => (event.type === 'skipped' ? 'skipped' : event.seq))).toEqual(
    Array.from({ length: 300 }, (_, n) => n + 1),
  )
  expect(run.status().attempts).toBe(1)
  expect(isAlive(second.pid)).toBe(true)
  // Before the broker goes: nobody could leave in order after it.
  await runner.close()
})

async function startBroker(dir: string) {
  const child = fork(
    new URL('fixtures/broker.ts', import.meta.url),
    [join(dir, 'broker'), join(dir, 'socket', 'bus')],
    { execArgv: ['--conditions=@greenroom/source'] },
  )
  const ended = once(child, 'exit')
  await Promise.race([once(child, 'message'), ended.then(() => Promise.reject(new Error('the broker did not start')))])
  return {
    pid: child.pid ?? 0,
    ended,
    kill: () => child.kill('SIGKILL'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
