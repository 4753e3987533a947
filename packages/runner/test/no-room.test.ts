/** What is said once and waited for is said until there is room for it. */
import { createMemoryBus, type MemoryBus } from '@greenroom/bus'
import { peerWith } from '@greenroom/bus/testing'
import { GreenroomError, decodeMessage, type Bus, type Outgoing, type PeerOptions } from '@greenroom/proto'
import { defineExecutor } from '@greenroom/worker'
import { createInProcessLauncher } from '@greenroom/worker/testing'
import { expect, test } from 'vitest'
import { createRunner } from '../src/index.ts'

const sleep = (ms: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, ms))

/** A bus that has no room for the first message of a kind. */
function fullFor(bus: Bus, is: (message: Outgoing) => boolean, seen: string[]): Bus {
  return {
    get capabilities() {
      return bus.capabilities
    },
    async attach(options: PeerOptions) {
      const peer = await bus.attach(options)
      return peerWith(peer, {
        async send(message, how) {
          if (seen.length === 0 && is(message)) {
            seen.push(message.kind)
            throw new GreenroomError('STORAGE_FULL')
          }
          return peer.send(message, how)
        },
      })
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}

const crossed = (memory: MemoryBus, is: (message: Outgoing) => boolean, seen: string[]): MemoryBus =>
  new Proxy(memory, {
    get(target, name) {
      if (name === 'client') return () => fullFor(target.client(), is, seen)
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

const executors = {
  leaf: defineExecutor({
    version: '1',
    async run({ task }, ctx) {
      ctx.onAsk((question) => `yes: ${question}`)
      if (task === 'hang')
        await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))
      return { text: task }
    },
  }),
  parent: defineExecutor({
    version: '1',
    suspendable: true,
    async run(_r, ctx) {
      const ended =
        ctx.resumed ?? (await ctx.children.wait([await ctx.children.spawn({ role: 'leaf', task: 'work', key: 'c' })]))
      return { output: ended.map(({ outcome }) => outcome.status) }
    },
  }),
  impatient: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      const child = await ctx.children.spawn({ role: 'leaf', task: 'hang', key: 'c' })
      const gave = await ctx.children.wait([child], { signal: AbortSignal.timeout(200) }).then(
        () => 'waited',
        (error: unknown) => String((error as GreenroomError).code),
      )
      await ctx.children.cancel(child)
      return { output: gave }
    },
  }),
  asker: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      const child = await ctx.children.spawn({ role: 'leaf', task: 'hang', key: 'c' })
      const answer = await ctx.children
        .ask(child, 'well?', { timeoutMs: 4_000 })
        .catch((error: unknown) => String((error as GreenroomError).code))
      await ctx.children.cancel(child)
      return { output: answer }
    },
  }),
  hears: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      const texts: string[] = []
      for await (const { text } of ctx.steering) {
        texts.push(text)
        if (text === 'enough') break
      }
      return { output: texts }
    },
  }),
  wary: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      const { allowed } = await ctx.approve({ tool: 't', permission: 'execute', resource: 'r', input: {} })
      return { output: allowed }
    },
  }),
  ruler: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      ctx.children.onApproval(() => ({ allow: true }))
      const [ended] = await ctx.children.wait([await ctx.children.spawn({ role: 'wary', task: '', key: 'w' })])
      return { output: ended?.outcome.status === 'completed' ? ended.outcome.output : 'none' }
    },
  }),
  leaver: defineExecutor({
    version: '1',
    async run(_r, ctx) {
      if (ctx.resumed !== undefined) return { output: 'suspended' }
      const child = await ctx.children.spawn({ role: 'leaf', task: 'work', key: 'c' })
      const other = await ctx.children.spawn({ role: 'leaf', task: 'hang', key: 'd' })
      ctx.children.ask(other, 'well?').catch(() => undefined)
      try {
        return ctx.suspend([child])
      } catch (error) {
        if (!(error instanceof GreenroomError)) throw error
        await ctx.children.cancel(other)
        return { output: error.code }
      }
    },
  }),
}
/** A request about children. */
const isOp =
  (op: string) =>
  ({ kind, payload }: Outgoing): boolean =>
    kind === 'children-request' && decodeMessage('children-request', payload).op === op

const roles = {
  leaf: { executor: 'leaf' },
  parent: { executor: 'parent' },
  impatient: { executor: 'impatient' },
  asker: { executor: 'asker' },
  leaver: { executor: 'leaver' },
  wary: { executor: 'wary' },
  ruler: { executor: 'ruler' },
  hears: { executor: 'hears' },
} as const

async function outcomeOf(
  role: keyof typeof roles,
  is: (message: Outgoing) => boolean,
  admission = {},
  texts: readonly string[] = [],
) {
  const memory = createMemoryBus()
  const seen: string[] = []
  await using runner = await createRunner<typeof executors, typeof roles>({
    bus: fullFor(memory.client(), is, seen),
    worker: createInProcessLauncher({ bus: crossed(memory, is, seen), executors }),
    roles,
    dataDir: null,
    quiet: true,
    cancelGraceMs: 200,
    admission,
  })
  const run = runner.run({ role, task: '' })
  void (async () => {
    while (texts.length > 0 && run.status().phase !== 'running') await sleep(5)
    for (const text of texts) void run.send(text)
  })()
  const end = await Promise.race([run.outcome, sleep(8_000).then(() => 'hangs')])
  expect(seen.length).toBeLessThan(2)
  return { end, seen }
}

test('a suspension for which there was no room once', { timeout: 30_000 }, async () => {
  const { end } = await outcomeOf('parent', ({ kind }) => kind === 'suspend', { maxProcesses: 1 })
  expect(end).toMatchObject({ status: 'completed', output: ['completed'] })
})

test('a wait that is given up while there is no room', { timeout: 30_000 }, async () => {
  const { end, seen } = await outcomeOf('impatient', isOp('unwait'))
  expect(seen).toEqual(['children-request'])
  expect(end).toMatchObject({ status: 'completed', output: 'ABORTED' })
})

test('an answer for which there was no room once', { timeout: 30_000 }, async () => {
  const { end, seen } = await outcomeOf('asker', ({ kind }) => kind === 'ask-reply')
  expect(seen).toEqual(['ask-reply'])
  expect(end).toMatchObject({ status: 'completed', output: 'yes: well?' })
})

test('an ancestor decides, for which there was no room once', { timeout: 30_000 }, async () => {
  const { end } = await outcomeOf('ruler', isOp('decide'))
  expect(end).toMatchObject({ status: 'completed', output: true })
})

test('a text for which there was no room once, and those after it', { timeout: 30_000 }, async () => {
  const texts = ['go on', 'enough']
  const { end, seen } = await outcomeOf('hears', ({ kind }) => kind === 'steer', {}, texts)
  expect(seen).toEqual(['steer'])
  expect(end).toMatchObject({ status: 'completed', output: texts })
})

test('a question to an ancestor for which there was no room once', { timeout: 30_000 }, async () => {
  const { end, seen } = await outcomeOf('ruler', ({ kind }) => kind === 'approval-ask')
  expect(seen).toEqual(['approval-ask'])
  expect(end).toMatchObject({ status: 'completed', output: true })
})

test('an asker cannot be suspended', { timeout: 30_000 }, async () => {
  const { end } = await outcomeOf('leaver', () => false)
  expect(end).toMatchObject({ status: 'completed', output: expect.stringMatching(/APPROVAL_PENDING|BUSY/) })
})

test('with room all of it works', { timeout: 60_000 }, async () => {
  const never = () => false
  expect((await outcomeOf('parent', never, { maxProcesses: 1 })).end).toMatchObject({ output: ['completed'] })
  expect((await outcomeOf('impatient', never)).end).toMatchObject({ output: 'ABORTED' })
  expect((await outcomeOf('asker', never)).end).toMatchObject({ output: 'yes: well?' })
  expect((await outcomeOf('ruler', never)).end).toMatchObject({ output: true })
})
