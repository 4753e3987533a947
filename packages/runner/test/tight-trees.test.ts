/** Trees that hold each other up, or nearly: who has all places, and who waits for whom. */
import { createMemoryBus } from '@greenroom/bus'
import { defineExecutor, type Executor, type RunContext } from '@greenroom/worker'
import { createInProcessLauncher } from '@greenroom/worker/testing'
import { expect, test } from 'vitest'
import { codeOf, type ChildOutcome } from '@greenroom/proto'
import * as z from 'zod'
import { createRunner, type AdmissionOptions, type RoleOptions, type Runner } from '../src/index.ts'
import { startMember } from './fixtures/pool-member.ts'

const sleep = (ms: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, ms))
const timeout = 30_000

/** How a child ended, in a word. */
const wordOf = ({ outcome }: ChildOutcome): string => (outcome.status === 'failed' ? outcome.code : outcome.status)
/** What a child gave, or how it ended. */
const saidBy = (end: ChildOutcome | undefined) =>
  end?.outcome.status === 'completed' ? end.outcome.output : end && wordOf(end)
const executor = (run: (ctx: RunContext, task: string) => Promise<unknown>, suspendable = false, slots = 1): Executor =>
  defineExecutor({
    version: '1',
    suspendable,
    slots,
    run: async ({ task }, ctx) => ({ output: JSON.parse(JSON.stringify((await run(ctx, task)) ?? null)) }),
  })
const leaf = executor(() => Promise.resolve('done'))
const slow = executor(() => sleep(500))
/** Serves until it is cancelled. */
const helper = defineExecutor({
  version: '1',
  slots: 4,
  run: (_request, ctx) => new Promise<never>((_, reject) => ctx.signal.addEventListener('abort', reject)),
})

/** A runner with a role for each executor, which has the secrets that it declares; some of them are in a pool alone. */
async function inTree(
  executors: Readonly<Record<string, Executor>>,
  admission: AdmissionOptions,
  act: (runner: Runner) => Promise<void>,
  pooled: readonly string[] = [],
): Promise<void> {
  await using bus = createMemoryBus()
  await using _pool = await startMember(bus, executors, pooled)
  const local = Object.fromEntries(Object.entries(executors).filter(([name]) => !pooled.includes(name)))
  const placement = { pool: 'crew', maxWaitMs: 2_000 } as const
  const roleOf = (name: string): RoleOptions => ({
    executor: name,
    ...(pooled.includes(name) ? { placement } : { secrets: executors[name]?.secrets ?? [] }),
  })
  await using runner = await createRunner({
    bus: bus.client(),
    worker: createInProcessLauncher({ bus, executors: local }),
    roles: Object.fromEntries(Object.keys(executors).map((name) => [name, roleOf(name)])),
    dataDir: null,
    quiet: true,
    cancelGraceMs: 200,
    secrets: { KEY: 'v' },
    admission,
  })
  await act(runner)
}

/** What runs of a role gave. */
const outputs = (runner: Runner, role: string, ...tasks: readonly string[]): Promise<readonly unknown[]> =>
  Promise.all(
    tasks.map(async (task) => {
      const outcome = await runner.run({ role, task }).outcome
      return outcome.status === 'completed' ? outcome.output : outcome.status
    }),
  )

/** Resolves when so many have come. */
function gate(many: number): () => Promise<void> {
  let come = 0
  const open = Promise.withResolvers<void>()
  return () => {
    come += 1
    if (come % many === 0) open.resolve()
    return open.promise
  }
}

test('helpers that serve until they are cancelled do not hide that trees hold each other up', { timeout }, async () => {
  const both = gate(2)
  const parent = executor(async (ctx) => {
    await both()
    const serving = await ctx.children.spawn({ role: 'helper', task: '' })
    const ends = await ctx.children.wait([await ctx.children.spawn({ role: 'leaf', task: '' })])
    await ctx.children.cancel(serving)
    return ends.map(wordOf)
  })
  await inTree(
    { leaf, helper, parent },
    { maxProcesses: 2 },
    async (runner) => {
      const ends = await outputs(runner, 'parent', '', '')
      expect(ends).toContainEqual(['completed'])
      expect(ends).toContainEqual(['POOL_HELD_BY_ANCESTOR'])
    },
    ['helper'],
  )
})

/** Waits for a leaf, suspended; perhaps with a helper of its own. */
const suspended = (withHelper: boolean): Executor =>
  executor(
    async (ctx) => {
      const serving = withHelper ? await ctx.children.spawn({ role: 'helper', task: '', key: 'helper' }) : undefined
      const child = await ctx.children.spawn({ role: 'leaf', task: '', key: 'leaf' })
      if (ctx.resumed === undefined) {
        // Its leaf has looked for a place before.
        await sleep(100)
        ctx.suspend([child])
      }
      if (serving !== undefined) await ctx.children.cancel(serving)
      return (ctx.resumed ?? []).map(wordOf)
    },
    true,
    4,
  )

test.for([false, true])(
  'nor do suspended children that they wait for, whose helpers serve: %s',
  { timeout },
  async (withHelper) => {
    const both = gate(2)
    const parent = executor(async (ctx) => {
      await both()
      const [end] = await ctx.children.wait([await ctx.children.spawn({ role: 'middle', task: '' })])
      return saidBy(end)
    })
    await inTree(
      { leaf, helper, middle: suspended(withHelper), parent },
      { maxProcesses: 2 },
      async (runner) => {
        const ends = await outputs(runner, 'parent', '', '')
        expect(ends).toContainEqual(['completed'])
        expect(ends).toContainEqual(['POOL_HELD_BY_ANCESTOR'])
      },
      ['helper', 'middle'],
    )
  },
)

test('nor do two suspended children of one that waits for both', { timeout }, async () => {
  const parent = executor(async (ctx) => {
    const both = [1, 2].map(() => ctx.children.spawn({ role: 'middle', task: '' }))
    return (await ctx.children.wait(await Promise.all(both))).map(wordOf)
  })
  await inTree(
    { leaf, middle: suspended(false), parent },
    { maxProcesses: 1 },
    async (runner) => expect(await outputs(runner, 'parent', '')).toEqual([['completed', 'completed']]),
    ['middle'],
  )
})

test('nor do the helpers of those whom they ask', { timeout }, async () => {
  const both = gate(2)
  const sage = executor(
    async (ctx) => {
      const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()]
      ctx.onAsk(() => (asked.resolve(), answer.promise))
      await asked.promise
      const serving = await ctx.children.spawn({ role: 'helper', task: '', key: 'helper' })
      const [end] = await ctx.children.wait([await ctx.children.spawn({ role: 'leaf', task: '', key: 'leaf' })])
      answer.resolve(end === undefined ? '' : wordOf(end))
      await ctx.children.cancel(serving)
    },
    false,
    4,
  )
  const parent = executor(async (ctx) => {
    await both()
    const child = await ctx.children.spawn({ role: 'sage', task: '', key: 'sage' })
    return ctx.children.ask(child, 'well?', { timeoutMs: 20_000 })
  }, true)
  await inTree(
    { leaf, helper, sage, parent },
    { maxProcesses: 2 },
    async (runner) => {
      const answers = await outputs(runner, 'parent', '', '')
      expect(answers).toContain('completed')
      expect(answers).toContain('POOL_HELD_BY_ANCESTOR')
    },
    ['helper', 'sage'],
  )
})

test('texts to a child that suspends itself meanwhile are answered at once', { timeout }, async () => {
  const parent = executor(async (ctx) => {
    const child = await ctx.children.spawn({ role: 'middle', task: '', key: 'middle' })
    const sent: Promise<string>[] = []
    for (const since = performance.now(); performance.now() - since < 600; await new Promise(setImmediate))
      if (sent.length < 3_000) sent.push(ctx.children.send(child, 'mind the gap', { mode: 'queue' }))
    const words = new Set(await Promise.all(sent))
    return [[...words], (await ctx.children.wait([child])).map(wordOf)]
  })
  await inTree(
    { leaf, middle: suspended(false), parent },
    { maxProcesses: 1 },
    async (runner) => expect(await outputs(runner, 'parent', '')).toEqual([[['queued'], ['completed']]]),
    ['middle'],
  )
})

test('a child for which nobody waits has its place when its parent has ended', { timeout }, async () => {
  const parent = executor(async (ctx) => {
    const first = await ctx.children.spawn({ role: 'slow', task: '' })
    const { runId } = await ctx.children.spawn({ role: 'leaf', task: '' })
    await ctx.children.wait([first])
    return runId
  })
  await inTree(
    { leaf, slow, parent },
    { maxProcesses: 1 },
    async (runner) => {
      const [runId] = await outputs(runner, 'parent', '')
      expect(await (await runner.attach(String(runId))).outcome).toMatchObject({ status: 'completed' })
    },
    ['slow'],
  )
})

test('a child of one that stands in is told at once that whoever asks has its place', { timeout }, async () => {
  const sage = executor(async (ctx, task) => {
    if (task === '') return 'ready'
    return (await ctx.children.wait([await ctx.children.spawn({ role: 'leaf', task: '' })])).map(wordOf)
  })
  const asker = executor(async (ctx) => {
    const child = await ctx.children.spawn({ role: 'sage', task: '', key: 'sage' })
    while ((await ctx.children.list()).some(({ status }) => status === 'running')) await sleep(20)
    const since = performance.now()
    await ctx.children.ask(child, 'well?', { timeoutMs: 8_000 }).catch(String)
    const leaves = performance.now() - since
    return leaves < 4_000
  }, true)
  await inTree(
    { leaf, sage, asker },
    { maxProcesses: 1 },
    async (runner) => expect(await outputs(runner, 'asker', '')).toEqual([true]),
    ['sage'],
  )
})

test.for([false, true])(
  'trees that hold each other up for a moment lose nobody; others did before: %s',
  { timeout },
  async (before) => {
    let both = gate(2)
    const parent = executor(async (ctx, task) => {
      await both()
      const child = await ctx.children.spawn({ role: 'leaf', task: '' })
      const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(Number(task))])
      return ctx.children.wait([child], { signal }).then(
        (ends) => ends.map(wordOf),
        () => 'late',
      )
    })
    await inTree({ leaf, parent }, { maxProcesses: 2 }, async (runner) => {
      for (const _ of before ? [1, 2] : [1]) {
        both = gate(2)
        expect(await outputs(runner, 'parent', '9000', '100')).toEqual([['completed'], 'late'])
      }
    })
  },
)

test('no tree takes the last process from the children of others', { timeout }, async () => {
  const parent = executor(async (ctx) => {
    const children = Array.from({ length: 12 }, () => ctx.children.spawn({ role: 'leaf', task: '' }))
    return (await ctx.children.wait(await Promise.all(children))).filter((end) => wordOf(end) === 'completed').length
  })
  await inTree({ leaf, parent }, { maxProcesses: 2, maxExecuting: 1 }, async (runner) =>
    expect(await outputs(runner, 'parent', '', '', '')).toEqual([12, 12, 12]),
  )
})

test.for([{ maxExecuting: 1 }, { maxProcesses: 1 }])(
  'a text to a child that has no place yet is kept for it: %o',
  { timeout },
  async (admission) => {
    const hears = executor(async (ctx) => {
      for await (const { text } of ctx.steering) return text
      return 'nothing'
    })
    const parent = executor(async (ctx) => {
      const child = await ctx.children.spawn({ role: 'hears', task: '', key: 'c' })
      const status = ctx.resumed ? 'queued' : await ctx.children.send(child, 'mind the gap', { mode: 'queue' })
      const [end] = ctx.resumed ?? (await ctx.children.wait([child]))
      return [status, saidBy(end)]
    }, true)
    await inTree({ hears, parent }, { maxProcesses: 2, ...admission }, async (runner) => {
      const [[status, heard] = []] = (await outputs(runner, 'parent', '')) as [[string, string]?]
      expect(status).toBe('queued')
      expect(heard).toBe('mind the gap')
    })
  },
)

test('a grandchild has the roles, places and secrets of its runner', { timeout }, async () => {
  const secretOf = (ctx: RunContext): string => {
    try {
      return ctx.secret('KEY')
    } catch (error) {
      return String(codeOf(error))
    }
  }
  const keyed = defineExecutor({
    version: '1',
    secrets: ['KEY'],
    output: z.string(),
    run: (_request, ctx) => Promise.resolve({ output: secretOf(ctx) }),
  })
  const middle = executor(async (ctx) => {
    const children = await Promise.all(['keyed', 'leaf'].map((role) => ctx.children.spawn({ role, task: '' })))
    return [secretOf(ctx), ...(await ctx.children.wait(children)).map(saidBy)]
  })
  const root = executor(async (ctx) => {
    const [end] = await ctx.children.wait([await ctx.children.spawn({ role: 'middle', task: '' })])
    return [secretOf(ctx), saidBy(end)]
  })
  await inTree(
    { keyed, leaf, middle, root },
    {},
    async (runner) => {
      const none = 'SECRET_UNDECLARED'
      expect(await outputs(runner, 'root', '')).toEqual([[none, [none, 'v', 'done']]])
    },
    ['leaf'],
  )
})

test('a child goes on when its parent has completed, and is disposed of', { timeout }, async () => {
  const parent = executor(async (ctx) => (await ctx.children.spawn({ role: 'slow', task: '' })).runId)
  await inTree({ slow, parent }, {}, async (runner) => {
    let child = ''
    {
      await using run = runner.run({ role: 'parent', task: '' })
      const outcome = await run.outcome
      if (outcome.status === 'completed' && typeof outcome.output === 'string') child = outcome.output
    }
    expect(await (await runner.attach(child)).outcome).toMatchObject({ status: 'completed' })
  })
})
