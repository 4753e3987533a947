import { expect, expectTypeOf, test } from 'vitest'
import { codeOf, type JsonValue, type Outcome } from '@greenroom/proto'
import { createMemoryBus } from '@greenroom/bus'
import {
  composeRunners,
  createRunner,
  workerEntry,
  type AnyRunner,
  type AnyScheduler,
  type ComposableRunner,
  type NoRoleOption,
  type OnlyRoleOptions,
  type Run,
  type RunnerOptions,
} from '../src/index.ts'
import { checkOptions } from '../src/config.ts'
import { moduleOptions } from '../src/platform/process-launcher.ts'
import { roles, testRunner, worker } from './fixtures/setup.ts'

const good: RunnerOptions = { worker: new URL('fixtures/worker.ts', import.meta.url), roles: { a: { executor: 'a' } } }

/** Callers in JavaScript pass anything: the compiler is told to look away, as it would be there. */
function check(changes: object): { readonly code: string | undefined; readonly message: string } | undefined {
  try {
    checkOptions(Object.assign({}, good, changes))
    return undefined
  } catch (error) {
    return { code: codeOf(error), message: error instanceof Error ? error.message : '' }
  }
}

const lamp = { listTools() {}, callTool() {}, close() {} }

/** What lacks one of these methods. */
const lacking = (field: string, ...methods: readonly string[]): [string, object][] =>
  methods.map((missing) => [
    field,
    { [field]: Object.fromEntries(methods.filter((name) => name !== missing).map((name) => [name, () => undefined])) },
  ])

test.each<[string, object]>([
  ['options: "dataDri"', { dataDri: null }],
  ['worker', { worker: undefined }],
  ['worker', { worker: 'worker.js' }],
  ['worker', { worker: new URL('https://example.org/worker.js') }],
  ['worker', { worker: new URL('none.ts', import.meta.url) }],
  ['worker.command', { worker: { command: 'node' } }],
  ['worker.command', { worker: { command: [] } }],
  ['worker.command', { worker: { command: [''] } }],
  ['worker.cwd', { worker: { command: ['node'], cwd: 1 } }],
  ['worker: "cdw"', { worker: { command: ['node'], cdw: '/' } }],
  ['roles', { roles: undefined }],
  ['roles: "no/name"', { roles: { 'no/name': { executor: 'a' } } }],
  ['roles.a', { roles: { a: null } }],
  ['roles.a: "postures"', { roles: { a: { executor: 'a', postures: {} } } }],
  ['roles.a.executor', { roles: { a: {} } }],
  ['roles.a.executor', { roles: { a: { executor: '' } } }],
  ['roles.a.workspace', { roles: { a: { executor: 'a', workspace: 3 } } }],
  ['roles.a.model', { roles: { a: { executor: 'a', model: '' } } }],
  ['roles.a.placement', { roles: { a: { executor: 'a', placement: 'far' } } }],
  ['roles.a.disabledTools', { roles: { a: { executor: 'a', disabledTools: 'none' } } }],
  ['roles.a.mcpServers', { roles: { a: { executor: 'a', mcpServers: 'm' } } }],
  ['roles.a.mcpServers', { roles: { a: { executor: 'a', mcpServers: [{}] } } }],
  ['roles.a.mcpServers.0: "haeders"', { roles: { a: { executor: 'a', mcpServers: [{ name: 'm', haeders: {} }] } } }],
  ['roles.a.mcpServers.0.command', { roles: { a: { executor: 'a', mcpServers: [{ name: 'm', command: 5 }] } } }],
  ['roles.a.mcpServers.0.args', { roles: { a: { executor: 'a', mcpServers: [{ name: 'm', args: 'x' }] } } }],
  ['roles.a.mcpServers.0.url', { roles: { a: { executor: 'a', mcpServers: [{ name: 'm', url: 5 }] } } }],
  ['roles.a.mcpServers.0.env', { roles: { a: { executor: 'a', mcpServers: [{ name: 'm', env: ['A'] }] } } }],
  ['roles.a.mcpServers.0.headers', { roles: { a: { executor: 'a', mcpServers: [{ name: 'm', headers: { a: 1 } }] } } }],
  ['bridge', { bridge: 5 }],
  ...(['listTools', 'callTool', 'close'] as const).map((name): [string, object] => [
    'bridge.lamp',
    { bridge: { lamp: { ...lamp, [name]: undefined } } },
  ]),
  ['bridge.lamp.maxConcurrent', { bridge: { lamp: { ...lamp, maxConcurrent: 0 } } }],
  ['roles.a.bridge', { roles: { a: { executor: 'a', bridge: 'all' } } }],
  ['roles.a.bridge: "lamp"', { roles: { a: { executor: 'a', bridge: { lamp: 'all' } } } }],
  ['roles.a.bridge: "fan"', { bridge: { lamp }, roles: { a: { executor: 'a', bridge: { lamp: 'all', fan: 'all' } } } }],
  ['roles.a.bridge.lamp', { bridge: { lamp }, roles: { a: { executor: 'a', bridge: { lamp: 'some' } } } }],
  ['roles.a.bridge.lamp', { bridge: { lamp }, roles: { a: { executor: 'a', bridge: { lamp: [''] } } } }],
  ['roles.a.posture', { roles: { a: { executor: 'a', posture: 'bypass' } } }],
  ['roles.a.posture', { roles: { a: { executor: 'a', posture: { bypass: 'yes' } } } }],
  ['roles.a.posture: "unatended"', { roles: { a: { executor: 'a', posture: { unatended: true } } } }],
  ['roles.a.limits: "totalSecs"', { roles: { a: { executor: 'a', limits: { totalSecs: 1 } } } }],
  ['limits', { limits: 5 }],
  ['limits', { limits: null }],
  ['limits: "memory"', { limits: { memory: 5 } }],
  ['limits.totalMs', { limits: { totalMs: Infinity } }],
  ['limits.noProgressMs', { limits: { noProgressMs: Number.NaN } }],
  ['limits.costUsd', { limits: { costUsd: '1' } }],
  ['limits.rounds', { limits: { rounds: 1.5 } }],
  ['limits.tokens', { limits: { tokens: -1 } }],
  ['budget', { budget: 5 }],
  ['approvals', { approvals: 5 }],
  ['approvals: "polcy"', { approvals: { polcy: () => undefined } }],
  ['approvals.reviewer', { approvals: { reviewer: {} } }],
  ['approvals.policy', { approvals: { policy: 'no' } }],
  ['approvals.person', { approvals: { person: 'somewhere' } }],
  ['approvals.onUnavailable', { approvals: { onUnavailable: 'allow' } }],
  ['approvals.deadlineMs', { approvals: { deadlineMs: -1 } }],
  ['pool', { pool: 5 }],
  ['pool: "maxIdel"', { pool: { maxIdel: 1 } }],
  ...['maxIdle', 'maxIdlePerKey', 'idleMs', 'maxAgeMs', 'prewarm'].map((name): [string, object] => [
    `pool.${name}`,
    { pool: { [name]: -1 } },
  ]),
  ['pool.maxUses', { pool: { maxUses: 0 } }],
  ['pool.prewarm: "b"', { pool: { prewarm: { b: 1 } } }],
  ['pool.prewarm.a', { pool: { prewarm: { a: 0.5 } } }],
  ['admission', { admission: 5 }],
  ['admission: "maxExecutng"', { admission: { maxExecutng: 1 } }],
  ['admission.maxExecuting', { admission: { maxExecuting: 0 } }],
  ['admission.maxProcesses', { admission: { maxProcesses: 0 } }],
  ['admission.queue', { admission: { queue: -1 } }],
  ['admission.maxDepth', { admission: { maxDepth: 1.5 } }],
  ...['idempotent', 'priority', 'detached', 'retry', 'concurrency'].map((name): [string, object] => [
    `roles.a.${name}`,
    { roles: { a: { executor: 'a', [name]: 'much' } } },
  ]),
  ['roles.a.retry.attempts', { roles: { a: { executor: 'a', retry: { attempts: 0 } } } }],
  ['roles.a.retry.backoffMs', { roles: { a: { executor: 'a', retry: { backoffMs: -1 } } } }],
  ['roles.a.retry.maxBackoffMs', { roles: { a: { executor: 'a', retry: { maxBackoffMs: Infinity } } } }],
  ['roles.a.retry: "atempts"', { roles: { a: { executor: 'a', retry: { atempts: 2 } } } }],
  ['roles.a.concurrency: "kye"', { roles: { a: { executor: 'a', concurrency: { kye: 'k', limit: 1 } } } }],
  ['roles.a.concurrency.key', { roles: { a: { executor: 'a', concurrency: { key: 1, limit: 1 } } } }],
  ['roles.a.concurrency.limit', { roles: { a: { executor: 'a', concurrency: { limit: 0 } } } }],
  [
    'roles.b.concurrency.limit',
    {
      roles: {
        a: { executor: 'a', concurrency: { key: 'k', limit: 1 } },
        b: { executor: 'a', concurrency: { key: 'k', limit: 2 } },
      },
    },
  ],
  ['roles.a.secrets', { roles: { a: { executor: 'a', secrets: [1] } } }],
  ['roles.a.secrets: "TOKEN"', { roles: { a: { executor: 'a', secrets: ['TOKEN'] } } }],
  ['roles.a.env', { roles: { a: { executor: 'a', env: ['A=B'] } } }],
  ['roles.a.limits.acceptColdMs', { roles: { a: { executor: 'a', limits: { acceptColdMs: -1 } } } }],
  ['bus', { bus: 'ws://x' }],
  ['bus.url', { bus: { url: 'http://x', token: 't' } }],
  ['bus.url', { bus: { token: 't' } }],
  ['bus: "inscure"', { bus: { url: 'ws://x', token: 't', inscure: true } }],
  ['bus.token', { bus: { url: 'ws://x' } }],
  ['bus.token', { bus: { url: 'ws://x', token: 5 } }],
  ['bus.token', { bus: { url: 'ws://x', token: '' } }],
  ['bus.ca', { bus: { url: 'wss://x', token: 't', ca: 5 } }],
  ['bus.insecure', { bus: { url: 'ws://x', token: 't', insecure: 'yes' } }],
  ['dataDir', { dataDir: '' }],
  ['retentionMs', { retentionMs: -1 }],
  ['inspect', { inspect: 'yes' }],
  ['openStore', { openStore: {} }],
  ...lacking('sessions', 'get', 'describe', 'append', 'messages'),
  ['secrets', { secrets: 5 }],
  ['secrets.A', { secrets: { A: 1 } }],
  ['env', { env: 'PATH' }],
  ['cancelGraceMs', { cancelGraceMs: Number.NaN }],
  ['partitionGraceMs', { partitionGraceMs: '1' }],
  ['quiet', { quiet: 'yes' }],
  ['logger', { logger: console.log }],
  ...lacking('logger', 'warn', 'output'),
  ...lacking('clock', 'now', 'monotonic', 'timer'),
  ['random', { random: Math.random }],
  ...lacking('random', 'fraction', 'id'),
])('a bad %s is refused by name', (field, changes) => {
  const error = check(changes)
  expect(error?.code).toBe('BAD_OPTIONS')
  expect(error?.message.startsWith(`${field} must be `)).toBe(true)
})

test('good options are taken, and a bus object only together with a launcher', async () => {
  expect(check({})).toBeUndefined()
  for (const token of ['t', () => 't']) {
    expect(check({ bus: { url: 'ws://x', token } })).toBeUndefined()
    const far = { executor: 'a', placement: { remote: 'wss://far.example', token } }
    expect(check({ roles: { far } })).toBeUndefined()
  }
  await using bus = createMemoryBus()
  expect(check({ bus })?.message).toMatch(/^bus must be \{ url, token \} unless worker is a launcher/)
  expect(check({ bus, worker: { launch: () => undefined } })).toBeUndefined()
  // Nothing has to be started where all roles are elsewhere.
  const far = { executor: 'a', placement: { remote: 'wss://far.example', token: 't' } }
  expect(check({ worker: undefined, roles: { far } })).toBeUndefined()
  expect(check({ worker: undefined, roles: { far, near: { executor: 'a' } } })?.message).toMatch(/^worker must be /)
})

test('what nobody says is what the documents say', () => {
  const { admission, pool, dataDir, cancelGraceMs, partitionGraceMs, retentionMs, env } = checkOptions(good)
  expect(admission).toEqual({ maxExecuting: 8, maxProcesses: 32, queue: 128, maxDepth: 4 })
  expect(pool).toEqual({
    maxIdle: 16,
    maxIdlePerKey: 4,
    idleMs: 300_000,
    maxAgeMs: 3_600_000,
    maxUses: 100,
    prewarm: {},
  })
  expect({ dataDir, cancelGraceMs, partitionGraceMs, retentionMs, env }).toEqual({
    dataDir: '.greenroom',
    cancelGraceMs: 5_000,
    partitionGraceMs: 30_000,
    retentionMs: null,
    env: ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR'],
  })
})

test('Windows is refused with a plain message', () => {
  expect(() => checkOptions(good, 'win32')).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED_PLATFORM', message: expect.stringContaining('WSL') }),
  )
})

test('createRunner rejects with the same code', async () => {
  await expect(createRunner({ ...good, cancelGraceMs: -1 })).rejects.toMatchObject({
    name: 'GreenroomError',
    code: 'BAD_OPTIONS',
  })
})

test('a worker gets the options by which modules are found, never an inspector', () => {
  const argv = [
    '--inspect-brk=9229',
    '--inspect',
    '--conditions=a',
    '--conditions',
    'b',
    '-C',
    'c',
    '-Cd',
    '--import=./x.ts',
    '--require',
    'y',
    '-r',
    'z',
    '--loader=./l.ts',
    '--experimental-loader',
    'm',
    '--cpu-prof',
    '--test',
  ]
  expect(moduleOptions(argv)).toEqual([
    '--conditions=a',
    '--conditions',
    'b',
    '-C',
    'c',
    '-Cd',
    '--import=./x.ts',
    '--require',
    'y',
    '-r',
    'z',
    '--loader=./l.ts',
    '--experimental-loader',
    'm',
  ])
})

test('what takes any runner takes a typed one, several behind one door, and their schedulers', () => {
  const serve = (runner: AnyRunner): Run<unknown> => runner.run({ role: 'echo' })
  const schedule = (scheduler: AnyScheduler): Promise<Run<unknown>> => scheduler.enqueue({ role: 'echo' })
  const compose = (runner: ComposableRunner): Run<unknown> => runner.run({ role: 'echo' })
  const typed = async (): Promise<void> => {
    const runner = await testRunner()
    const runners: AnyRunner[] = [runner]
    runners.push(
      await createRunner({
        worker: new URL('fixtures/worker.ts', import.meta.url),
        roles: { any: { executor: 'thing' } },
      }),
    )
    serve(runner)
    await schedule(runner.scheduler({ parent: 'p' }))
    compose(composeRunners(runner))
    compose(composeRunners(...([runner] as const)))
    // @ts-expect-error no role has that name
    await createRunner({ worker, roles: { add: { executor: 'add' } }, pool: { prewarm: { addr: 1 } } })
  }
  expect([typed, serve, schedule, compose].every((it) => typeof it === 'function')).toBe(true)
})

test('inputs and outputs are inferred from the worker entry', () => {
  // Never called: the compiler is the test.
  const typed = async (): Promise<void> => {
    const runner = await testRunner()
    const run = runner.run({ role: 'add', input: { a: 1, b: 2 } })
    expectTypeOf(await run.outcome).toEqualTypeOf<Outcome<{ sum: number }>>()
    runner.run({ role: 'echo', task: 'no input needed' })
    runner.run({ role: 'count', input: { count: 1 } })
    // @ts-expect-error there is no such role
    runner.run({ role: 'nobody' })
    // @ts-expect-error the input is missing
    runner.run({ role: 'add' })
    // @ts-expect-error b is missing
    runner.run({ role: 'add', input: { a: 1 } })
    // @ts-expect-error "input" is misspelt
    runner.run({ role: 'add', inptu: { a: 1, b: 2 } })
    // @ts-expect-error "inptu" beside an input that may be left out
    runner.run({ role: 'echo', inptu: 1 })
    // @ts-expect-error nothing takes c
    runner.run({ role: 'add', input: { a: 1, b: 2, c: 3 } })
    const end = await run.outcome
    // @ts-expect-error there is no output unless it completed
    void end.output
    // @ts-expect-error the output has a sum
    if (end.status === 'completed') void end.output.sun
    // @ts-expect-error an option of a role that is misspelt
    await createRunner({ worker, roles: { x: { executor: 'add', secrtes: [] } } })
    type Misspelt = OnlyRoleOptions<{ readonly x: { readonly executor: 'add'; readonly secrtes: [] } }>
    expectTypeOf<Misspelt['x']['secrtes']>().toEqualTypeOf<NoRoleOption<'secrtes'>>()
    // @ts-expect-error an executor that the worker does not have
    await createRunner({ worker, roles: { x: { executor: 'nothing' } } })
    const untyped = await createRunner({
      worker: new URL('fixtures/worker.ts', import.meta.url),
      roles: { any: { executor: 'thing' } },
    })
    expectTypeOf(await untyped.run({ role: 'any', input: [1] }).outcome).toEqualTypeOf<Outcome<JsonValue>>()
    const command = await createRunner({ worker: { command: ['w'] }, roles: { any: { executor: 'thing' } } })
    // @ts-expect-error roles are known, whatever the worker
    command.run({ role: 'other' })
  }
  expect(typed).toBeTypeOf('function')
  expect(roles.add.executor).toBe('add')
  expect(workerEntry(new URL('file:///w.js')).url.href).toBe('file:///w.js')
})
