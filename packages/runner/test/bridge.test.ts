/** The bridge, over servers that are functions of this process. */
import { createManualClock, settle } from '@greenroom/bus/testing'
import {
  decodeMessage,
  encodePayload,
  GreenroomError,
  type BridgeResult,
  type JsonObject,
  type ToolResult,
} from '@greenroom/proto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { BridgeDesk, checkBridge } from '../src/bridge/index.ts'
import { createRunner, type ServedTool, type ToolServer, type ToolServerOptions } from '../src/index.ts'
import { PoolStage } from './fixtures/pool-stage.ts'
import { keepingLogger, temporaryFolder, until, worker } from './fixtures/setup.ts'

type Act = (input: JsonObject, options: ToolServerOptions) => unknown

/** A server whose tools are these functions. */
function serving(acts: Record<string, Act>, listed: readonly ServedTool[] | 'never' = toolsOf(acts)) {
  const server = {
    calls: [] as string[],
    closed: 0,
    listTools: () => (listed === 'never' ? new Promise<never>(() => undefined) : Promise.resolve(listed)),
    async callTool(name: string, input: JsonObject, options: ToolServerOptions) {
      server.calls.push(name)
      // Who does not compile may give anything.
      return (await acts[name]?.(input, options)) as ToolResult
    },
    async close() {
      server.closed += 1
    },
  }
  return server satisfies ToolServer
}

function toolsOf(acts: object): ServedTool[] {
  return Object.keys(acts).map((name) => ({ name, inputSchema: { type: 'object' } }))
}

const light = (): ToolResult => ({ content: [{ type: 'text', text: 'on' }] })
const roles = { tools: { executor: 'tools', bridge: { lamp: 'all' } } } as const

test('a server that is not what it should be fails one call, and no run', { timeout: 60_000 }, async () => {
  const lamp = serving({
    light,
    throws: () => {
      throw new TypeError('no current')
    },
    typed: () => {
      throw new GreenroomError('OUTCOME_UNKNOWN', 'the fuse blew')
    },
    nothing: () => undefined,
    odd: () => ({ content: [{ at: new Date(0) }] }),
    words: () => ({ content: ['on'] }),
    yes: () => ({ content: [], isError: 'yes' }),
  })
  const words = ['light', 'throws', 'typed', 'nothing', 'odd', 'words', 'yes', 'light']
  await using runner = await createRunner({ worker, roles, bridge: { lamp }, dataDir: null, quiet: true })
  const outcome = await runner.run({ role: 'tools', task: words.map((word) => `lamp.${word}`).join(' ') }).outcome
  expect(outcome).toMatchObject({
    status: 'completed',
    output: [
      light(),
      'TOOL_FAILED: lamp.throws: no current',
      'OUTCOME_UNKNOWN: lamp.typed: the fuse blew',
      expect.stringMatching(/^TOOL_FAILED: lamp\.nothing: what it gave is not valid at result/),
      expect.stringMatching(/^TOOL_FAILED: lamp\.odd: answer\.result\.content\.0\.at/),
      expect.stringMatching(/^TOOL_FAILED: lamp\.words: .*content/),
      expect.stringMatching(/^TOOL_FAILED: lamp\.yes: .*isError/),
      light(),
    ],
  })
  expect(lamp.closed).toBe(0)
  await runner.close()
  expect(lamp.closed).toBe(1)
})

test('a role without an allowance has no bridge', { timeout: 60_000 }, async () => {
  const lamp = serving({ light })
  const denied = { tools: { executor: 'tools' } } as const
  await using runner = await createRunner({ worker, roles: denied, bridge: { lamp }, dataDir: null, quiet: true })
  expect(await runner.run({ role: 'tools', task: 'list lamp.light' }).outcome).toMatchObject({
    output: [[], 'UNKNOWN_TOOL: the run\'s role may call no tool of a server "lamp"'],
  })
  // Nor is a list of none one of all.
  const none = { tools: { executor: 'tools', bridge: { lamp: [] } } } as const
  await using other = await createRunner({ worker, roles: none, bridge: { lamp }, dataDir: null, quiet: true })
  expect(await other.run({ role: 'tools', task: 'list lamp.light' }).outcome).toMatchObject({
    output: [[], expect.stringMatching(/^UNKNOWN_TOOL/)],
  })
  expect(lamp.calls).toEqual([])
})

test('a detached run has no bridge: it may outlive its runner', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder()
  const { createBroker } = await import('@greenroom/broker')
  await using broker = await createBroker({ dir: null, listen: { port: 0 }, token: 'a-token-of-some-length' })
  const bus = { url: broker.url ?? '', token: 'a-token-of-some-length' }
  const lamp = serving({ light })
  await using runner = await createRunner({ worker, roles, bridge: { lamp }, dataDir: folder.path, bus, quiet: true })
  expect(await runner.run({ role: 'tools', task: 'list lamp.light', detached: true }).outcome).toMatchObject({
    output: [expect.stringMatching(/^MISSING_FEATURE/), expect.stringMatching(/^MISSING_FEATURE/)],
  })
})

test('a worker that somebody else started has the same bridge', async () => {
  await using stage = new PoolStage()
  await stage.member('far')
  const lamp = serving({ light })
  const runner = await stage.runner({}, { bridge: { lamp }, role: { executor: 'tool', bridge: { lamp: ['light'] } } })
  expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed', output: light() })
})

test('an answer about children that no message holds is said so', { timeout: 60_000 }, async () => {
  const family = { gather: { executor: 'gather' }, bulky: { executor: 'bulky' } } as const
  await using runner = await createRunner({ worker, roles: family, dataDir: null, quiet: true })
  expect(await runner.run({ role: 'gather' }).outcome).toMatchObject({
    output: ['FRAME_TOO_LARGE', 'completed', 'completed'],
  })
})

test('a run is not suspended while a tool is being called for it', { timeout: 60_000 }, async () => {
  const hanging = Promise.withResolvers<ToolResult>()
  const lamp = serving({ hang: () => hanging.promise })
  const family = { torn: { executor: 'torn', bridge: { lamp: ['hang'] } }, add: { executor: 'add' } } as const
  const admission = { maxProcesses: 1 }
  await using runner = await createRunner({
    worker,
    roles: family,
    bridge: { lamp },
    admission,
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'torn' })
  await until(() => lamp.calls.length === 1)
  await until(() => runner.stats().runs.some(({ role }) => role === 'add'))
  await sleep(300)
  expect(run.status()).toMatchObject({ phase: 'running', attempts: 1 })
  hanging.resolve(light())
  expect(await run.outcome).toMatchObject({ status: 'completed', output: ['completed'] })
  expect(lamp.calls).toEqual(['hang'])
})

test('a call ends when its run is cancelled, not when that has ended', { timeout: 60_000 }, async () => {
  const told = Promise.withResolvers<void>()
  const hang: Act = (_input, { signal }) =>
    new Promise(() => signal.addEventListener('abort', () => told.resolve(), { once: true }))
  const lamp = serving({ hang })
  const clings = { clinging: { executor: 'clinging', bridge: { lamp: 'all' } } } as const
  await using runner = await createRunner({ worker, roles: clings, bridge: { lamp }, dataDir: null, quiet: true })
  const run = runner.run({ role: 'clinging' })
  await until(() => lamp.calls.length === 1)
  void run.cancel('enough')
  await told.promise
  expect(run.status().phase).toBe('cancelling')
})

/** A desk without an attempt. */
function desk(lamp: ToolServer, others: Record<string, ToolServer> = {}, more: Record<string, string[]> = {}) {
  const clock = createManualClock()
  const answers: Omit<BridgeResult, 'runId' | 'epoch'>[] = []
  const logger = keepingLogger()
  const allowance = { lamp: ['light', 'hang'], ...more }
  const answer = (result: (typeof answers)[number]): void => void answers.push(result)
  const made = new BridgeDesk({
    servers: new Map(Object.entries({ lamp, ...others })),
    allowance,
    logger,
    clock,
    answer,
  })
  const ref = { runId: 'r', epoch: 1 }
  const call = (requestId: string, name: string, server = 'lamp'): void =>
    made.take({ ...ref, requestId, op: 'call', args: { tool: { server, name }, input: {}, timeoutMs: 1_000 } })
  return { made, ref, call, clock, answers, logger }
}

test('nothing of an input is lost on its way, whatever its keys are', async () => {
  const heard: string[] = []
  const { made, ref } = desk(serving({ light: (input) => (heard.push(JSON.stringify(input)), light()) }))
  const input = '{"__proto__":1,"constructor":{"toString":2}}'
  const args = `{"tool":{"server":"lamp","name":"light"},"input":${input},"timeoutMs":1000}`
  const request = { ...ref, requestId: 'one', op: 'call', args: JSON.parse(args) }
  made.take(decodeMessage('bridge-request', encodePayload(request)))
  await settle()
  expect(heard).toEqual([input])
})

test('a role has the tools that it names, whatever others of its runner have', { timeout: 60_000 }, async () => {
  const lamp = serving({ light, secret: light })
  const few = { executor: 'tools', bridge: { lamp: ['light'] } } as const
  const all = { ...roles, few }
  await using runner = await createRunner({ worker, roles: all, bridge: { lamp }, dataDir: null, quiet: true })
  const task = 'list lamp.secret'
  expect(await runner.run({ role: 'few', task }).outcome).toMatchObject({
    output: [['light'], 'UNKNOWN_TOOL: the run\'s role may call no tool "secret" of lamp'],
  })
  expect(await runner.run({ role: 'tools', task }).outcome).toMatchObject({ output: [['light', 'secret'], light()] })
})

test('a request that comes twice calls its tool once', async () => {
  const lamp = serving({ light })
  const { call, answers } = desk(lamp)
  call('one', 'light')
  call('one', 'light')
  await settle()
  call('one', 'light')
  await settle()
  expect(lamp.calls).toEqual(['light'])
  expect(answers).toEqual([{ requestId: 'one', result: light() }])
})

test('what a worker asks for beyond its role is refused by the runner, and reaches no server', async () => {
  const [lamp, safe] = [serving({ light, secret: light, lights: light }), serving({ light })]
  const { made, ref, call, answers } = desk(lamp, { safe })
  call('one', 'secret')
  call('two', 'light', 'safe')
  call('three', 'light', 'constructor')
  call('nearly', 'lights')
  made.take({ ...ref, requestId: 'four', op: 'list', args: {} })
  await settle()
  const refused = { error: { code: 'UNKNOWN_TOOL', retry: 'never' } }
  const asked = ['one', 'two', 'three', 'nearly']
  expect(answers.slice(0, 4)).toMatchObject(asked.map((requestId) => ({ requestId, ...refused })))
  expect(answers[4]?.tools).toMatchObject([{ server: 'lamp', name: 'light' }])
  expect([...lamp.calls, ...safe.calls]).toEqual([])
})

test('tools of one name at two servers are two, each with the name of its own, and called there', async () => {
  const [lamp, fire] = [serving({ light }), serving({ light })]
  const { made, ref, call, answers } = desk(lamp, { fire }, { fire: ['light'] })
  made.take({ ...ref, requestId: 'one', op: 'list', args: {} })
  await settle()
  expect(answers[0]?.tools).toMatchObject(['lamp', 'fire'].map((server) => ({ server, name: 'light' })))
  call('two', 'light', 'fire')
  await settle()
  expect([lamp.calls, fire.calls]).toEqual([[], ['light']])
})

test('what a role may call, and its server does not have, is told once', async () => {
  const { made, ref, logger } = desk(serving({ light }))
  for (const requestId of ['one', 'two']) made.take({ ...ref, requestId, op: 'list', args: {} })
  await settle()
  expect(logger.warnings).toEqual([
    'a role may call tools that the server does not have {"server":"lamp","tools":["hang"]}',
  ])
})

test('a worker that does not wait for its turn is refused what is too much, and nothing else', async () => {
  const hang: Act = (_input, { signal }) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(light()), { once: true }))
  const lamp = serving({ hang, light })
  const { made, ref, call, answers } = desk(lamp)
  for (let n = 0; n < 1_000; n += 1) call(`call-${n}`, 'hang')
  await settle()
  expect(lamp.calls).toHaveLength(128)
  expect(answers).toHaveLength(872)
  expect(new Set(answers.map(({ error }) => error?.code))).toEqual(new Set(['BUSY']))
  made.take({ ...ref, requestId: 'cancel', op: 'cancel', args: { requestId: 'call-0' } })
  await settle()
  call('more', 'light')
  await settle()
  expect(answers.at(-1)).toEqual({ requestId: 'more', result: light() })
})

test('a server is called no more often at once than it says, in order, and who waits too long calls nothing', async () => {
  const ends: (() => void)[] = []
  const hang: Act = () => new Promise((resolve) => ends.push(() => resolve(light())))
  const lamp = { ...serving({ hang, light }), maxConcurrent: 2 }
  const bounded = checkBridge({ lamp }).get('lamp')
  if (bounded === undefined) throw new Error('there is none')
  const { call, clock, answers } = desk(bounded)
  call('one', 'hang')
  call('two', 'hang')
  await clock.advance(500)
  call('three', 'hang')
  call('four', 'light')
  await settle()
  expect(lamp.calls).toEqual(['hang', 'hang'])
  await clock.advance(500)
  await settle()
  expect(answers).toMatchObject([
    { requestId: 'one', error: { code: 'TIMEOUT' } },
    { requestId: 'two', error: { code: 'TIMEOUT' } },
  ])
  // What is late is still at work.
  expect(lamp.calls).toEqual(['hang', 'hang'])
  await clock.advance(500)
  await settle()
  expect(answers.slice(2)).toMatchObject([{ error: { code: 'TIMEOUT' } }, { error: { code: 'TIMEOUT' } }])
  for (const end of ends) end()
  call('five', 'light')
  await settle()
  expect(lamp.calls).toEqual(['hang', 'hang', 'light'])
  expect(answers.at(-1)).toEqual({ requestId: 'five', result: light() })
})

test('where it does not say that, 64 calls are at it at once, of all runs together', async () => {
  const ends: (() => void)[] = []
  const hang: Act = () => new Promise((resolve) => ends.push(() => resolve(light())))
  const lamp = serving({ hang })
  const bounded = checkBridge({ lamp }).get('lamp')
  if (bounded === undefined) throw new Error('there is none')
  for (const { call } of [desk(bounded), desk(bounded)]) for (let n = 0; n < 40; n += 1) call(`call-${n}`, 'hang')
  await settle()
  expect(lamp.calls).toHaveLength(64)
  ends[0]?.()
  await settle()
  expect(lamp.calls).toHaveLength(65)
})

test('a call that is given up, and one whose attempt ends, are told to their server', async () => {
  const stopped: string[] = []
  const hang: Act = (_input, { signal }) =>
    new Promise((resolve) =>
      signal.addEventListener('abort', () => {
        stopped.push('told')
        resolve(light())
      }),
    )
  const lamp = serving({ hang })
  const { made, ref, call, answers } = desk(lamp)
  call('one', 'hang')
  call('two', 'hang')
  made.take({ ...ref, requestId: 'three', op: 'cancel', args: { requestId: 'one' } })
  await settle()
  expect(answers).toMatchObject([{ requestId: 'three' }, { requestId: 'one', error: { code: 'ABORTED' } }])
  expect(stopped).toEqual(['told'])
  made.close()
  await until(() => stopped.length === 2)
  // Nobody calls for an attempt that has ended.
  call('four', 'hang')
  await settle()
  expect(lamp.calls).toEqual(['hang', 'hang'])
})

test('a server that lists what is no tool fails its listing, and one that never gives a result its call', async () => {
  // Who does not compile may give anything.
  const unshaped = [{ name: 'light', title: null }] as unknown as ServedTool[]
  const { made, ref, call, clock, answers } = desk(serving({ hang: () => new Promise(() => undefined) }, unshaped))
  made.take({ ...ref, requestId: 'one', op: 'list', args: {} })
  call('two', 'hang')
  await settle()
  expect(answers).toMatchObject([{ requestId: 'one', error: { code: 'TOOL_FAILED' } }])
  await clock.advance(1_000)
  await settle()
  expect(answers[1]).toMatchObject({ requestId: 'two', error: { code: 'TIMEOUT' } })
})

test('a server that never tells its tools is down after a while', async () => {
  const { made, ref, clock, answers } = desk(serving({ light }, 'never'))
  made.take({ ...ref, requestId: 'one', op: 'list', args: {} })
  await settle()
  await clock.advance(9_999)
  await settle()
  expect(answers).toEqual([])
  await clock.advance(1)
  await settle()
  expect(answers).toMatchObject([{ error: { code: 'TOOL_SERVER_DOWN', message: expect.stringContaining('10000 ms') } }])
})
