/** The parent's tools, called by the real loop of the AI SDK; only the model is a mock. */
import { ToolLoopAgent } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import { createManualClock } from '@greenroom/bus/testing'
import type { Children, ChildStatus } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { createRunner } from '../src/index.ts'
import { delegateTools } from '../src/tools.ts'

const source = '--conditions=@greenroom/source'
if (!process.execArgv.includes(source)) process.execArgv.push(source)

const input = z.object({ do: z.enum(['say', 'fail', 'listen', 'linger']) })
const roles = { worker: { description: 'Does one thing', input } }

type Prompt = Parameters<MockLanguageModelV4['doGenerate']>[0]['prompt']
type Generated = Awaited<ReturnType<MockLanguageModelV4['doGenerate']>>

/** What the tools answered, in order. */
function answersIn(prompt: Prompt): unknown[] {
  return prompt.flatMap((message) =>
    message.role === 'tool'
      ? message.content.flatMap((part) =>
          part.type === 'tool-result' && part.output.type === 'json' ? [part.output.value] : [],
        )
      : [],
  )
}

function reply(content: Generated['content'], unified: 'stop' | 'tool-calls'): Generated {
  const usage = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  }
  return { content, finishReason: { unified, raw: unified }, usage, warnings: [] }
}

let calls = 0
function call(toolName: string, args: unknown): Generated['content'][number] {
  calls += 1
  return { type: 'tool-call', toolCallId: `call-${calls}`, toolName, input: JSON.stringify(args) }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

test('an agent of the AI SDK starts children side by side, awaits them and goes on', { timeout: 120_000 }, async () => {
  await using runner = await createRunner({
    worker: new URL('delegate/worker.ts', import.meta.url),
    roles: { worker: { executor: 'work' }, secret: { executor: 'work' } },
    dataDir: null,
    quiet: true,
  })
  const model = new MockLanguageModelV4({
    doGenerate({ prompt }) {
      const answers = answersIn(prompt)
      const runIds = answers.slice(0, 2).map((answer) => member(answer, 'runId'))
      const turns: (() => Generated)[] = [
        () =>
          reply(
            [
              call('spawn', { role: 'worker', task: 'sweep', input: { do: 'say' } }),
              call('spawn', { role: 'worker', task: 'mop', input: { do: 'fail' } }),
              call('spawn', { role: 'secret', task: 'peek' }),
              call('spawn', { role: 'worker', input: { do: 'dance' } }),
            ],
            'tool-calls',
          ),
        () => reply([call('await', { runIds })], 'tool-calls'),
        () => reply([call('list', {})], 'tool-calls'),
      ]
      const turn = turns[prompt.filter(({ role }) => role === 'assistant').length]
      return Promise.resolve(turn?.() ?? reply([{ type: 'text', text: 'done' }], 'stop'))
    },
  })
  const agent = new ToolLoopAgent({ model, tools: delegateTools(runner.children, roles) })
  const { text, steps } = await agent.generate({ prompt: 'Clean up' })
  expect(text).toBe('done')

  const [told] = model.doGenerateCalls
  const spawn = told?.tools?.find(({ name }) => name === 'spawn')
  expect(spawn).toMatchObject({
    description: expect.stringContaining('- worker: Does one thing'),
    inputSchema: {
      properties: {
        role: { enum: ['worker'] },
        input: { properties: { do: { enum: ['say', 'fail', 'listen', 'linger'] } }, required: ['do'] },
      },
      required: ['role'],
    },
  })
  const answers = steps.flatMap(({ toolResults }) => toolResults.map(({ output }): unknown => output))
  const [swept, mopped, peeked, danced, ended, list] = answers
  expect(peeked).toEqual({
    error: { code: 'UNKNOWN_ROLE', message: 'no role "secret"; there are: worker', retry: 'never' },
  })
  expect(danced).toMatchObject({ error: { code: 'INPUT_INVALID' } })
  expect(ended).toEqual({
    ended: [
      { ...Object(swept), status: 'completed', text: 'sweep: done', output: { done: 'sweep' } },
      { ...Object(mopped), status: 'failed', code: 'NO_LUCK', message: 'could not mop', retry: 'later' },
    ],
  })
  expect(member(list, 'children')).toHaveLength(2)
})

test('children in roles that are not listed do not exist for it', { timeout: 120_000 }, async () => {
  await using runner = await createRunner({
    worker: new URL('delegate/worker.ts', import.meta.url),
    roles: { worker: { executor: 'work' }, secret: { executor: 'work' } },
    dataDir: null,
    quiet: true,
  })
  const tools = delegateTools(runner.children, roles)
  const { runId } = await runner.children.spawn({ role: 'secret', input: { do: 'linger' } })
  const unknown = {
    error: { code: 'UNKNOWN_RUN', message: `no child "${runId}"; list tells which there are`, retry: 'never' },
  }
  expect(await tools.send.execute({ runId, text: 'hello' })).toEqual(unknown)
  expect(await tools.ask.execute({ runId, question: 'who?' })).toEqual(unknown)
  expect(await tools.cancel.execute({ runId })).toEqual(unknown)
  expect(await tools.await.execute({ runIds: [runId], waitSeconds: 0 })).toEqual(unknown)
  expect(await tools.list.execute({})).toEqual({ children: [] })
  // One that somebody else started in a listed role is seen.
  const other = await runner.children.spawn({ role: 'worker', input: { do: 'say' }, task: 'sweep' })
  expect(await tools.await.execute({ runIds: [other.runId] })).toMatchObject({ ended: [{ role: 'worker' }] })
})

test('a question is answered, given up after waitMs, or refused by its code', { timeout: 120_000 }, async () => {
  await using runner = await createRunner({
    worker: new URL('delegate/worker.ts', import.meta.url),
    roles: { worker: { executor: 'work' }, lead: { executor: 'lead' } },
    dataDir: null,
    quiet: true,
  })
  const tools = delegateTools(runner.children, { worker: roles.worker }, { waitMs: 5_000 })
  const { runId } = await tools.spawn.execute({ role: 'worker', task: 'Ann', input: { do: 'listen' } })
  if (typeof runId !== 'string') throw new Error('no child')
  expect(await tools.ask.execute({ runId, question: 'ready?' })).toEqual({ runId, answer: 'Ann says: ready?' })
  expect(await tools.ask.execute({ runId, question: 'think', waitSeconds: 0.2 })).toEqual({
    error: { code: 'ASK_TIMEOUT', message: 'no answer within 200 ms', retry: 'later' },
  })
  const abort = new AbortController()
  const asked = tools.ask.execute({ runId, question: 'think' }, { abortSignal: abort.signal })
  abort.abort()
  expect(await asked).toMatchObject({ error: { code: 'ABORTED' } })
  // It goes on all the same.
  await tools.send.execute({ runId, text: 'bye' })
  expect(await tools.await.execute({ runIds: [runId] })).toMatchObject({ ended: [{ text: 'heard bye' }] })
})

/** Children of which one has ended, and the others never do. */
function standing(): Children {
  const outcome = { status: 'completed', output: { long: 'o'.repeat(30_000) }, text: 't'.repeat(30_000) } as const
  const all: ChildStatus[] = [
    { runId: 'a', key: 'a', role: 'worker', status: 'completed' },
    { runId: 'b', key: 'b', role: 'worker', status: 'running' },
  ]
  return {
    spawn: () => Promise.reject(new Error('no more')),
    send: () => Promise.resolve('not-live'),
    ask: () => Promise.reject(new Error('no answer')),
    cancel: () => Promise.resolve(),
    list: () => Promise.resolve(all),
    wait(refs, { signal } = {}) {
      const ended = refs.filter(({ runId }) => runId === 'a').map(({ runId }) => ({ runId, key: runId, outcome }))
      if (ended.length === refs.length) return Promise.resolve(ended)
      const { promise, reject } = Promise.withResolvers<never>()
      const giveUp = (): void => reject(new Error('aborted'))
      if (signal?.aborted === true) giveUp()
      signal?.addEventListener('abort', giveUp)
      return promise
    },
  }
}

test('a question waits for 45 s where nothing is said, and never for longer than 300 s', async () => {
  const waited: unknown[] = []
  const children: Children = {
    ...standing(),
    ask: (_child, _question, { timeoutMs } = {}) => Promise.resolve(`${waited.push(timeoutMs)}`),
  }
  for (const options of [{}, { waitMs: 3_600_000 }])
    await delegateTools(children, roles, options).ask.execute({ runId: 'a', question: 'ready?' })
  expect(waited).toEqual([45_000, 300_000])
})

test('a question is a query unless it says steer', async () => {
  const modes: unknown[] = []
  const children: Children = {
    ...standing(),
    ask: (_child, _question, { mode } = {}) => Promise.resolve(`${modes.push(mode)}`),
  }
  const { ask } = delegateTools(children, roles)
  await ask.execute({ runId: 'a', question: 'ready?' })
  await ask.execute({ runId: 'a', question: 'left, please', mode: 'steer' })
  expect(modes).toEqual(['query', 'steer'])
})

test('an await is over after waitMs: what ended meanwhile is told, and what runs', async () => {
  const clock = createManualClock()
  const tools = delegateTools(standing(), roles, { waitMs: 1_000, clock })
  expect(tools.await.description).toContain('at most 1 seconds')
  const waiting = tools.await.execute({ runIds: ['a', 'b', 'b'], waitSeconds: 3_600 })
  await clock.advance(999)
  expect(await Promise.race([waiting, Promise.resolve('waits')])).toBe('waits')
  await clock.advance(1)
  const answer = await waiting
  expect(answer).toMatchObject({ running: ['b'], note: '1 still running: await again', ended: [{ runId: 'a' }] })
  // A model's attention is bounded: long words and outputs are cut, and say so.
  const cut = `${'t'.repeat(20_000)}… (10000 more characters)`
  expect(answer['ended']).toMatchObject([
    { text: cut, outputText: expect.stringMatching(/… \(10011 more characters\)$/) },
  ])
})

test('a wait that is aborted is an answer, too', async () => {
  const tools = delegateTools(standing(), roles)
  const abort = new AbortController()
  const waiting = tools.await.execute({ runIds: ['b'] }, { abortSignal: abort.signal })
  await Promise.resolve()
  abort.abort()
  expect(await waiting).toMatchObject({ error: { message: 'aborted' } })
  expect(await tools.spawn.execute({ role: 'worker', input: { do: 'say' } })).toMatchObject({
    error: { code: 'INTERNAL', message: 'no more' },
  })
})

test('a schema with references is told in words: providers take none', () => {
  const tree = z.object({
    get children() {
      return z.array(tree)
    },
  })
  const tools = delegateTools(standing(), { tree: { description: 'grows', input: tree }, worker: roles.worker })
  expect(tools.spawn.description).toContain('The input of tree is, as JSON Schema: {"type":"object"')
  const properties = member(z.toJSONSchema(tools.spawn.inputSchema, { io: 'input' }), 'properties')
  expect(JSON.stringify(properties)).not.toContain('$ref')
})

test.each([
  ['no roles', {}, {}, 'roles must name at least one role that may be started'],
  ['a role without words', { a: { description: '' } }, {}, 'roles.a.description must say what the role is for'],
  ['a negative wait', roles, { waitMs: -1 }, 'waitMs must be a number of milliseconds'],
])('%s is refused', (_what, given, options, message) => {
  expect(() => delegateTools(standing(), given, options)).toThrow(
    expect.objectContaining({ code: 'BAD_OPTIONS', message }),
  )
})
