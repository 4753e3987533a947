import { encodeMessage, type JsonValue, type Outcome } from '@greenroom/proto'
import { expect, expectTypeOf, test } from 'vitest'
import { composeRunners, createRunner, type Runner } from '../src/index.ts'
import { dead, Scene } from './fixtures/left-over.ts'
import { firstData, isAlive, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'

const echoing = (dataDir: string | null = null) =>
  createRunner({ worker, roles: { echo: { executor: 'echo' }, wait: { executor: 'wait' } }, dataDir, quiet: true })
const adding = (dataDir: string | null = null) =>
  createRunner({
    worker,
    roles: { sum: { executor: 'add' }, wait: { executor: 'wait' }, fail: { executor: 'fail' } },
    dataDir,
    quiet: true,
  })

test('a runner handles its own roles and no others', async () => {
  await using runner = await testRunner()
  expect(runner.shouldHandle({ role: 'echo' })).toBe(true)
  const foreign: { role: 'echo' } = JSON.parse('{ "role": "secret" }')
  expect(runner.shouldHandle(foreign)).toBe(false)
  expect(await runner.run(foreign).outcome).toMatchObject({ status: 'failed', code: 'UNKNOWN_ROLE' })
  expect(runner.stats().processes).toBe(0)
  expect(runner.roles).toEqual(expect.arrayContaining(['echo', 'steered']))
  expect(runner.roles.filter((role) => !runner.shouldHandle({ role }))).toEqual([])
})

test('a run goes to the first runner that has its role, with the data folder of that', async () => {
  using first = temporaryFolder()
  using second = temporaryFolder()
  const [one, two] = [await echoing(first.path), await adding(second.path)]
  await using both = composeRunners(one, two)
  expect([{ role: 'echo' }, { role: 'sum' }].map((spec) => both.shouldHandle(spec))).toEqual([true, true])
  expect(await both.run({ role: 'echo', task: 'hi', session: 's' }).outcome).toMatchObject({ text: 'hi' })
  expect(await both.run({ role: 'sum', input: { a: 1, b: 2 }, session: 's' }).outcome).toMatchObject({
    output: { sum: 3 },
  })
  expect([one.stats().started, two.stats().started]).toEqual([1, 1])
  const started = await both.start({ role: 'sum', input: { a: 1, b: 2 } }, { idempotencyKey: 'k' })
  expect(await started.outcome).toMatchObject({ output: { sum: 3 } })
  const again = await both.start({ role: 'sum', input: { a: 1, b: 2 } }, { idempotencyKey: 'k' })
  expect(again.id).toBe(started.id)
  // Both have it: the first is asked.
  const waiting = both.run({ role: 'wait' })
  await firstData(waiting, 'pid')
  expect([one.stats().started, two.stats().started]).toEqual([2, 2])
  await waiting.cancel()
  expect(await both.sessionsOf('echo')?.messages('s')).toEqual(await one.sessions.messages('s'))
  expect(await one.sessions.messages('s')).toHaveLength(2)
  expect(await both.sessionsOf('sum')?.messages('s')).toEqual([])
}, 60_000)

test('a run is found at the one that has it, also when another one is closed', async () => {
  const [one, two] = [await echoing(), await adding()]
  await using both = composeRunners(one, two)
  const run = two.run({ role: 'sum', input: { a: 1, b: 2 } })
  await run.outcome
  const found = async () => (await both.attach(run.id)).outcome
  expect(await found()).toMatchObject({ output: { sum: 3 } })
  await expect(both.attach(run.id, JSON.parse('{ "after": 1 }'))).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  let isClosed = false
  void both.closed.then(() => (isClosed = true))
  await one.close()
  expect(await found()).toMatchObject({ output: { sum: 3 } })
  expect(isClosed).toBe(false)
  await expect(both.attach('nothing')).rejects.toMatchObject({ code: 'UNKNOWN_RUN', message: 'no run nothing' })
})

test('what earlier lives of all of them left is led on, and given as one list', async () => {
  await using first = new Scene()
  await using second = new Scene()
  await first.left('r1', { attempt: dead })
  await second.left('r2', { attempt: dead })
  const both = composeRunners(await first.life(), await second.life())
  const runs = await both.resume()
  expect(runs.map(({ id }) => id)).toEqual(['r1', 'r2'])
  for (const { outcome } of runs) expect(await outcome).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
})

test('messages that nobody waits for are counted together', async () => {
  await using first = new Scene()
  await using second = new Scene()
  for (const scene of [first, second]) await scene.left('r1', { attempt: dead })
  const both = composeRunners(await first.life(), await second.life())
  for (const { bus } of [first, second]) {
    const peer = await bus.client().attach({ address: 'stranger', incarnation: 's1', lifetime: 'incarnation' })
    const payload = encodeMessage('accepted', { runId: 'nobody', epoch: 1 })
    peer.publish({ to: 'runner.me', kind: 'accepted', payload })
  }
  await until(() => both.stats().strayMessages === 2)
})

test('inputs and outputs of all roles are inferred', async () => {
  await using both = composeRunners(await echoing(), await adding())
  type Spec<Role extends 'echo' | 'wait' | 'sum' | 'fail'> = Parameters<typeof both.run<Role>>[0]
  type Ending<Role extends 'echo' | 'sum'> = Awaited<ReturnType<typeof both.run<Role>>['outcome']>
  expectTypeOf<Parameters<typeof both.run>[0]['role']>().toEqualTypeOf<'echo' | 'wait' | 'sum' | 'fail'>()
  expectTypeOf<{ role: 'sum'; input: { a: number; b: number } }>().toExtend<Spec<'sum'>>()
  expectTypeOf<{ role: 'sum'; input: { a: number } }>().not.toExtend<Spec<'sum'>>()
  expectTypeOf<{ role: 'sum' }>().not.toExtend<Spec<'sum'>>()
  expectTypeOf<{ role: 'echo' }>().toExtend<Spec<'echo'>>()
  expectTypeOf<Ending<'sum'>>().toEqualTypeOf<Outcome<{ sum: number }>>()
  expectTypeOf<Ending<'echo'>>().toEqualTypeOf<Outcome<JsonValue>>()
  expect(both.roles).toEqual(['echo', 'wait', 'sum', 'fail'])
})

test('a role that no runner has is UNKNOWN_ROLE, and all that there are are named', async () => {
  await using both = composeRunners(await echoing(), await adding())
  const [spec, role]: [{ role: 'echo' }, 'echo'] = JSON.parse('[{ "role": "nobody" }, "nobody"]')
  const run = both.run(spec)
  expect(await run.outcome).toEqual({
    status: 'failed',
    code: 'UNKNOWN_ROLE',
    retry: 'never',
    message: 'no role "nobody"; there are: echo, wait, sum, fail',
  })
  expect(await both.run(JSON.parse('null')).outcome).toMatchObject({ code: 'UNKNOWN_ROLE' })
  expect(await run.cancel()).toEqual(await run.outcome)
  expect(run.status()).toMatchObject({ role: 'nobody', phase: 'ended', status: 'failed' })
  expect(both.shouldHandle({ role: 'nobody' })).toBe(false)
  expect(both.sessionsOf(role)).toBeUndefined()
})

test('what it tells is of all runners together', async () => {
  const [one, two] = [await echoing(), await adding()]
  await using both = composeRunners(one, two)
  const waiting = [both.run({ role: 'wait' }), two.run({ role: 'wait' })]
  for (const run of waiting) await firstData(run, 'pid')
  await both.run({ role: 'fail' }).outcome
  expect(both.stats()).toMatchObject({ started: 3, ended: 1, executing: 2, queued: 0 })
  expect(both.stats().runs).toMatchObject(waiting.map(({ id }) => ({ runId: id, role: 'wait' })))
  for (const run of waiting) await run.cancel()
})

test('what waits at all of them, and their processes, are counted together', async () => {
  const narrow = () =>
    createRunner({
      worker,
      roles: { wait: { executor: 'wait' } },
      admission: { maxExecuting: 1 },
      dataDir: null,
      quiet: true,
    })
  const members = [await narrow(), await narrow()] as const
  await using both = composeRunners(...members)
  for (const member of members) {
    await firstData(member.run({ role: 'wait' }), 'pid')
    member.run({ role: 'wait' })
  }
  await until(() => members.every((member) => member.stats().queued === 1))
  expect(both.stats()).toMatchObject({ processes: 2, executing: 2, queued: 2, pool: { busy: 2 } })
}, 60_000)

test('the workers of all runners are counted together, also those that were lost', async () => {
  const [one, two] = [await echoing(), await adding()]
  await using both = composeRunners(one, two)
  for (const run of [one.run({ role: 'wait' }), two.run({ role: 'wait' })]) {
    process.kill(Number(await firstData(run, 'pid')), 'SIGKILL')
    expect(await run.outcome).toMatchObject({ code: 'WORKER_LOST' })
  }
  for (const task of ['hi', 'again']) {
    await both.run({ role: 'echo', task }).outcome
    await until(() => both.stats().pool.idle === 1)
  }
  expect(both.stats().pool).toMatchObject({ idle: 1, hits: 1, misses: { first: 3 }, ended: { gone: 2, closed: 0 } })
})

test('drain reaches every runner: nothing new, and runs in progress have the grace', async () => {
  const [one, two] = [await echoing(), await adding()]
  const both = composeRunners(one, two)
  const waits = [one.run({ role: 'wait' }), two.run({ role: 'wait' })]
  for (const run of waits) await firstData(run, 'pid')
  const drained = both.drain({ graceMs: 50 })
  expect(await both.run({ role: 'echo' }).outcome).toMatchObject({ code: 'DRAINING' })
  expect(await both.run({ role: 'sum', input: { a: 1, b: 1 } }).outcome).toMatchObject({ code: 'DRAINING' })
  await drained
  for (const run of waits) expect(await run.outcome).toMatchObject({ reason: 'the runner is draining' })
  await Promise.all([one.closed, two.closed, both.closed])
})

test('close, and leaving its block, close every runner with their workers', async () => {
  const [one, two] = [await echoing(), await adding()]
  let pids: number[] = []
  {
    await using both = composeRunners(one, two)
    const waits = [one.run({ role: 'wait' }), two.run({ role: 'wait' })]
    pids = await Promise.all(waits.map(async (run) => Number(await firstData(run, 'pid'))))
    await both.close()
    for (const run of waits) expect(await run.outcome).toMatchObject({ reason: 'the runner was closed' })
  }
  await Promise.all([one.closed, two.closed])
  expect(pids.map(isAlive)).toEqual([false, false])

  const idle = [await echoing(), await adding()] as const
  {
    await using _both = composeRunners(...idle)
    const runs = [idle[0].run({ role: 'echo', task: 'hi' }), idle[1].run({ role: 'sum', input: { a: 1, b: 2 } })]
    for (const run of runs) expect(await run.outcome).toMatchObject({ status: 'completed' })
    pids = runs.map((run) => run.status().worker?.pid ?? 0)
    expect(pids.map(isAlive)).toEqual([true, true])
  }
  await Promise.all(idle.map(({ closed }) => closed))
  expect(pids.map(isAlive)).toEqual([false, false])
}, 60_000)

test('composites compose', async () => {
  const inner = composeRunners(await echoing(), await adding())
  await using all = composeRunners(inner, await testRunner())
  expectTypeOf<Parameters<typeof all.run>[0]['role']>().toExtend<'echo' | 'sum' | 'steered' | 'wait' | (string & {})>()
  expect(await all.run({ role: 'sum', input: { a: 2, b: 2 } }).outcome).toMatchObject({ output: { sum: 4 } })
  expect(await all.run({ role: 'add', input: { a: 2, b: 3 } }).outcome).toMatchObject({ output: { sum: 5 } })
  expect(await all.sessionsOf('sum')?.messages('nothing')).toEqual([])
  expect(inner.stats().started).toBe(1)
})

test('there must be a runner', () => {
  const none: [Runner, ...Runner[]] = JSON.parse('[]')
  expect(() => composeRunners(...none)).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
})
