import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { createMemoryBus } from '@greenroom/bus'
import { createMemorySessions } from '../src/index.ts'
import { firstData, isAlive, temporaryFolder, testRunner, until } from './fixtures/setup.ts'

test('close cancels what runs, ends every worker, and can be called again', async () => {
  const runner = await testRunner()
  const runs = [runner.run({ role: 'wait' }), runner.run({ role: 'spin' }), runner.run({ role: 'echo', task: 'x' })]
  const pid = Number(await firstData(runs[0] ?? runner.run({ role: 'wait' }), 'pid'))
  const before = performance.now()
  await Promise.all([runner.close(), runner.close()])
  console.log(`close with three runs in flight: ${Math.round(performance.now() - before)} ms`)
  await runner.closed
  const outcomes = await Promise.all(runs.map((run) => run.outcome))
  expect(outcomes[0]).toEqual({ status: 'cancelled', reason: 'the runner was closed' })
  expect(outcomes[1]).toEqual({ status: 'cancelled', reason: 'the runner was closed' })
  expect(['cancelled', 'completed']).toContain(outcomes[2]?.status)
  expect(isAlive(pid)).toBe(false)
  expect(runner.stats()).toMatchObject({ runs: [], processes: 0 })
  expect(await runner.run({ role: 'echo' }).outcome).toMatchObject({ status: 'failed', code: 'CLOSED' })
})

test('drain lets runs end and takes no new ones; its grace cancels them', async () => {
  const patient = await testRunner()
  const run = patient.run({ role: 'count', input: { count: 20, pauseMs: 5 } })
  const draining = patient.drain()
  expect(await patient.run({ role: 'echo' }).outcome).toMatchObject({ status: 'failed', code: 'DRAINING' })
  await draining
  expect(await run.outcome).toMatchObject({ status: 'completed' })

  const hasty = await testRunner()
  const waiting = hasty.run({ role: 'wait' })
  await firstData(waiting, 'pid')
  await hasty.drain({ graceMs: 50 })
  expect(await waiting.outcome).toEqual({ status: 'cancelled', reason: 'the runner is draining' })
})

test('a loop that nobody goes on with does not keep a drain waiting', async () => {
  const runner = await testRunner()
  const run = runner.run({ role: 'count', input: { count: 5_000, kind: 'deltas' } })
  const reader = run[Symbol.asyncIterator]()
  expect(await reader.next()).toMatchObject({ value: { seq: 1 } })
  await runner.drain()
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 5_000 })
  let next = await reader.next()
  expect(next).toMatchObject({ value: { type: 'text-delta', seq: 2 } })
  for (; next.done !== true; next = await reader.next()) expect(next.value.type).toBe('text-delta')
})

test('a bus that nobody serves is CONNECT_FAILED after the partition grace, with why', async () => {
  const bus = { url: 'ws+unix:///nowhere/at/all', token: 'a-token-of-some-length' }
  await expect(testRunner({ bus, partitionGraceMs: 100 })).rejects.toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringMatching(
      /^no connection to ws\+unix:\/\/\/nowhere\/at\/all: closed with 1006: .*ENOENT[^;]*; tried for 100 ms: does a broker run there \(greenroom broker\), and is bus\.url right\?$/,
    ),
  })
})

test('a data folder has one live runner', async () => {
  using folder = temporaryFolder()
  await using _first = await testRunner({ dataDir: folder.path })
  await expect(testRunner({ dataDir: folder.path })).rejects.toMatchObject({
    name: 'GreenroomError',
    code: 'DATA_DIR_IN_USE',
    message: expect.stringMatching(
      new RegExp(`belongs to process ${process.pid} .*\\. Stop it, or give this runner another dataDir\\.$`),
    ),
  })
})

test('of a data folder that is in use there is one cause, which names its owner', async () => {
  using folder = temporaryFolder()
  await using _first = await testRunner({ dataDir: folder.path })
  const error: unknown = await testRunner({ dataDir: folder.path }).catch((thrown: unknown) => thrown)
  const causes: Error[] = []
  for (let one = error; one instanceof Error; one = one.cause) causes.push(one)
  expect(causes).toMatchObject([{ name: 'GreenroomError' }, { name: 'StoreError', ownerPid: process.pid }])
})

test("a session store of the caller's own is used in place of the database", async () => {
  const sessions = createMemorySessions()
  await sessions.append('s', [{ runId: 'r', epoch: 0, seq: 0, message: { role: 'user', content: 'from before' } }])
  await using runner = await testRunner({ sessions })
  expect(await runner.run({ role: 'echo', session: 's' }).outcome).toMatchObject({ text: 'from before' })
  expect(await sessions.messages('s')).toHaveLength(2)
  const titled = { ...sessions, get: () => Promise.resolve({ id: 't', title: 'the title' }) }
  await using other = await testRunner({ sessions: titled })
  expect(await other.run({ role: 'echo', session: 't' }).outcome).toMatchObject({ text: 'the title' })
})

test('a runner that loses its place on the bus ends its runs and closes', async () => {
  await using bus = createMemoryBus()
  const { PassThrough } = await import('node:stream')
  const ended = Promise.withResolvers<{ code: null; signal: string }>()
  const launcher = {
    launch: () => ({
      stdin: new PassThrough().resume(),
      stderr: new PassThrough().end(),
      exited: ended.promise,
      kill: (signal: string) => ended.resolve({ code: null, signal }),
    }),
  }
  const { createRunner } = await import('../src/index.ts')
  await using runner = await createRunner({
    bus,
    worker: launcher,
    roles: { any: { executor: 'x' } },
    dataDir: null,
    logger: { warn: () => undefined, output: () => undefined },
  })
  const run = runner.run({ role: 'any' })
  await until(() => run.status().worker)
  const mailbox = bus.stats().mailboxes
  expect(mailbox).toBeGreaterThan(0)
  await bus.close()
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'CLOSED' })
  await runner.closed
})

/** Runs a program that uses a runner, and reads its lines. */
function startProgram(name: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(
    process.execPath,
    ['--conditions=@greenroom/source', fileURLToPath(new URL(`fixtures/${name}.ts`, import.meta.url)), ...args],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } },
  )
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async (): Promise<string> => String((await lines.next()).value)
  return { child, ended, line, [Symbol.dispose]: () => void child.kill('SIGKILL') }
}

test('an idle runner does not keep its program alive', async () => {
  using folder = temporaryFolder()
  const { ended, line } = startProgram('idle-program', [folder.path])
  expect(await line()).toBe('completed')
  const before = performance.now()
  const [code] = await ended
  console.log(`idle program left ${Math.round(performance.now() - before)} ms after its last run`)
  expect(code).toBe(0)
  expect(existsSync(folder.path)).toBe(true)
})

test('a runner that was closed while it tried to reach a remote does not keep its program alive', async () => {
  const program = startProgram('closing-program')
  onTestFinished(() => program[Symbol.dispose]())
  expect(await program.line()).toBe('cancelled')
  const [code] = await program.ended
  expect(code).toBe(0)
})

test('kill -9 of the runner is heard by an executor before its worker ends', async () => {
  using folder = temporaryFolder()
  const heard = join(folder.path, 'heard')
  using program = startProgram('hearing-program', [heard])
  const pid = Number(await program.line())
  program.child.kill('SIGKILL')
  await program.ended
  await until(() => !isAlive(pid), 'the end of the worker')
  expect(readFileSync(heard, 'utf8')).toContain('the owner of the worker is gone')
})

/** How long the guards that these processes have started wait between TERM and KILL, in seconds. */
function gracesOf(owners: readonly number[]): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'ppid=,args='], { encoding: 'utf8' }).split('\n')
  const graces = lines.flatMap((line) => {
    const [, owner, grace] = /^\s*(\d+) .*greenroom-guard ([\d.]+)\s*$/.exec(line) ?? []
    return owners.includes(Number(owner)) ? [Number(grace)] : []
  })
  return graces.toSorted((one, other) => one - other)
}

test('kill -9 of the runner ends its workers and their programs within two seconds', async () => {
  const { child, ended, line } = startProgram('spinning-program')
  const pids: unknown = JSON.parse(await line())
  const all = Array.isArray(pids) ? pids.map(Number) : []
  expect(all).toHaveLength(2)
  expect(all.every(isAlive)).toBe(true)
  // However fast this machine is: what their guards grant to them, one after the other, is less than two seconds.
  expect(gracesOf([child.pid ?? 0, ...all])).toEqual([0.3, 1.5])
  await new Promise((resolve) => setTimeout(resolve, 200))
  child.kill('SIGKILL')
  await ended
  const before = performance.now()
  await until(() => !all.some(isAlive), 'the end of worker and program')
  const ms = performance.now() - before
  console.log(`kill -9 of the runner to the last orphan's end: ${Math.round(ms)} ms (bound 2000)`)
  expect(ms).toBeLessThan(3 * 2_000)
})

test('a runner that was killed leaves no socket behind once its data folder is used again', async () => {
  using folder = temporaryFolder()
  const [data, tmp] = [join(folder.path, 'data'), join(folder.path, 'tmp')]
  mkdirSync(tmp)
  const sockets = (): string[] => readdirSync(tmp).filter((name) => /^greenroom-.{6}$/.test(name))
  const killed = startProgram('spinning-program', [data], { TMPDIR: tmp })
  await killed.line()
  killed.child.kill('SIGKILL')
  await killed.ended
  // Of the broker, and for decisions from the command line.
  expect(sockets()).toHaveLength(2)
  const next = startProgram('idle-program', [data], { TMPDIR: tmp })
  expect(await next.line()).toBe('completed')
  await next.ended
  expect(sockets()).toEqual([])
  expect(readdirSync(data).filter((name) => name.endsWith('-folder'))).toEqual([])
})

test('a copy of the data folder of a live runner does not take its socket away', async () => {
  using folder = temporaryFolder()
  const [data, copy] = [join(folder.path, 'data'), join(folder.path, 'copy')]
  await using runner = await testRunner({ dataDir: data })
  mkdirSync(copy, { mode: 0o700 })
  copyFileSync(join(data, 'bus-folder'), join(copy, 'bus-folder'))
  await using other = await testRunner({ dataDir: copy })
  expect(await runner.run({ role: 'echo', task: 'one' }).outcome).toMatchObject({ status: 'completed' })
  expect(await other.run({ role: 'echo', task: 'two' }).outcome).toMatchObject({ status: 'completed' })
})
