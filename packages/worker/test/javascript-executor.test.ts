/** What an executor in JavaScript may do, where no compiler stops it: the runner gets one terminal that it can read. */
import type { JsonValue, RunEvent } from '@greenroom/proto'
import { codeOf } from '@greenroom/proto'
import { defineExecutor, type RunContext, type RunRequest, type RunResult } from '@greenroom/worker'
import { describe, expect, test } from 'vitest'
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
]

test.for(throws)('throwing %s ends as EXECUTOR_ERROR', async ([, thrown, message]) => {
  const { terminal } = await once(() => {
    throw thrown()
  })
  expect(terminal).toMatchObject({ status: 'failed', error: { code: 'EXECUTOR_ERROR', retry: 'never' } })
  expect(terminal.error?.message).toMatch(message)
})

test('failing with anything but texts fails with texts', async () => {
  const { terminal } = await once((_, ctx) => Reflect.apply(ctx.fail, ctx, [42, { n: 1n }, { retry: 'always' }]))
  expect(terminal.error).toEqual({ code: '42', message: '[object Object]', retry: 'never' })
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
