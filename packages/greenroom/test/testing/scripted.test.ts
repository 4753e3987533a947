import type { JsonValue, Outcome } from 'greenroom'
import { createGate, createManualClock, createTestRunner, scripted, type Step } from 'greenroom/testing'
import { defineExecutor, type InferInput, type InferOutput } from 'greenroom/worker'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'

const release = defineExecutor({
  version: '7',
  input: z.object({ tag: z.string() }),
  output: z.object({ sha: z.string() }),
  secrets: ['TOKEN'],
  slots: 3,
  idempotent: true,
  run: () => Promise.reject(new Error('the real one would work')),
})

/** What a script comes to. */
async function perform(steps: readonly Step[], secrets: Record<string, string> = {}): Promise<Outcome> {
  const names = Object.keys(secrets)
  await using runner = await createTestRunner({
    executors: { it: scripted(steps, { secrets: names }) },
    roles: { it: { executor: 'it', secrets: names } },
    secrets,
  })
  return await runner.run({ role: 'it' }).outcome
}

describe('a script', () => {
  test('tells events, messages and what was used, in order', async () => {
    await using runner = await createTestRunner({
      executors: {
        it: scripted([
          { emit: { type: 'text-delta', text: 'Reading' } },
          { say: 'I read it.' },
          { say: { role: 'tool', content: 'ok' } },
          { spend: { inputTokens: 12 } },
          { return: 1, text: 'bye', usage: { rounds: 1 } },
        ]),
      },
    })
    const run = runner.run({ role: 'it' })
    const events: unknown[] = []
    for await (const event of run) events.push(event)
    expect(events).toMatchObject([
      { type: 'text-delta', text: 'Reading' },
      { type: 'message', message: { role: 'assistant', content: 'I read it.' } },
      { type: 'message', message: { role: 'tool', content: 'ok' } },
      { type: 'usage', usage: { inputTokens: 12 } },
    ])
    expect(await run.outcome).toMatchObject({ status: 'completed', output: 1, text: 'bye', usage: { rounds: 1 } })
  })

  test('answers what it is asked, and is asked again once it has ended', async () => {
    const executor = scripted(({ messages }) => [
      { answer: (question) => `${question} No.` },
      ...(messages.length > 1 ? [] : [{ hear: 'go on' } as const]),
      { return: null, text: `after ${messages.length}` },
    ])
    await using runner = await createTestRunner({ executors: { executor, mute: scripted([{ hear: 'go on' }]) } })
    const ref = await runner.children.spawn({ role: 'executor', task: 'Work' })
    expect(await runner.children.ask(ref, 'Ready?')).toBe('Ready? No.')
    await runner.children.send(ref, 'go on')
    await runner.children.wait([ref])
    expect(await runner.children.ask(ref, 'And now?')).toBe('after 3')
    const mute = runner.run({ role: 'mute' })
    await expect(mute.ask('Ready?')).rejects.toMatchObject({ code: 'ASK_UNSUPPORTED' })
    await mute.cancel()
  })

  test('that ends without a return is completed', async () => {
    expect(await perform([])).toMatchObject({ status: 'completed', output: null, text: '' })
  })

  test('fails as it is told to', async () => {
    expect(await perform([{ fail: 'NO_LUCK' }])).toEqual({
      status: 'failed',
      code: 'NO_LUCK',
      message: 'NO_LUCK',
      retry: 'never',
    })
    expect(await perform([{ fail: 'NO_LUCK', message: 'try later', retry: 'later' }])).toMatchObject({
      message: 'try later',
      retry: 'later',
    })
    expect(await perform([{ throw: new Error('oh') }, { return: 1 }])).toMatchObject({
      code: 'EXECUTOR_ERROR',
      message: 'oh',
    })
  })

  test('hears what is sent to the run, and fails when that is not what it expected', async () => {
    await using runner = await createTestRunner({
      executors: { it: scripted([{ hear: 'hurry' }, { hear: /up$/ }, { return: 'heard' }]) },
    })
    const good = runner.run({ role: 'it', session: 's' })
    expect(await good.send('hurry')).toBe('delivered')
    expect(await good.send('hurry up', { mode: 'queue' })).toBe('queued')
    expect(await good.outcome).toMatchObject({ output: 'heard' })
    expect(await runner.sessions.messages('s')).toMatchObject([{ content: 'hurry' }, { content: 'hurry up' }])
    const bad = runner.run({ role: 'it' })
    void bad.send('slow down')
    expect(await bad.outcome).toMatchObject({
      code: 'EXECUTOR_ERROR',
      message: 'the script expected to hear hurry, and heard slow down',
    })
  })

  test('asks for secrets, and shows none', async () => {
    expect(await perform([{ secret: 'KEY' }, { return: 1 }], { KEY: 'x' })).toMatchObject({ output: 1 })
    expect(await perform([{ secret: 'KEY', is: 'x' }, { return: 1 }], { KEY: 'x' })).toMatchObject({ output: 1 })
    const other = await perform([{ secret: 'KEY', is: 'y' }], { KEY: 'x-treasure' })
    expect(other).toMatchObject({ code: 'EXECUTOR_ERROR', message: 'the secret KEY is not what the script expected' })
    expect(await perform([{ secret: 'KEY' }])).toMatchObject({ code: 'SECRET_MISSING' })
  })

  test.each<[string, readonly Step[]]>([
    ['a wait', [{ wait: 10_000 }]],
    ['a gate', [{ wait: createGate() }]],
    ['hearing', [{ hear: 'what never comes' }]],
  ])('a cancel ends %s', async (_name, steps) => {
    const clock = createManualClock()
    await using runner = await createTestRunner({ executors: { it: scripted(steps) }, clock })
    const run = runner.run({ role: 'it' })
    await clock.settle()
    expect(run.status().phase).toBe('running')
    expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    await clock.settle()
    expect(clock.timers).toEqual([])
  })

  test.each<[string, readonly Step[]]>([
    ['ignores its cancel', ['ignore cancel', { wait: 60_000 }]],
    ['blocks', ['block']],
  ])('that %s is given up after the cancel grace', async (_name, steps) => {
    const clock = createManualClock()
    await using runner = await createTestRunner({ executors: { it: scripted(steps) }, cancelGraceMs: 5_000, clock })
    const run = runner.run({ role: 'it' })
    await clock.settle()
    const cancelled = run.cancel('enough')
    await clock.advance(4_999)
    expect(run.status().phase).toBe('cancelling')
    await clock.advance(1)
    expect(await cancelled).toMatchObject({ status: 'cancelled', reason: 'enough' })
  })

  test('that ignores its cancel goes on in the grace', async () => {
    const clock = createManualClock()
    await using runner = await createTestRunner({
      executors: { it: scripted(['ignore cancel', { wait: 1_000 }, { say: 'last words' }]) },
      clock,
    })
    const run = runner.run({ role: 'it', session: 's' })
    await clock.settle()
    const cancelled = run.cancel()
    await clock.advance(1_000)
    expect(await cancelled).toMatchObject({ status: 'cancelled' })
    expect(await runner.sessions.messages('s')).toMatchObject([{ content: 'last words' }])
  })

  test('answers by what it is asked for', async () => {
    const calc = scripted<JsonValue | undefined>(({ task, attempt }) =>
      task === 'fail' ? [{ fail: 'TOLD_TO' }] : [{ return: `${task} at attempt ${attempt}` }],
    )
    await using runner = await createTestRunner({ executors: { calc } })
    expect(await runner.run({ role: 'calc', task: 'fail' }).outcome).toMatchObject({ code: 'TOLD_TO' })
    expect(await runner.run({ role: 'calc', task: 'x' }).outcome).toMatchObject({ output: 'x at attempt 1' })
  })

  test('stands in for an executor: its types, schemas and declarations', async () => {
    const fake = scripted(({ input }) => [{ return: { sha: `sha of ${input.tag}` } }], { like: release })
    expectTypeOf<InferInput<typeof fake>>().toEqualTypeOf<{ tag: string }>()
    expectTypeOf<InferOutput<typeof fake>>().toEqualTypeOf<{ sha: string }>()
    expectTypeOf<{ return: { sha: number } }>().not.toExtend<Step<InferOutput<typeof fake>>>()
    expect(fake).toMatchObject({ version: '7', secrets: ['TOKEN'], slots: 3, idempotent: true })
    await using runner = await createTestRunner({ executors: { release: fake } })
    const good = await runner.run({ role: 'release', input: { tag: 'v1' } }).outcome
    expect(good).toMatchObject({ status: 'completed', output: { sha: 'sha of v1' } })
    const empty = scripted([], { like: release })
    await using other = await createTestRunner({ executors: { release: empty } })
    expect(await other.run({ role: 'release', input: { tag: 'v1' } }).outcome).toMatchObject({ code: 'OUTPUT_INVALID' })
  })
})

test('a gate lets executors that are no scripts wait too', async () => {
  const gate = createGate()
  const work = defineExecutor({ version: '1', run: (_request, ctx) => gate.pass(ctx.signal) })
  await using runner = await createTestRunner({ executors: { work } })
  const first = runner.run({ role: 'work' })
  await gate.reached
  expect(await first.cancel('no')).toMatchObject({ status: 'cancelled', reason: 'no' })
  expect(gate.isOpen).toBe(false)
  const second = runner.run({ role: 'work' })
  gate.open()
  expect(await second.outcome).toMatchObject({ status: 'completed' })
})
