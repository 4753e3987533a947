/** Places whose slots are held by runs that wait for their children. */
import { describe, expect, test } from 'vitest'
import { createRunner, type PoolPlacement, type RoleOptions, type Runner } from '../src/index.ts'
import { FabricStage } from './fixtures/fabric-stage.ts'
import { PoolStage } from './fixtures/pool-stage.ts'
import { outputOf, outputs, type HeldRun, type MemberOptions, type ResidentStage } from './fixtures/resident-stage.ts'
import { until } from './fixtures/setup.ts'

/** A stage with members, and a runner there. */
interface Scene extends AsyncDisposable {
  readonly stage: ResidentStage
  readonly runner: Runner
}

const say = (runner: Runner, role: string, task: string): Promise<unknown> =>
  runner.run({ role, task }).outcome.then(outputOf)

async function pool(
  members: Readonly<Record<string, MemberOptions>>,
  more: Partial<PoolPlacement> = {},
): Promise<Scene> {
  const stage = new PoolStage()
  for (const [name, options] of Object.entries(members)) await stage.member(name, options)
  return { stage, runner: await stage.runner(more), [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() }
}

async function fabric(members: Readonly<Record<string, MemberOptions>>): Promise<Scene> {
  const stage = new FabricStage()
  for (const [name, options] of Object.entries(members)) await stage.member(name, options)
  return { stage, runner: await stage.runner(), [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose]() }
}

async function remote(members: Readonly<Record<string, MemberOptions>>): Promise<Scene> {
  const stage = new FabricStage()
  const [first] = await Promise.all(Object.entries(members).map(([name, options]) => stage.member(name, options)))
  if (first === undefined) throw new Error('a remote is one')
  return {
    stage,
    runner: await stage.runner(first.record, { limits: { acceptWarmMs: 3_000 } }),
    [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
  }
}

describe.each([
  ['a pool', pool],
  ['a fabric', fabric],
  ['a remote', remote],
])('%s of one slot', { timeout: 30_000 }, (_, open) => {
  test('is left by a parent that can be suspended: its child has it, and then it again', async () => {
    await using scene = await open({ a: {} })
    const run = scene.runner.run({ role: 'pliant', task: 'who' })
    expect(outputOf(await run.outcome)).toBe('a again, a')
    expect(run.status().attempts).toBe(2)
    // Three deep: each leaves it to the next.
    expect(await say(scene.runner, 'pliant', 'pliant pliant who')).toBe('a again, a again, a again, a')
  })

  test('is not left by one that cannot: its child fails by name, at once', async () => {
    await using scene = await open({ a: {} })
    const began = performance.now()
    expect(await say(scene.runner, 'stiff', 'who')).toBe('a, failed POOL_HELD_BY_ANCESTOR')
    expect(performance.now() - began).toBeLessThan(5_000)
    // Of two the nearest that can is suspended: here the farther one, which left already.
    expect(await say(scene.runner, 'pliant', 'stiff who')).toBe('a again, a, failed POOL_HELD_BY_ANCESTOR')
    expect(scene.runner.stats()).toMatchObject({ executing: 0, runs: [] })
  })

  test('is waited for by whoever left it: others that are told that it is full change nothing', async () => {
    await using scene = await open({ a: {} })
    const { runner, stage } = scene
    const parent = runner.run({ role: 'pliant', task: 'hold' })
    const [child] = await until(() => stage.held.length === 1 && stage.held)
    expect(await say(runner, 'who', '')).toMatch(/^failed (POOL_FULL|BUSY)$/)
    child?.end()
    expect(outputOf(await parent.outcome)).toBe('a again, a')
  })
})

test.each<[string, (stages: { readonly pool: PoolStage; readonly fabric: FabricStage }) => Promise<PoolPlacement>]>([
  [
    'a pool',
    async ({ pool }) => {
      await pool.member('a', { labels: { name: 'a' } })
      return { pool: 'crew', labels: { name: 'a' } }
    },
  ],
  [
    'a fabric',
    async ({ fabric }) => {
      await fabric.member('a')
      return { pool: 'crew', fabric: fabric.folder.path }
    },
  ],
])(
  '%s of one slot that others took meanwhile is waited for by whoever left it, however patient',
  { timeout: 30_000 },
  async (_, open) => {
    await using stages = new AsyncDisposableStack()
    const [pool, fabric] = [stages.use(new PoolStage()), stages.use(new FabricStage())]
    await pool.member('b', { labels: { name: 'b' } })
    const placement = await open({ pool, fabric })
    const start = (maxWaitMs: number) =>
      createRunner({
        bus: pool.bus.client(),
        roles: {
          pliant: { executor: 'pliant', placement },
          hold: { executor: 'hold', placement: { ...placement, maxWaitMs } },
          elsewhere: { executor: 'hold', placement: { pool: 'crew', labels: { name: 'b' } }, priority: 1 },
        },
        dataDir: null,
        quiet: true,
        admission: { maxExecuting: 1 },
      })
    const [runner, others] = [stages.use(await start(0)), stages.use(await start(60_000))]
    const heldAt = (name: string): readonly HeldRun[] =>
      [...pool.held, ...fabric.held].filter(({ member }) => member === name)
    const parent = runner.run({ role: 'pliant', task: 'hold' })
    const child = await until(() => heldAt('a')[0], 'the child')
    // It gets the child's permit: until it is done the parent is not let in.
    const next = runner.run({ role: 'elsewhere' })
    await until(() => runner.stats().queued === 1)
    child.end()
    const permitted = await until(() => heldAt('b')[0], 'who has the permit')
    const their = others.run({ role: 'hold' })
    const taken = await until(() => heldAt('a')[1], 'who has the slot')
    permitted.end()
    await next.outcome
    await until(() => runner.stats().executing === 1, 'the parent')
    taken.end()
    expect(await outputs([parent, their])).toEqual(['a again, a', 'a'])
  },
)

describe('where there is more than one slot', { timeout: 30_000 }, () => {
  test('who waits leaves its own only when all are taken, be it by others', async () => {
    await using scene = await pool({ a: {}, b: {} })
    const { runner, stage } = scene
    const alone = runner.run({ role: 'pliant', task: 'who' })
    expect(outputOf(await alone.outcome)).toMatch(/^(a, b|b, a)$/)
    expect(alone.status().attempts).toBe(1)
    const other = runner.run({ role: 'hold' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    const free = held?.member === 'a' ? 'b' : 'a'
    expect(await say(runner, 'pliant', 'who')).toBe(`${free} again, ${free}`)
    held?.end()
    await other.outcome
  })

  test('two trees that hold a slot each leave them to their children', async () => {
    await using scene = await pool({ a: { slots: 2 } }, { maxWaitMs: 20_000 })
    const runs = [1, 2, 3, 4].map(() => scene.runner.run({ role: 'pliant', task: 'pliant who' }))
    expect(await outputs(runs)).toEqual(runs.map(() => expect.stringMatching(/^a( again)?, a( again)?, a$/)))
  })

  test('who comes back from waiting is not kept waiting by who was let in and finds no place', async () => {
    await using stage = new PoolStage()
    for (const [name, generation] of [
      ['a', 'parents'],
      ['b', 'children'],
    ] as const)
      await stage.member(name, { labels: { generation } })
    const at = (executor: string, generation: string): RoleOptions => ({
      executor,
      placement: { pool: 'crew', labels: { generation }, maxWaitMs: 600_000 },
    })
    await using runner = await createRunner({
      bus: stage.bus.client(),
      roles: { stiff: at('stiff', 'parents'), who: at('who', 'parents'), hold: at('hold', 'children') },
      dataDir: null,
      quiet: true,
      admission: { maxExecuting: 1 },
    })
    const parent = runner.run({ role: 'stiff', task: 'hold' })
    const [child] = await until(() => stage.held.length === 1 && stage.held)
    // It gets the child's permit, and wants the parent's slot, whose run wants the permit.
    const rival = runner.run({ role: 'who' })
    await until(() => runner.stats().queued === 1)
    child?.end()
    expect(await outputs([parent, rival])).toEqual(['a, b', 'a'])
  })

  test('who is of another tree waits, and keeps nobody out whom the waiting wait for', async () => {
    await using stage = new PoolStage()
    await stage.member('a', { labels: { generation: 'parents' } })
    const at = (executor: string, generation: string, maxWaitMs: number): RoleOptions => ({
      executor,
      placement: { pool: 'crew', labels: { generation }, maxWaitMs },
      retry: { attempts: 10, backoffMs: 500 },
    })
    await using runner = await createRunner({
      bus: stage.bus.client(),
      roles: { stiff: at('stiff', 'parents', 0), who: at('who', 'parents', 600_000), hold: at('hold', 'children', 0) },
      dataDir: null,
      quiet: true,
      admission: { maxExecuting: 1 },
    })
    const parent = runner.run({ role: 'stiff', task: 'hold' })
    // The child finds nobody, and is to be tried again: meanwhile the stranger is let in, who wants the parent's slot.
    await until(() => runner.stats().runs.some(({ phase }) => phase === 'delayed'))
    const stranger = runner.run({ role: 'who' })
    await stage.member('b', { labels: { generation: 'children' } })
    const [child] = await until(() => stage.held.length === 1 && stage.held)
    child?.end()
    expect(await outputs([parent, stranger])).toEqual(['a, b', 'a'])
  })

  test('only those with the right labels count', async () => {
    await using scene = await pool({ a: { labels: { gpu: 'big' } }, b: {} }, { labels: { gpu: 'big' } })
    expect(await say(scene.runner, 'stiff', 'who')).toBe('a, failed POOL_HELD_BY_ANCESTOR')
    expect(await say(scene.runner, 'pliant', 'who')).toBe('a again, a')
  })
})
