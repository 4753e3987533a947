/** Trees in which there are fewer places than runs. */
import { createMemoryBus } from '@greenroom/bus'
import { defineExecutor, type RunContext } from '@greenroom/worker'
import { createInProcessLauncher } from '@greenroom/worker/testing'
import { expect, test } from 'vitest'
import { createRunner, type AdmissionOptions } from '../src/index.ts'
import { startMember } from './fixtures/pool-member.ts'

const sleep = (ms: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, ms))
const many = 4
let begun = 0
const executors = {
  sage: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      ctx.onAsk(async () => {
        await sleep(500)
        return 'yes'
      })
      await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))
      return {}
    },
  }),
  plan: defineExecutor({
    version: '1',
    suspendable: true,
    run: async (_request, ctx) => ({ text: `${await step(ctx, 'build')} ${await step(ctx, 'test')}` }),
  }),
  leaf: defineExecutor({ version: '1', run: () => Promise.resolve({ text: 'done' }) }),
  /** Asks its first child, and has as many others as its task says. */
  curious: defineExecutor({
    version: '1',
    suspendable: true,
    async run({ task }, ctx) {
      begun += 1
      while (begun < many) await sleep(10)
      const [sage, leaves] = task.split(' ')
      for (let n = 0; n < Number(leaves); n += 1) await ctx.children.spawn({ role: 'leaf', task: '', key: `${n}` })
      const child = await ctx.children.spawn({ role: sage ?? '', task: '', key: 'sage' })
      const answer = await ctx.children
        .ask(child, 'well?', { timeoutMs: 15_000 })
        .catch((error: unknown) => String(error))
      await ctx.children.cancel(child)
      return { output: answer }
    },
  }),
  slow: defineExecutor({ version: '1', run: () => sleep(1_000).then(() => ({ text: 'done' })) }),
  /** Cannot be suspended. Spawns what its task says when all processes are taken. */
  stubborn: defineExecutor({
    version: '1',
    async run({ task }, ctx) {
      begun += 1
      while (begun < many) await sleep(10)
      const [ended] = await ctx.children.wait([await ctx.children.spawn({ role: task, task: '' })])
      return { output: ended?.outcome.status === 'failed' ? ended.outcome.code : (ended?.outcome.status ?? 'none') }
    },
  }),
  parent: defineExecutor({
    version: '1',
    suspendable: true,
    async run(_r, ctx) {
      const sage = await ctx.children.spawn({ role: 'sage', task: '', key: 'sage' })
      const leaf = await ctx.children.spawn({ role: 'leaf', task: '', key: 'leaf' })
      if (ctx.resumed === undefined) await ctx.children.ask(sage, 'well?')
      const ended = ctx.resumed ?? (await ctx.children.wait([leaf]))
      await ctx.children.cancel(sage)
      return { output: ended.map(({ outcome }) => (outcome.status === 'failed' ? outcome.code : outcome.status)) }
    },
  }),
}

/** In steps, each by its key, which it looks for first: as is told to whoever can be suspended. */
async function step(ctx: RunContext, key: string): Promise<string> {
  const [end] = await ctx.children.wait([await ctx.children.spawn({ role: 'leaf', task: key, key })])
  return end?.outcome.status ?? 'none'
}

test('parents that wait again for what has ended do not put each other out for ever', { timeout: 30_000 }, async () => {
  await using bus = createMemoryBus()
  await using runner = await createRunner({
    bus: bus.client(),
    worker: createInProcessLauncher({ bus, executors }),
    roles: { leaf: { executor: 'leaf' }, plan: { executor: 'plan' } },
    dataDir: null,
    quiet: true,
    admission: { maxProcesses: 1 },
  })
  const runs = [1, 2, 3].map(() => runner.run({ role: 'plan', task: '' }))
  for (const run of runs) {
    expect(await run.outcome).toMatchObject({ status: 'completed', text: 'completed completed' })
    // One for each step, and the last.
    expect(run.status().attempts).toBeLessThanOrEqual(3)
  }
})

const roles = {
  sage: { executor: 'sage', placement: { pool: 'crew', maxWaitMs: 5_000 } },
  neighbour: { executor: 'sage' },
  slow: { executor: 'slow', placement: { pool: 'crew' } },
  leaf: { executor: 'leaf' },
  curious: { executor: 'curious' },
  stubborn: { executor: 'stubborn' },
  parent: { executor: 'parent' },
} as const

/** What parents gave that have all processes, each with its task. */
async function outputsOf(
  role: 'curious' | 'stubborn' | 'parent',
  tasks: readonly string[],
  admission: AdmissionOptions = {},
): Promise<readonly unknown[]> {
  begun = many - tasks.length
  await using bus = createMemoryBus()
  await using _pool = await startMember(bus, executors, ['sage', 'slow'])
  await using runner = await createRunner<typeof executors, typeof roles>({
    bus: bus.client(),
    worker: createInProcessLauncher({ bus, executors }),
    roles,
    dataDir: null,
    quiet: true,
    cancelGraceMs: 200,
    admission: { maxProcesses: tasks.length, ...admission },
  })
  const outcomes = await Promise.all(tasks.map((task) => runner.run({ role, task }).outcome))
  return outcomes.map((outcome) => outcome.status === 'completed' && outcome.output)
}

/** What parents heard that ask their children; there are two permits. */
const heard = (...tasks: readonly string[]) => outputsOf('curious', tasks, { maxExecuting: 2 })

/** How the children of parents ended that cannot be suspended. */
const endsOf = (...children: readonly ('leaf' | 'slow')[]) => outputsOf('stubborn', children)

test(
  'children that find no place leave their permits to who is to answer their parent',
  { timeout: 40_000 },
  async () => {
    expect(await heard('sage 2')).toEqual(['yes'])
  },
)

test(
  'of two whose children have no place one is told so, and the other one is answered',
  { timeout: 40_000 },
  async () => {
    const answers = await heard('neighbour 0', 'neighbour 0')
    expect(answers).toContain('yes')
    expect(answers).toContainEqual(expect.stringMatching('POOL_HELD_BY_ANCESTOR'))
  },
)

test(
  'of trees that hold each other up one child fails, and the others have their turn',
  { timeout: 30_000 },
  async () => {
    const ends = await endsOf('leaf', 'leaf', 'leaf', 'leaf')
    expect(ends.filter((end) => end === 'completed')).toHaveLength(3)
    expect(ends).toContain('POOL_HELD_BY_ANCESTOR')
  },
)

test('none fails while a child of another tree gets on elsewhere', { timeout: 30_000 }, async () => {
  expect(await endsOf('slow', 'leaf', 'leaf')).toEqual(['completed', 'completed', 'completed'])
})

test(
  'a child finds no place while its parent, which can be suspended, is about to be answered',
  { timeout: 30_000 },
  async () => {
    expect(await outputsOf('parent', [''])).toEqual([['completed']])
  },
)
