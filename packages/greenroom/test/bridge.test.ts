/** The bridge to MCP servers: real servers by the official SDK, real workers. */
import { createManualClock } from '@greenroom/bus/testing'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import {
  codeOf,
  createRunner,
  mcpToolServer,
  workerEntry,
  type BridgeAllowance,
  type JsonValue,
  type Runner,
  type ToolServer,
} from '../src/index.ts'
import { serveHttp } from './bridge/http-server.ts'
import type { executors, Step } from './bridge/worker.ts'
import { isAlive, start, temporaryFolder } from './program.ts'

const time = { timeout: 120_000 }
const program = fileURLToPath(new URL('bridge/server.ts', import.meta.url))
const raw = fileURLToPath(new URL('bridge/raw-server.ts', import.meta.url))

type Role<Executor> = { readonly executor: Executor; readonly bridge: BridgeAllowance }
type Bridged = Runner<typeof executors, { readonly caller: Role<'caller'>; readonly crowd: Role<'crowd'> }>

/** A lamp, by a program. */
function lamp(env: Record<string, string> = {}): ToolServer {
  const args = ['--conditions=@greenroom/source', program]
  return mcpToolServer({ command: process.execPath, args, env })
}

/** One that misbehaves. */
function odd(how: 'odd' | 'mute' | 'stubborn' | 'deaf' = 'odd', env: Record<string, string> = {}): ToolServer {
  return mcpToolServer({ command: process.execPath, args: [raw, how], env })
}

async function bridged(bridge: Record<string, ToolServer>, allowance?: BridgeAllowance): Promise<Bridged> {
  const allowed = allowance ?? Object.fromEntries(Object.keys(bridge).map((name): [string, 'all'] => [name, 'all']))
  return createRunner({
    worker: workerEntry<typeof executors>(new URL('bridge/worker.ts', import.meta.url)),
    bridge,
    roles: { caller: { executor: 'caller', bridge: allowed }, crowd: { executor: 'crowd', bridge: allowed } },
    dataDir: null,
    quiet: true,
  })
}

/** What came of each step. */
async function came(runner: Bridged, ...steps: Step[]): Promise<readonly JsonValue[]> {
  const outcome = await runner.run({ role: 'caller', input: steps }).outcome
  if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome))
  return outcome.output
}

/** The lines of a ledger. */
function lines(ledger: string): string[] {
  return existsSync(ledger) ? readFileSync(ledger, 'utf8').trim().split('\n') : []
}

async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 30_000
  while (!isSo()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await sleep(20)
  }
}

const words = (text: string): JsonValue => ({ content: [{ type: 'text', text }] })

test('an executor lists and calls the tools that its role allows; the others do not exist for it', time, async () => {
  await using runner = await bridged({ lamp: lamp({ SECRET: 'sesame' }) }, { lamp: ['add', 'who', 'ghost'] })
  const [listed, told, sum, wrong, who, fail, ghost, foreign] = await came(
    runner,
    { do: 'list' },
    { do: 'tell' },
    { do: 'lamp.add', input: { a: 1, b: 2 } },
    { do: 'lamp.add', input: { a: 'one' } },
    { do: 'lamp.who' },
    { do: 'lamp.fail' },
    { do: 'lamp.ghost' },
    { do: 'screen.shot' },
  )
  expect(listed).toEqual(['lamp.add', 'lamp.who'])
  expect(told).toMatchObject([
    {
      server: 'lamp',
      name: 'add',
      title: 'Sum',
      description: 'Adds',
      inputSchema: { type: 'object', required: ['a', 'b'] },
      outputSchema: { type: 'object' },
      annotations: { readOnlyHint: true },
    },
    { name: 'who' },
  ])
  expect(sum).toEqual({ content: [{ type: 'text', text: '3' }], structuredContent: { sum: 3 } })
  // What a server makes of wrong arguments is its answer.
  expect(wrong).toMatchObject({ isError: true })
  // Its environment is what it was given, not this process's.
  expect(who).toMatchObject({ content: [{ text: expect.stringMatching(/^\d+ sesame -$/) }] })
  expect(fail).toMatchObject({ code: 'UNKNOWN_TOOL', message: expect.stringContaining('may call no tool "fail"') })
  expect(ghost).toMatchObject({ code: 'UNKNOWN_TOOL', message: expect.stringContaining('has no tool "ghost"') })
  expect(foreign).toMatchObject({ code: 'UNKNOWN_TOOL', message: expect.stringContaining('"screen"') })
})

test('what a tool says of its own failing is a result', time, async () => {
  await using runner = await bridged({ lamp: lamp() })
  expect(await came(runner, { do: 'lamp.fail' })).toEqual([{ ...Object(words('the lamp is off')), isError: true }])
})

test('a server that dies during a call is started anew; that call is not repeated', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await bridged({ lamp: lamp({ LEDGER: ledger }) })
  const [crashed, meanwhile, , after] = await came(
    runner,
    { do: 'lamp.crash' },
    { do: 'lamp.add', input: { a: 1, b: 1 } },
    { do: 'pause', ms: 600 },
    { do: 'lamp.add', input: { a: 1, b: 1 } },
  )
  expect(crashed).toMatchObject({ code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('the lamp exploded') })
  expect(meanwhile).toMatchObject({ code: 'TOOL_SERVER_DOWN', message: expect.stringContaining('ended with code 7') })
  expect(after).toMatchObject({ structuredContent: { sum: 2 } })
  expect(lines(ledger).map((line) => line.split(' ')[0])).toEqual(['start', 'crash', 'start'])
})

test('one that cannot be started is told so, with its last words, and does not hide the others', time, async () => {
  await using runner = await bridged({
    lamp: lamp(),
    broken: lamp({ FAIL: 'start' }),
    none: mcpToolServer({ command: 'no-such-server' }),
  })
  const [listed, broken, none] = await came(runner, { do: 'list' }, { do: 'broken.add' }, { do: 'none.add' })
  expect(listed).toContain('lamp.add')
  expect(listed).not.toContain('broken.add')
  expect(broken).toMatchObject({
    code: 'TOOL_SERVER_DOWN',
    message: expect.stringMatching(/ended with code 3: no screen is connected/),
  })
  expect(none).toMatchObject({ code: 'TOOL_SERVER_DOWN', message: expect.stringContaining('no-such-server') })
  await using alone = await bridged({ broken: lamp({ FAIL: 'start' }) })
  expect(await came(alone, { do: 'list' })).toMatchObject([{ code: 'TOOL_SERVER_DOWN' }])
})

test('a call ends at its deadline, and its server is told', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await bridged({ lamp: lamp({ LEDGER: ledger }) })
  await came(runner, { do: 'list' })
  expect(await came(runner, { do: 'lamp.hang', timeoutMs: 300 })).toMatchObject([{ code: 'TIMEOUT' }])
  await until(() => lines(ledger).includes('told to stop'))
})

test('a run that is cancelled gives its calls up, and its server is told', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await bridged({ lamp: lamp({ LEDGER: ledger }) })
  const run = runner.run({ role: 'caller', input: [{ do: 'lamp.hang' }] })
  await until(() => lines(ledger).includes('hang'))
  await run.cancel('not needed')
  expect(await run.outcome).toMatchObject({ status: 'cancelled', reason: 'not needed' })
  await until(() => lines(ledger).includes('told to stop'))
})

test('a result that no message holds is said so, and the run goes on', time, async () => {
  await using runner = await bridged({ lamp: lamp() })
  const [large, tooLarge, after] = await came(
    runner,
    { do: 'lamp.big', input: { size: 3_000_000 } },
    { do: 'lamp.big', input: { size: 9_000_000 } },
    { do: 'lamp.add', input: { a: 2, b: 2 } },
  )
  expect(large).toEqual(words('x'.repeat(3_000_000)))
  expect(tooLarge).toMatchObject({ code: 'FRAME_TOO_LARGE' })
  expect(after).toMatchObject({ structuredContent: { sum: 4 } })
})

test('many runs call one server at once, and each has its own answers', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await bridged({ lamp: lamp({ LEDGER: ledger }) })
  const runs = Array.from({ length: 4 }, () => runner.run({ role: 'crowd', input: 50 }))
  const sums = Array.from({ length: 50 }, (_, n) => ({ sum: n + 1 }))
  for (const run of runs) expect(await run.outcome).toMatchObject({ status: 'completed', output: sums })
  expect(lines(ledger)).toHaveLength(1)
})

test('a runner that closes ends its servers', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const runner = await bridged({ lamp: lamp({ LEDGER: ledger }) })
  await came(runner, { do: 'list' })
  const pid = Number(lines(ledger)[0]?.split(' ')[1])
  expect(isAlive(pid)).toBe(true)
  await runner.close()
  expect(isAlive(pid)).toBe(false)
})

test('kill -9 of the runner leaves no server', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using owner = start(fileURLToPath(new URL('bridge/program.ts', import.meta.url)), [ledger])
  await until(() => lines(ledger).includes('hang'))
  const pid = Number(lines(ledger)[0]?.split(' ')[1])
  expect(isAlive(pid)).toBe(true)
  owner.process.kill('SIGKILL')
  await until(() => !isAlive(pid))
})

test.each(['mute', 'stubborn'] as const)('a runner that closes ends a server that is %s, too', time, async (how) => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const runner = await bridged({ lamp: odd(how, { LEDGER: ledger }) })
  const run = runner.run({ role: 'caller', input: [{ do: 'list' }, { do: 'pause', ms: 60_000 }] })
  await until(() => lines(ledger).length === 1)
  const pid = Number(lines(ledger)[0]?.split(' ')[1])
  await runner.close()
  expect(isAlive(pid)).toBe(false)
  expect(await run.outcome).toMatchObject({ status: 'cancelled' })
})

test('one that says nothing hides the tools of no other', time, async () => {
  await using runner = await bridged({ lamp: lamp(), mute: odd('mute') })
  const [listed] = await came(runner, { do: 'list' })
  expect(listed).toContain('lamp.add')
})

test('what a server says beside the protocol, or against its own schemas, is nobody’s loss', time, async () => {
  await using runner = await bridged({ odd: odd() })
  const [noisy, typed, listed, again] = await came(
    runner,
    { do: 'odd.noisy', timeoutMs: 5_000 },
    { do: 'odd.typed' },
    { do: 'list' },
    { do: 'odd.typed' },
  )
  expect(noisy).toEqual(words('heard'))
  expect([typed, again]).toEqual([
    { ...Object(words('done')), structuredContent: { sum: 'many' } },
    { ...Object(words('done')), structuredContent: { sum: 'many' } },
  ])
  expect(listed).toContain('odd.typed')
})

test('a server that says too much at once is ended, and that is told', time, async () => {
  await using runner = await bridged({ odd: odd() })
  expect(await came(runner, { do: 'odd.huge', timeoutMs: 30_000 })).toMatchObject([
    { code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('exceeded the maximum size') },
  ])
})

test('a server over HTTP that says too much at once is cut off, in a stream or not', time, async () => {
  await using server = await serveHttp()
  await using runner = await bridged({ web: mcpToolServer({ url: server.url }) })
  const huge = (mib: number, stream: boolean): Step => ({ do: 'web.huge', input: { mib, stream } })
  expect(await came(runner, huge(300, false), huge(300, true), huge(1, false), huge(1, true))).toEqual([
    { code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('exceeded the maximum size') },
    { code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('the connection ended') },
    words('x'.repeat(1024 * 1024)),
    words('x'.repeat(1024 * 1024)),
  ])
})

test('a server over HTTP does not keep the program of its runner alive', time, async () => {
  await using server = await serveHttp()
  await using owner = start(fileURLToPath(new URL('bridge/idle-program.ts', import.meta.url)), [server.url])
  expect((await owner.ended).code).toBe(0)
})

test('close ends also what is still under way by a connection that was replaced', time, async () => {
  await using server = await serveHttp()
  const web = mcpToolServer({ url: server.url })
  const options = { signal: new AbortController().signal, timeoutMs: 60_000 }
  const slow = web.callTool('slow', {}, options).catch(codeOf)
  await until(() => server.methods.filter((method) => method === 'POST').length >= 3)
  server.forget()
  await web.callTool('add', { a: 1, b: 1 }, options)
  await web.close()
  expect(await slow).toBe('OUTCOME_UNKNOWN')
})

test('what is to be told of its standard error may fail: nothing comes of it', time, async () => {
  const args = ['-c', 'echo words >&2; exec "$0" "$1" odd', process.execPath, raw]
  const log = (): never => {
    throw new Error('the disk is full')
  }
  const server = mcpToolServer({ command: 'sh', args, log })
  const tools = await server.listTools({ signal: new AbortController().signal, timeoutMs: 30_000 })
  expect(tools).toHaveLength(5)
  await server.close()
})

test('what a server refused stays that, also when it dies then', time, async () => {
  await using runner = await bridged({ odd: odd() })
  expect(await came(runner, { do: 'odd.refuse' }, { do: 'odd.none' })).toMatchObject([
    { code: 'TOOL_FAILED', message: 'odd.refuse: the money was sent, the receipt was not' },
    // It dies 20 ms later: before this, meanwhile, or while it is asked whether it has that tool.
    { code: expect.stringMatching(/^(TOOL_SERVER_DOWN|UNKNOWN_TOOL|OUTCOME_UNKNOWN|TOOL_FAILED)$/) },
  ])
})

test('over HTTP a call that fails is nobody else’s failing, and a stream that ends is no waiting', time, async () => {
  await using server = await serveHttp()
  await using runner = await bridged({ web: mcpToolServer({ url: server.url }) })
  const slow = runner.run({ role: 'caller', input: [{ do: 'web.slow' }] })
  await until(() => server.methods.filter((method) => method === 'POST').length >= 3)
  expect(await came(runner, { do: 'web.boom' }, { do: 'web.cut' }, { do: 'web.add', input: { a: 1, b: 1 } })).toEqual([
    { code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('the lamp is overloaded') },
    { code: 'OUTCOME_UNKNOWN', message: 'web.cut: the connection ended' },
    words('2'),
  ])
  server.release()
  expect(await slow.outcome).toMatchObject({ output: [words('at last')] })
  await runner.close()
  // Its session is over for the server, too.
  expect(server.methods).toContain('DELETE')
})

test('over HTTP all who meet a server that was started anew are asked once more', time, async () => {
  await using server = await serveHttp()
  await using runner = await bridged({ web: mcpToolServer({ url: server.url }) })
  await came(runner, { do: 'list' })
  server.forget()
  const runs = Array.from({ length: 4 }, () => came(runner, { do: 'web.add', input: { a: 1, b: 1 } }))
  expect(await Promise.all(runs)).toEqual(Array.from({ length: 4 }, () => [words('2')]))
})

test('a server over HTTP gets its headers; one that was started anew is connected to again', time, async () => {
  await using server = await serveHttp()
  const { url } = server
  await using runner = await bridged({ web: mcpToolServer({ url, headers: { Authorization: 'Bearer sesame' } }) })
  expect(await came(runner, { do: 'list' }, { do: 'web.add', input: { a: 1, b: 2 } })).toEqual([
    ['web.add', 'web.slow'],
    words('3'),
  ])
  expect([...server.seen]).toEqual(['Bearer sesame'])
  server.forget()
  expect(await came(runner, { do: 'web.add', input: { a: 1, b: 3 } })).toEqual([words('4')])
})

test('a server over HTTP that is not there is told so', time, async () => {
  const server = await serveHttp()
  await server[Symbol.asyncDispose]()
  await using runner = await bridged({ web: mcpToolServer({ url: `${server.url}?key=secret` }) })
  const [down] = await came(runner, { do: 'web.add' })
  expect(down).toMatchObject({ code: 'TOOL_SERVER_DOWN', message: expect.stringContaining('ECONNREFUSED') })
  expect(JSON.stringify(down)).not.toContain('secret')
})

test.each([
  [{}, /either command or url/],
  [{ command: 'a', url: 'http://a' }, /either command or url/],
  [{ command: '' }, /command must be/],
  [{ url: 'ftp://a' }, /url must be/],
  [{ command: 'a', args: '--stdio' }, /args must be/],
  [{ command: 'a', env: { TOKEN: 5 } }, /env must be/],
  [{ command: 'a', environment: {} }, /"environment" must be one of command, args, env, cwd/],
  [{ url: 'http://a', header: {} }, /"header" must be one of url, headers, maxConcurrent, clock/],
  [
    { url: 'http://a', headers: { Authorization: 'Bearer se\nsame' } },
    /^mcpToolServer: headers: "Authorization" is none$/,
  ],
  [{ command: 'a', maxConcurrent: 0 }, /maxConcurrent must be/],
  [{ url: 'http://user:sesame@a' }, /^mcpToolServer: url must hold no user and no password: they go into headers/],
])('mcpToolServer(%j) is refused', (options, message) => {
  // @ts-expect-error -- who does not compile may give anything
  expect(() => mcpToolServer(options)).toThrow(message)
})

test('one that ends again and again is left alone for 0.5 s, doubling up to 30 s', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const clock = createManualClock()
  const source = `require('node:fs').appendFileSync(${JSON.stringify(ledger)}, 'start\\n'); process.exit(3)`
  const server = mcpToolServer({ command: process.execPath, args: ['-e', source], clock })
  const ask = () => server.listTools({ signal: new AbortController().signal, timeoutMs: 30_000 })
  // Each pause is jittered down to half of it.
  for (const [n, pauseMs] of [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000].entries()) {
    await expect(ask()).rejects.toMatchObject({ code: 'TOOL_SERVER_DOWN' })
    expect(lines(ledger)).toHaveLength(n + 1)
    await clock.advance(pauseMs / 2 - 1)
    await expect(ask()).rejects.toMatchObject({ code: 'TOOL_SERVER_DOWN' })
    expect(lines(ledger)).toHaveLength(n + 1)
    await clock.advance(pauseMs / 2 + 1)
  }
})

test('one that was well for 10 s is started again at once, and then the pauses are short again', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const clock = createManualClock()
  const server = mcpToolServer({ command: process.execPath, args: [raw, 'odd'], env: { LEDGER: ledger }, clock })
  const call = () => server.callTool('noisy', {}, { signal: new AbortController().signal, timeoutMs: 30_000 })
  /** Ends one after so long, and tells for how long it is left alone then. */
  const pauseAfter = async (livesMs: number): Promise<number> => {
    expect(await call()).toEqual(words('heard'))
    await clock.advance(livesMs)
    const pid = Number(lines(ledger).at(-1)?.split(' ')[1])
    process.kill(pid, 'SIGKILL')
    await until(() => !isAlive(pid))
    for (;;) {
      const said = await call().then(() => 'in 0 ms', String)
      const pauseMs = /in (?<ms>\d+) ms$/.exec(said)?.groups?.['ms']
      if (pauseMs !== undefined) return Number(pauseMs)
    }
  }
  // Each pause is jittered down to half of it.
  for (const [livesMs, mostMs] of [
    [0, 500],
    [0, 1_000],
    [9_999, 2_000],
    [10_000, 0],
    [0, 500],
  ] as const) {
    const pauseMs = await pauseAfter(livesMs)
    expect(pauseMs).toBeGreaterThanOrEqual(mostMs / 2)
    expect(pauseMs).toBeLessThanOrEqual(mostMs)
    await clock.advance(pauseMs)
  }
  await server.close()
})

test('one that lives and takes nothing more is started anew after the same pauses', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const clock = createManualClock()
  const env = { LEDGER: ledger }
  const server = mcpToolServer({ command: process.execPath, args: [raw, 'deaf'], env, clock })
  const options = { signal: new AbortController().signal, timeoutMs: 30_000 }
  // Only who was well for 10 s may be started again at once.
  for (const [starts, livesMs] of [
    [1, 0],
    [2, 9_999],
  ] as const) {
    await server.listTools(options)
    await clock.advance(livesMs)
    for (const code of ['TOOL_SERVER_DOWN', 'TOOL_SERVER_DOWN'])
      await expect(server.callTool('noisy', {}, options)).rejects.toMatchObject({ code })
    expect(lines(ledger)).toHaveLength(starts)
    await clock.advance(1_000)
  }
  await server.close()
})

test('one that lives and answers nothing any more is followed by another, and ended', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const clock = createManualClock()
  const env = { LEDGER: ledger }
  const server = mcpToolServer({ command: process.execPath, args: [raw, 'odd'], env, clock })
  const call = (name: string) => server.callTool(name, {}, { signal: new AbortController().signal, timeoutMs: 1_000 })
  expect(await call('noisy')).toEqual(words('heard'))
  await expect(call('hang')).rejects.toMatchObject({ code: 'TIMEOUT' })
  const pid = Number(lines(ledger)[0]?.split(' ')[1])
  // A tool may keep its only thread busy for so long.
  await clock.advance(59_999)
  await expect(call('noisy')).rejects.toMatchObject({ code: 'TIMEOUT' })
  await clock.advance(1)
  await until(() => !isAlive(pid))
  expect(await call('noisy')).toEqual(words('heard'))
  expect(lines(ledger)).toHaveLength(2)

  // One by which something is still under way is there until then, and no longer than the others.
  const ended = server.callTool('hang', {}, { signal: new AbortController().signal, timeoutMs: 60_000 }).catch(codeOf)
  await expect(call('hang')).rejects.toMatchObject({ code: 'TIMEOUT' })
  await clock.advance(60_000)
  expect(await call('noisy')).toEqual(words('heard'))
  const all = lines(ledger).map((line) => Number(line.split(' ')[1]))
  expect(all.map(isAlive)).toEqual([false, true, true])
  await server.close()
  expect(await ended).toBe('OUTCOME_UNKNOWN')
  await until(() => !all.some(isAlive))
})

test('one that answers nothing any more is found out by a call that is given up, too', time, async () => {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  const clock = createManualClock()
  const server = mcpToolServer({ command: process.execPath, args: [raw, 'odd'], env: { LEDGER: ledger }, clock })
  const call = (name: string, { signal } = new AbortController()) =>
    server.callTool(name, {}, { signal, timeoutMs: 60_000 })
  expect(await call('noisy')).toEqual(words('heard'))
  const stop = new AbortController()
  const givenUp = call('hang', stop).catch(() => 'given up')
  await clock.settle()
  stop.abort()
  expect(await givenUp).toBe('given up')
  await clock.advance(60_000)
  const pid = Number(lines(ledger)[0]?.split(' ')[1])
  await until(() => !isAlive(pid))
  expect(await call('noisy')).toEqual(words('heard'))
  await server.close()
})

test('one that is only slow stays', time, async () => {
  await using runner = await bridged({ lamp: lamp() })
  const [before, slow, after] = await came(
    runner,
    { do: 'lamp.who' },
    { do: 'lamp.hang', timeoutMs: 200 },
    { do: 'lamp.who' },
  )
  expect(slow).toMatchObject({ code: 'TIMEOUT' })
  expect(after).toEqual(before)
})
