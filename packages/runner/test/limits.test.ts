import { expect, test } from 'vitest'
import type { LimitOptions, RunSpec } from '../src/index.ts'
import { Account, limitsOfSession, resolveLimits } from '../src/limits.ts'
import { readAll, testRunner } from './fixtures/setup.ts'

const defaults = {
  acceptWarmMs: 10_000,
  acceptColdMs: 60_000,
  firstEventMs: 60_000,
  noProgressMs: 900_000,
  totalMs: 3_600_000,
}

test('without a word the defaults hold; who comes later replaces field by field; null is none, 0 is zero', () => {
  expect(resolveLimits(undefined, {})).toEqual(defaults)
  const runner: LimitOptions = { totalMs: 1, rounds: 5, tokens: 100 }
  const role: LimitOptions = { rounds: 0, noProgressMs: null }
  const run: LimitOptions = { tokens: null, acceptColdMs: 0 }
  const { noProgressMs: _, ...rest } = defaults
  expect(resolveLimits(runner, role, undefined, run)).toEqual({ ...rest, totalMs: 1, rounds: 0, acceptColdMs: 0 })
})

test.for([
  ['60', 60_000],
  [' 7 ', 7_000],
  ['0', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['1e3', undefined],
  ['0x10', undefined],
  ['ten', undefined],
  ['', undefined],
  ['99999999999999999999', undefined],
  [60, undefined],
  [null, undefined],
] as const)("a session's metadata of %j seconds bounds its runs by %s ms", ([text, ms]) => {
  const metadata = JSON.parse(JSON.stringify({ 'watchdog.totalSecs': text, 'watchdog.idleSecs': text }))
  expect(limitsOfSession({ id: 's', metadata })).toEqual(ms === undefined ? {} : { totalMs: ms, noProgressMs: ms })
})

test('what is left of a large output is a whole number of bytes', () => {
  const account = new Account({ outputBytes: 1e12 })
  account.add({ ms: 0, usage: {}, outputBytes: 14 }, undefined)
  expect(account.left).toEqual({ outputBytes: 999_999_999_986 })
})

test('what is left for the next attempt is what earlier ones did not use, never less than nothing', () => {
  const account = new Account({
    totalMs: 1_000,
    rounds: 3,
    tokens: 10,
    costUsd: 0.3,
    outputBytes: 50,
    memoryMb: 9,
    toolMs: 8,
  })
  expect(account.usage).toBeUndefined()
  account.add(
    { ms: 400, usage: { rounds: 1, inputTokens: 2, outputTokens: 3, costUsd: 0.1 }, outputBytes: 20 },
    undefined,
  )
  expect(account.left).toEqual({
    totalMs: 600,
    rounds: 2,
    tokens: 5,
    costUsd: 0.2,
    outputBytes: 30,
    memoryMb: 9,
    toolMs: 8,
  })
  account.add({ ms: 700, usage: { rounds: 1 }, outputBytes: 40 }, { rounds: 9 })
  expect(account.left).toMatchObject({ totalMs: 0, rounds: 0, outputBytes: 0, tokens: 5 })
  expect(account.usage).toEqual({ rounds: 10, inputTokens: 2, outputTokens: 3, costUsd: 0.1 })
  // Whatever its last words say, what it told was used.
  account.add({ ms: 0, usage: { rounds: 5 }, outputBytes: 0 }, { rounds: 1, outputTokens: 1 })
  expect(account.usage).toEqual({ rounds: 15, inputTokens: 2, outputTokens: 4, costUsd: 0.1 })
})

test('limits travel to the executor: runner, role, session and run, in this order', async () => {
  await using runner = await testRunner({ limits: { totalMs: 50_000, rounds: 9 } })
  await runner.sessions.describe('s1', { metadata: { 'watchdog.totalSecs': '40' } })
  const limits = async (spec: Pick<RunSpec, 'limits'>): Promise<unknown> => {
    const outcome = await runner.run({ role: 'spend', input: [], session: 's1', ...spec }).outcome
    return outcome.status === 'completed' ? outcome.output : outcome
  }
  expect(await limits({})).toEqual({ ...defaults, totalMs: 40_000, rounds: 9 })
  expect(await limits({ limits: { totalMs: 30_000, rounds: null } })).toEqual({ ...defaults, totalMs: 30_000 })
})

test('an executor that keeps the thread from its first line on is accepted, and bounded', async () => {
  await using runner = await testRunner({ limits: { totalMs: 300 }, cancelGraceMs: 100 })
  for (const warm of [false, true]) {
    if (warm) await runner.run({ role: 'echo', task: 'x' }).outcome
    const run = runner.run({ role: 'headlong' })
    const before = performance.now()
    expect(await run.outcome).toMatchObject({ status: 'timeout', which: 'total' })
    // It would take 8 s.
    expect(performance.now() - before).toBeLessThan(6_000)
  }
})

test.for([
  ['{ "rounds": "many" }', 'limits.rounds must be a whole number from 0 to 9007199254740991, or null for no limit'],
  ['{ "totalMs": 1e300 }', 'limits.totalMs must be a number from 0 to 9007199254740991, or null for no limit'],
  ['{ "costUsd": -1 }', 'limits.costUsd must be a number from 0 to 9007199254740991, or null for no limit'],
] as const)('limits of a run that are none are refused by name: %s', async ([limits, message]) => {
  await using runner = await testRunner()
  const spec: RunSpec<'echo'> = JSON.parse(`{ "role": "echo", "task": "x", "limits": ${limits} }`)
  expect(await runner.run(spec).outcome).toMatchObject({ status: 'failed', code: 'BAD_OPTIONS', message })
})

test('the greatest limits that there may be are limits', async () => {
  await using runner = await testRunner()
  const most = Number.MAX_SAFE_INTEGER
  const limits: LimitOptions = {
    acceptWarmMs: most,
    acceptColdMs: most,
    firstEventMs: most,
    noProgressMs: most,
    totalMs: most,
    toolMs: most,
    rounds: most,
    tokens: most,
    costUsd: most,
    outputBytes: most,
    memoryMb: most,
  }
  expect(await runner.run({ role: 'echo', task: 'x', limits }).outcome).toMatchObject({ status: 'completed' })
})

test.for([
  [{ rounds: 2 }, [{ rounds: 1 }, { rounds: 1 }, { rounds: 1 }], 'LIMIT_ROUNDS'],
  [{ tokens: 5 }, [{ inputTokens: 3 }, { outputTokens: 3 }], 'LIMIT_TOKENS'],
  [{ costUsd: 0 }, [{ costUsd: 0.01 }], 'LIMIT_COST'],
  [{ outputBytes: 100 }, [{ rounds: 1 }, { rounds: 2 }, { rounds: 3 }, { rounds: 4 }], 'LIMIT_OUTPUT'],
] as const)(
  '%j ends an executor that swallows every error, as a failure that is told with what was used',
  async ([limits, input, code]) => {
    await using runner = await testRunner({ limits })
    const outcome = await runner.run({ role: 'spend', input: [...input] }).outcome
    expect(outcome).toMatchObject({ status: 'failed', code, retry: 'never' })
    expect(outcome.usage).toBeDefined()
  },
)

test('what a run used is in its outcome, and told as it goes', async () => {
  await using runner = await testRunner()
  const run = runner.run({
    role: 'spend',
    input: [
      { rounds: 1, inputTokens: 5 },
      { rounds: 1, costUsd: 0.5 },
    ],
  })
  const events = await readAll(run)
  expect(events.map(({ type }) => type)).toEqual(['usage', 'usage'])
  expect(await run.outcome).toMatchObject({
    status: 'completed',
    usage: { rounds: 2, inputTokens: 5, costUsd: 0.5 },
  })
})

test('limits are those of the run: what a lost attempt used is gone for the next one, and in the outcome', async () => {
  await using runner = await testRunner({ limits: { rounds: 5 } })
  const outcome = await runner.run({ role: 'mortal' }).outcome
  expect(outcome).toMatchObject({ status: 'completed', output: { rounds: 3 }, usage: { rounds: 4 } })
  const { totalMs = 0 } = outcome.status === 'completed' ? Object(outcome.output) : {}
  expect(totalMs).toBeGreaterThan(3_500_000)
  expect(totalMs).toBeLessThan(3_599_950)
  expect(await runner.run({ role: 'mortal', limits: { rounds: 3 } }).outcome).toMatchObject({
    status: 'failed',
    code: 'LIMIT_ROUNDS',
    usage: { rounds: 4 },
  })
})

test('a worker in a synchronous loop that takes ever more memory is ended by its limit', async () => {
  await using runner = await testRunner({ limits: { memoryMb: 300 }, cancelGraceMs: 300 })
  const before = performance.now()
  const run = runner.run({ role: 'hoard' })
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'LIMIT_MEMORY' })
  console.log(`a hoarder was ended after ${Math.round(performance.now() - before)} ms`)
})

test.for([
  ['stubborn', { totalMs: 300 }, 'total'],
  ['stubborn', { noProgressMs: 300 }, 'no-progress'],
  ['mute', { firstEventMs: 300 }, 'first-event'],
  ['wait', { totalMs: 300 }, 'total'],
] as const)('a worker "%s" with %j ends as timeout %s', async ([role, limits, which]) => {
  await using runner = await testRunner({ limits, cancelGraceMs: 100 })
  expect(await runner.run({ role }).outcome).toMatchObject({ status: 'timeout', which })
})
