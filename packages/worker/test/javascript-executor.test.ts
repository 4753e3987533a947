/** What an executor in JavaScript may do, where no compiler stops it: the runner gets one terminal that it can read. */
import type { JsonValue, RunEvent } from '@greenroom/proto'
import { codeOf } from '@greenroom/proto'
import { defineExecutor, type RunContext, type RunRequest, type RunResult } from '@greenroom/worker'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { openBench } from '../src/testing/bench.ts'
import { settle } from '@greenroom/bus/testing'

/** Runs an executor whose types are not checked, once. */
async function once(run: (request: RunRequest, ctx: RunContext) => unknown) {
  const it = defineExecutor({ version: '1', run: async (request, ctx) => (await run(request, ctx)) as RunResult })
  await using bench = await openBench({ it })
  const double = await bench.run({ executor: 'it' })
  const terminal = await double.terminal
  await settle()
  expect([double.terminals.length, bench.worker.freeSlots]).toEqual([1, 1])
  return { terminal, events: double.events, log: bench.log }
}

const poisoned = (property: string): Error =>
  Object.defineProperty(new Error('it broke'), property, {
    get() {
      throw new Error('no')
    },
  })

const throws: readonly (readonly [what: string, thrown: () => unknown, message: string | RegExp])[] = [
  ['a text', () => 'a text', 'a text'],
  ['nothing', () => undefined, 'undefined'],
  ['a symbol', () => Symbol('s'), 'Symbol(s)'],
  ['an object without a prototype', () => Object.create(null), /cannot be said/],
  ['an error whose message is an object', () => Object.assign(new Error('x'), { message: { n: 1n } }), /object/],
  ['an error whose message cannot be read', () => poisoned('message'), /cannot be said/],
  ['an error whose stack cannot be read', () => poisoned('stack'), 'it broke'],
  ['an error with a code of another library', () => Object.assign(new Error('it broke'), { code: 'BUSY' }), 'it broke'],
]

test.for(throws)('throwing %s ends as EXECUTOR_ERROR', async ([, thrown, message]) => {
  const { terminal } = await once(() => {
    throw thrown()
  })
  expect(terminal).toMatchObject({ status: 'failed', error: { code: 'EXECUTOR_ERROR', retry: 'never' } })
  expect(terminal.error?.message).toMatch(message)
})

const fails: readonly (readonly [what: string, args: readonly unknown[], error: object])[] = [
  ['nothing', [], { code: 'EXECUTOR_ERROR', message: '(ctx.fail.code: must be a word in capitals)' }],
  [
    'anything but texts',
    [42, { n: 1n }, { retry: 'later' }],
    {
      code: 'EXECUTOR_ERROR',
      message: '[object Object] (ctx.fail.code: must be a word in capitals)',
      retry: 'later',
    },
  ],
  [
    'a code in small letters',
    ['denied', 'by you', { retry: 'later' }],
    { code: 'denied', message: 'by you (ctx.fail.code: must be a word in capitals)', retry: 'later' },
  ],
  ['no message', ['DENIED'], { code: 'DENIED', message: '(ctx.fail.message: must be a text)' }],
  [
    'another word for retry',
    ['DENIED', 'by you', { retry: 'always' }],
    { code: 'DENIED', message: 'by you (ctx.fail.options.retry: Invalid option: expected one of "never"|"later")' },
  ],
  [
    'a misspelt option',
    ['DENIED', 'by you', { rety: 'later' }],
    { code: 'DENIED', message: 'by you (ctx.fail.options: "rety" must be one of retry)' },
  ],
]

test.for(fails)('failing with %s fails as asked, and says what is wrong', async ([, args, error]) => {
  const { terminal } = await once((_, ctx) => Reflect.apply(ctx.fail, ctx, args))
  expect(terminal.error).toEqual({ retry: 'never', ...error })
})

test('an output whose last word JSON refuses ends as OUTPUT_INVALID', async () => {
  const output = Object.defineProperty({}, 'toJSON', { value: () => 1n })
  const { terminal } = await once(() => ({ output }))
  expect(terminal.error).toMatchObject({ code: 'OUTPUT_INVALID', message: expect.stringContaining('not JSON') })
})

test('what is undefined in a usage does not count, as an AI SDK says it', async () => {
  const { terminal } = await once(() => ({ usage: { inputTokens: undefined, outputTokens: 3 } }))
  expect(terminal).toMatchObject({ status: 'completed', usage: { outputTokens: 3 } })
  expect(await once(() => ({ text: 't', usage: undefined }))).toMatchObject({ terminal: { text: 't' } })
})

test('a log line with fields that are not JSON is a log line all the same', async () => {
  const { terminal, log } = await once((_, ctx) => {
    Reflect.apply(ctx.log, ctx, ['it happened', { n: 1n }])
  })
  expect(terminal.status).toBe('completed')
  expect(log.join()).toContain('it happened')
})

describe('an event', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle

  // Had one of them left, the runner would drop it, ask for it again, and never see the end of the run.
  test.for([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'text-delta'],
    ['a list', []],
    ['an object without a type', { text: 'x' }],
    ['an object whose type is no text', { type: 7 }],
    ['a type that is too long', { type: 'x'.repeat(129) }],
    ['a known type in another shape', { type: 'text-delta' }],
    ['data that is a function', { type: 'data', name: 'n', data: () => 1 }],
    ['data that is undefined', { type: 'data', name: 'n', data: undefined }],
    ['data that JSON would change', { type: 'data', name: 'n', data: new Date(0) }],
    ['a cycle', { type: 'data', name: 'n', data: cycle }],
    ['a bigint', { type: 'data', name: 'n', data: 1n }],
    ['a word of its own on how it becomes JSON', { type: 'own', toJSON: () => 7 }],
  ] as const)('that is %s is refused as BAD_FRAME, and has no number', async ([, event]) => {
    let code: unknown
    const { terminal, events } = await once(async (_, ctx) => {
      code = await ctx.emit(event as unknown as RunEvent).catch(codeOf)
      await ctx.emit({ type: 'progress', done: 1 })
    })
    expect(code).toBe('BAD_FRAME')
    expect(terminal).toMatchObject({ status: 'completed', lastSeq: 1 })
    expect(events).toEqual([{ type: 'progress', done: 1 }])
  })

  test('of a type of the executor’s own, and one with undefined properties, leaves', async () => {
    const own = { type: 'own', n: 1 } as unknown as RunEvent
    const { events } = await once(async (_, ctx) => {
      await ctx.emit(own)
      await ctx.emit({ type: 'progress', done: 1, total: undefined } as unknown as RunEvent)
      await ctx.message({ id: undefined, role: 'user', content: 'x' } as unknown as string)
    })
    const sent: JsonValue = [
      { type: 'own', n: 1 },
      { type: 'progress', done: 1 },
      { type: 'message', message: { role: 'user', content: 'x' } },
    ]
    expect(events).toEqual(sent)
  })
})

const returns: readonly (readonly [what: string, result: unknown, message: string])[] = [
  ['a text', 'hello', 'result: Invalid input: expected object, received string'],
  ['a misspelt text', { txt: 'x' }, 'result: "txt" is none of output, text, usage'],
  ['a text that is none', { text: 7 }, 'result.text: Invalid input: expected string, received number'],
  [
    'a misspelt usage',
    { usage: { tokens: 7 } },
    'result.usage: "tokens" is none of inputTokens, outputTokens, costUsd, rounds',
  ],
]

test.for(returns)('returning %s ends as OUTPUT_INVALID', async ([, result, message]) => {
  const { terminal } = await once(() => result)
  expect(terminal.error).toEqual({ code: 'OUTPUT_INVALID', message, retry: 'never' })
})

test('a misspelt output is told by its name, and not by what its schema misses', async () => {
  const it = defineExecutor({ version: '1', output: z.string(), run: async () => ({ outptu: 'x' }) as never })
  await using bench = await openBench({ it })
  const { error } = await (await bench.run({ executor: 'it' })).terminal
  expect(error).toMatchObject({ code: 'OUTPUT_INVALID', message: expect.stringMatching(/^result: "outptu"/) })
})

test('what a model’s library says beside in a usage is left alone', async () => {
  const { terminal } = await once(() => ({ usage: { inputTokens: 1, totalTokens: 1 } }))
  expect(terminal).toMatchObject({ status: 'completed', usage: { inputTokens: 1 } })
})

test.for<unknown>([5, 'doer', null, undefined, [], { rol: 'doer' }, { role: 'doer', tsk: '' }])(
  'no child is %j: BAD_OPTIONS',
  async (spec) => {
    const { terminal } = await once((_, { children }) => children.spawn(spec as never))
    expect(terminal.error).toMatchObject({ code: 'BAD_OPTIONS', message: expect.stringContaining('spawn') })
  },
)
