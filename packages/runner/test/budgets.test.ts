/** Budgets of trees, with real workers in this process. */
import { createManualClock } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { Budgeting, jsonOf, type Order } from './fixtures/budgeting.ts'
import { until } from './fixtures/setup.ts'

const tokens = (inputTokens: number) => ({ inputTokens })
const times = (count: number, amount: number) => Array.from({ length: count }, () => tokens(amount))
const work = (order: Order) => ({ role: 'work', input: jsonOf(order) })

test('zero stops at the first use, and what is absent does not', async () => {
  await using it = new Budgeting()
  const runner = await it.runner({ budget: { tokens: 0, usd: 0 } })
  expect(await runner.run(work({})).outcome).toMatchObject({ status: 'completed' })
  const run = runner.run(work({ calls: times(3, 1) }))
  expect(await run.outcome).toMatchObject({
    status: 'failed',
    code: 'LIMIT_BUDGET',
    retry: 'never',
    message: `1 of 0 tokens are used or set aside in the budget of run ${run.id}`,
    usage: tokens(1),
  })
  expect(it.calls).toHaveLength(1)
  const order = work({ calls: [{ ...tokens(9), costUsd: 0 }] })
  expect(await runner.run({ ...order, budget: { tokens: null } }).outcome).toMatchObject({ status: 'completed' })
  // What it says only in the end counts, too.
  const last = { status: 'failed', code: 'LIMIT_BUDGET', usage: { costUsd: 0.1 } }
  expect(await runner.run(work({ returns: { costUsd: 0.1 } })).outcome).toMatchObject(last)
  expect(await it.isClear()).toBe(true)
})

test('without a budget nothing is counted, and nothing answered', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const run = runner.run(work({ name: 'free', calls: times(3, 1_000), children: [{ order: {} }] }))
  expect(await run.outcome).toMatchObject({ status: 'completed', output: ['completed'] })
  expect(it.left).toEqual({ free: undefined, '': undefined })
  expect(run.status()).not.toHaveProperty('budget')
})

test('a tree has one budget, and none of it makes more than one call beyond that', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const children = ['a', 'b', 'c', 'd'].map((name) => ({ order: { name, calls: times(50, 10) } }))
  const run = runner.run({ ...work({ calls: times(2, 10), children, later: times(1, 10) }), budget: { tokens: 100 } })
  const outcome = await run.outcome
  expect(outcome).toMatchObject({ code: 'LIMIT_BUDGET', message: expect.stringContaining(run.id) })
  await until(() => runner.stats().runs.length === 0)
  const used = it.told.reduce((sum, { inputTokens = 0 }) => sum + inputTokens, 0)
  expect(used).toBeGreaterThan(100)
  expect(used).toBeLessThanOrEqual(100 + 4 * 10)
  expect(await it.isClear()).toBe(true)
})

test('what is set aside for a child is its own, and what it does not use comes back', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const order: Order = {
    name: 'parent',
    calls: times(1, 10),
    children: [
      { order: { name: 'greedy', calls: times(9, 20) }, budget: { tokens: 30 } },
      { order: {}, budget: { tokens: 61 } },
      { order: { name: 'modest', calls: times(2, 5) }, budget: { tokens: 50 } },
    ],
    later: times(3, 10),
  }
  const run = runner.run({ ...work(order), budget: { tokens: 100 } })
  expect(await run.outcome).toMatchObject({ status: 'completed', output: ['LIMIT_BUDGET', 'completed'] })
  expect(it.refusals).toEqual(['LIMIT_BUDGET'])
  expect(it.calls.filter((name) => name === 'greedy')).toHaveLength(2)
  // 10 + 40 (30 were set aside) + 10 (50 were) + 30
  expect(it.left).toEqual({ parent: { tokens: 10 }, modest: { tokens: 40 } })
  expect(await it.isClear()).toBe(true)
})

test('every child below counts as a spawn, once for each key', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const leaf = { order: {} }
  const order: Order = {
    name: 'root',
    children: [
      { ...leaf, key: 'k' },
      { ...leaf, key: 'k' },
      { order: { children: [leaf, leaf] } },
      { order: {}, budget: { spawns: 3 } },
      { order: {}, budget: { spawns: 0 } },
    ],
    later: times(1, 0),
  }
  expect(await runner.run({ ...work(order), budget: { spawns: 5 } }).outcome).toMatchObject({ status: 'completed' })
  expect(it.refusals).toEqual(['LIMIT_BUDGET'])
  expect(it.left['root']).toEqual({ spawns: 0 })
  it.refusals.length = 0
  expect(await runner.run({ ...work({ children: [leaf] }), budget: { spawns: 0 } }).outcome).toMatchObject({
    status: 'completed',
    output: [],
  })
  expect(it.refusals).toEqual(['LIMIT_BUDGET'])
  expect(await it.isClear()).toBe(true)
})

test('the time of all that execute is added up, and no time never begins', async () => {
  const clock = createManualClock()
  await using it = new Budgeting(clock)
  const runner = await it.runner()
  const none = runner.run({ ...work({}), budget: { ms: 0 } })
  await clock.advance(0)
  expect(await none.outcome).toMatchObject({ code: 'LIMIT_BUDGET' })
  expect(none.status()).toMatchObject({ attempts: 0 })
  expect(it.launcher.workers).toEqual([])

  const gated = { order: { gate: true } }
  const run = runner.run({ ...work({ children: [gated, gated] }), budget: { ms: 10_000 } })
  const phases = (): readonly string[] => runner.stats().runs.map(({ phase }) => phase)
  for (let n = 0; n < 100 && phases().filter((phase) => phase === 'running').length < 3; n += 1) await clock.advance(1)
  const before = run.status().budget?.ms ?? 0
  expect(before).toBeGreaterThan(9_000)
  // The parent waits for both, and executes nothing meanwhile.
  await clock.advance(1_000)
  expect(run.status().budget).toEqual({ ms: before - 2_000 })
  await clock.advance((before - 2_000) / 2 - 1)
  expect(run.status().phase).toBe('running')
  await clock.advance(1)
  await clock.advance(300)
  expect(await run.outcome).toMatchObject({
    code: 'LIMIT_BUDGET',
    message: expect.stringMatching(/^10000 of 10000 ms are used/),
  })
})

test('a suspended run keeps its budget', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const order: Order = {
    name: 'parent',
    calls: times(2, 10),
    children: [{ order: { calls: times(1, 10) } }],
    waits: 'by suspension',
    later: times(1, 10),
  }
  const kept = runner.run({ ...work(order), budget: { tokens: 50 } })
  expect(await kept.outcome).toMatchObject({ status: 'completed', usage: tokens(30) })
  expect(it.left['parent']).toEqual({ tokens: 10 })
  expect(await it.isClear()).toBe(true)
})

test('each further attempt draws on the same budget', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const again = { ...work({ name: 'again', calls: times(3, 10), dies: true }), role: 'again', budget: { tokens: 50 } }
  expect(await runner.run(again).outcome).toMatchObject({ code: 'LIMIT_BUDGET', usage: tokens(60) })
  expect(await it.isClear()).toBe(true)
})

test('a child that outlives its parent keeps what was set aside until it has ended', async () => {
  await using it = new Budgeting()
  const runner = await it.runner()
  const late: Order = { name: 'late', gate: true, calls: times(1, 5), later: times(1, 5) }
  const order: Order = {
    name: 'root',
    children: [{ order: { children: [{ order: late }], waits: 'never' }, budget: { tokens: 60 } }],
    later: times(1, 1),
  }
  const run = runner.run({ ...work(order), budget: { tokens: 100 } })
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  expect(it.left['root']).toEqual({ tokens: 39 })
  expect(it.store.count('budget')).toBe(3)
  it.openGate()
  expect(await it.isClear()).toBe(true)
  expect(it.left['late']).toEqual({ tokens: 50 })
})

test('a budget that is none is refused by its name', async () => {
  await using it = new Budgeting()
  const given: unknown = { tokens: 1.5 }
  const budget = Object(given)
  await expect(it.runner({ budget })).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringContaining('budget.tokens must be a whole number'),
  })
  const runner = await it.runner()
  expect(await runner.run({ ...work({}), budget }).outcome).toMatchObject({ code: 'BAD_OPTIONS' })
  await expect(runner.children.spawn({ role: 'work', budget })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  expect(await runner.run(work({ children: [{ order: {}, budget: Object({ euros: 1 }) }] })).outcome).toMatchObject({
    status: 'completed',
  })
  expect(it.refusals).toEqual(['BAD_OPTIONS'])
})
