import { createManualClock, settle } from '@greenroom/bus/testing'
import { codeOf, type Limits, type Usage } from '@greenroom/proto'
import { defineExecutor, type Executor, type RunContext } from '@greenroom/worker'
import { describe, expect, test } from 'vitest'
import { openBench, type BenchOptions } from '../src/testing/bench.ts'

const executorOf = (work: (ctx: RunContext) => Promise<unknown>): Executor =>
  defineExecutor({
    version: '1',
    run: async (_request, ctx) => {
      await work(ctx)
    },
  })

/** A run on a worker of its own. */
async function run(
  limits: Limits,
  work: Executor | ((ctx: RunContext) => Promise<unknown>),
  { reading = true, ...options }: BenchOptions & { readonly reading?: boolean } = {},
) {
  const it = typeof work === 'function' ? executorOf(work) : work
  const bench = await openBench({ it }, { cancelGraceMs: 100, ...options })
  const started = await bench.run({ executor: 'it', limits }, { reading })
  return {
    bench,
    run: started,
    terminal: () => started.terminal,
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  }
}

/** Tells some of what it uses on the way, and some at the end. */
const returning = (told: Usage, usage: Usage): Executor =>
  defineExecutor({
    version: '1',
    run: async (_request, ctx) => {
      await ctx.spend(told)
      return { usage }
    },
  })

/** Waits for nothing but its end, and then some. */
const deaf = (): Promise<void> => new Promise(() => undefined)

const untilAborted = (ctx: RunContext): Promise<void> =>
  new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true }))

describe('what is spent', () => {
  test.for([
    [{ rounds: 2 }, [{ rounds: 1 }, { rounds: 1 }], undefined],
    [{ rounds: 2 }, [{ rounds: 1 }, { rounds: 2 }], 'LIMIT_ROUNDS'],
    [{ tokens: 10 }, [{ inputTokens: 6 }, { outputTokens: 4 }], undefined],
    [{ tokens: 10 }, [{ inputTokens: 6 }, { outputTokens: 5 }], 'LIMIT_TOKENS'],
    [{ costUsd: 0.3 }, [{ costUsd: 0.1 }, { costUsd: 0.2 }], undefined],
    [{ costUsd: 0.3 }, [{ costUsd: 0.1 }, { costUsd: 0.21 }], 'LIMIT_COST'],
    [{ rounds: 0, tokens: 0, costUsd: 0 }, [{ rounds: 0, inputTokens: 0 }], undefined],
    [{ rounds: 0 }, [{ rounds: 1 }], 'LIMIT_ROUNDS'],
    [{ tokens: 0 }, [{ outputTokens: 1 }], 'LIMIT_TOKENS'],
    [{ costUsd: 0 }, [{ costUsd: 0.001 }], 'LIMIT_COST'],
    [{}, [{ rounds: 1_000, inputTokens: 1e9, costUsd: 1e6 }], undefined],
  ] as const)('with %j and uses of %j ends as %s', async ([limits, uses, code]) => {
    await using it = await run(limits, async (ctx) => {
      for (const usage of uses) await ctx.spend(usage)
    })
    const terminal = await it.terminal()
    expect(terminal.status).toBe(code === undefined ? 'completed' : 'failed')
    expect(terminal.error?.code).toBe(code)
    expect(it.run.events).toEqual(uses.map((usage) => ({ type: 'usage', usage })))
  })

  test('is summed up in the terminal', async () => {
    await using it = await run({}, async (ctx) => {
      await ctx.spend({ inputTokens: 3, rounds: 1 })
      await ctx.emit({ type: 'usage', usage: { outputTokens: 4, rounds: 1 } })
    })
    expect((await it.terminal()).usage).toEqual({ inputTokens: 3, outputTokens: 4, rounds: 2 })
  })

  test('beyond what a number can hold is the greatest that one can', async () => {
    await using it = await run({}, async (ctx) => {
      for (const costUsd of [1e308, 1e308]) await ctx.spend({ costUsd })
      await ctx.spend({ inputTokens: 1e300 })
    })
    expect(await it.terminal()).toMatchObject({
      status: 'completed',
      usage: { costUsd: Number.MAX_VALUE, inputTokens: 1e300 },
    })
  })

  test.for([
    [{ rounds: 1 }, { rounds: 7 }, { rounds: 7 }],
    [
      { rounds: 7, inputTokens: 5 },
      { rounds: 1, outputTokens: 2 },
      { rounds: 7, inputTokens: 5, outputTokens: 2 },
    ],
    [{ rounds: 2 }, {}, { rounds: 2 }],
  ] as const)('as told, %j, and as returned, %j, is of each the greater: %j', async ([told, usage, used]) => {
    await using it = await run({}, returning(told, usage))
    expect(await it.terminal()).toMatchObject({ status: 'completed', usage: used })
  })

  test.for([
    [{ rounds: 2 }, { rounds: 2 }, undefined],
    [{ rounds: 2 }, { rounds: 3 }, 'LIMIT_ROUNDS'],
    [{ tokens: 10 }, { inputTokens: 6, outputTokens: 5 }, 'LIMIT_TOKENS'],
    // Four of what was told, and seven of what was returned.
    [{ tokens: 10 }, { inputTokens: 7 }, 'LIMIT_TOKENS'],
    [{ costUsd: 0.3 }, { costUsd: 0.1 + 0.2 }, undefined],
    [{ costUsd: 0.3 }, { costUsd: 0.31 }, 'LIMIT_COST'],
  ] as const)('is held against %j also when it is only returned: %j ends as %s', async ([limits, usage, code]) => {
    await using it = await run(limits, returning({ outputTokens: 4 }, usage))
    const terminal = await it.terminal()
    expect(terminal.status).toBe(code === undefined ? 'completed' : 'failed')
    expect(terminal.error?.code).toBe(code)
    expect(terminal.usage).toMatchObject({ outputTokens: 'outputTokens' in usage ? usage.outputTokens : 4 })
  })

  test('is in the terminal of a run that failed or was cancelled, too', async () => {
    await using failed = await run({}, async (ctx) => {
      await ctx.spend({ rounds: 3 })
      ctx.fail('MINE', 'enough')
    })
    expect(await failed.terminal()).toMatchObject({ error: { code: 'MINE' }, usage: { rounds: 3 } })
    await using cancelled = await run({}, async (ctx) => {
      await ctx.spend({ rounds: 4 })
      await untilAborted(ctx)
    })
    await cancelled.run.seen(1)
    await cancelled.run.cancel('stop')
    expect(await cancelled.terminal()).toMatchObject({ status: 'cancelled', usage: { rounds: 4 } })
  })

  test('that is no usage is refused and counts for nothing', async () => {
    const refused: unknown[] = []
    await using it = await run({ rounds: 1 }, async (ctx) => {
      const odd: readonly unknown[] = [{ rounds: -5 }, { tokens: 5 }, undefined, 5]
      // @ts-expect-error -- who does not compile may give anything
      for (const usage of odd) await ctx.spend(usage).catch((error: unknown) => refused.push(error))
      await ctx.spend({ rounds: 1 })
    })
    expect(await it.terminal()).toMatchObject({ status: 'completed', usage: { rounds: 1 } })
    expect(refused.map(codeOf)).toEqual(['BAD_FRAME', 'BAD_OPTIONS', 'BAD_FRAME', 'BAD_FRAME'])
  })
})

describe('an executor that', () => {
  test('swallows the error of a limit ends by it all the same, and hears its signal', async () => {
    const reasons: unknown[] = []
    await using it = await run({ rounds: 1 }, async (ctx) => {
      ctx.signal.addEventListener('abort', () => reasons.push(ctx.signal.reason))
      for (let n = 0; n < 3; n += 1) await ctx.spend({ rounds: 1 }).catch(() => undefined)
    })
    expect(await it.terminal()).toMatchObject({ status: 'failed', error: { code: 'LIMIT_ROUNDS', retry: 'never' } })
    expect(reasons).toMatchObject([{ code: 'LIMIT_ROUNDS' }])
  })

  test('does not end after a limit has its grace, no more', async () => {
    const clock = createManualClock()
    await using it = await run(
      { rounds: 0 },
      async (ctx) => {
        void ctx.spend({ rounds: 1 })
        await deaf()
      },
      { clock, cancelGraceMs: 5_000 },
    )
    await clock.advance(4_999)
    expect(it.run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await it.terminal()).toMatchObject({ status: 'failed', error: { code: 'LIMIT_ROUNDS' } })
  })

  test('exceeds a limit after its cancel was cancelled', async () => {
    await using it = await run({ rounds: 0 }, async (ctx) => {
      await untilAborted(ctx).catch(() => undefined)
      await ctx.spend({ rounds: 1 }).catch(() => undefined)
    })
    await it.run.accepted.promise
    await it.run.cancel('stop')
    expect(await it.terminal()).toMatchObject({ status: 'cancelled', reason: 'stop' })
  })

  test('is cancelled after it exceeded a limit ended by the limit', async () => {
    await using it = await run({ rounds: 0 }, async (ctx) => {
      await ctx.spend({ rounds: 1 }).catch(() => undefined)
      await deaf()
    })
    await it.run.seen(1)
    await it.run.cancel('stop')
    expect(await it.terminal()).toMatchObject({ status: 'failed', error: { code: 'LIMIT_ROUNDS' } })
  })
})

describe('output', () => {
  const event = { type: 'text-delta', text: 'x'.repeat(70) } as const
  const size = JSON.stringify(event).length

  test('up to its limit is told; what would exceed it is not sent and ends the run', async () => {
    await using it = await run({ outputBytes: 3 * size }, async (ctx) => {
      for (let n = 0; n < 9; n += 1) await ctx.emit(event).catch(() => undefined)
    })
    expect(await it.terminal()).toMatchObject({ status: 'failed', lastSeq: 3, error: { code: 'LIMIT_OUTPUT' } })
  })

  const last = JSON.stringify([null, 'done']).length
  test.for([
    ['done', 3 * size + last - 1, 'failed'],
    ['done', 3 * size + last, 'completed'],
    // A result that says nothing is no output.
    ['', 3 * size, 'completed'],
  ] as const)('of three events and the last words "%s" within %i bytes is %s', async ([text, outputBytes, status]) => {
    const talker = defineExecutor({
      version: '1',
      run: async (_request, ctx) => {
        for (let n = 0; n < 3; n += 1) await ctx.emit(event)
        return { text }
      },
    })
    await using it = await run({ outputBytes }, talker)
    expect((await it.terminal()).status).toBe(status)
  })

  test('may be none: who says nothing completes without any, and who says null', async () => {
    await using silent = await run({ outputBytes: 0 }, () => Promise.resolve())
    const said = { status: 'completed', text: '', lastSeq: 0 }
    expect(await silent.terminal()).toMatchObject(said)
    expect(await silent.terminal()).not.toHaveProperty('output')
    const nothing = defineExecutor({ version: '1', run: () => Promise.resolve({ output: null, text: '' }) })
    await using polite = await run({ outputBytes: 0 }, nothing)
    expect(await polite.terminal()).toMatchObject({ ...said, output: null })
  })

  test('of a single word is too much where there may be none', async () => {
    await using it = await run({ outputBytes: 0 }, (ctx) => ctx.emit(event))
    expect(await it.terminal()).toMatchObject({ lastSeq: 0, error: { code: 'LIMIT_OUTPUT' } })
  })
})

describe('memory', () => {
  test('is looked at every second, and what is too much ends the run', async () => {
    const clock = createManualClock()
    let rss = 100
    await using it = await run({ memoryMb: 100 }, untilAborted, { clock, rssMb: () => rss })
    // The seventh second is a multiple of no longer period.
    await clock.advance(6_000)
    rss = 101
    await clock.advance(999)
    expect(it.run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await it.terminal()).toMatchObject({ status: 'failed', error: { code: 'LIMIT_MEMORY' } })
  })

  test('is looked at for heartbeats alone when it is not bounded', async () => {
    const clock = createManualClock()
    let looks = 0
    await using it = await run({}, untilAborted, { clock, rssMb: () => (looks += 1) })
    await it.run.accepted.promise
    await clock.advance(5_000)
    expect(looks).toBe(2)
  })
})

describe('time', () => {
  test('is up after totalMs, whatever was told meanwhile', async () => {
    const clock = createManualClock()
    await using it = await run({ totalMs: 60_000 }, untilAborted, { clock })
    await clock.advance(59_999)
    expect(it.run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await it.terminal()).toMatchObject({ status: 'timeout', which: 'total' })
  })

  test('of zero is up before anything executes', async () => {
    let began = false
    await using it = await run({ totalMs: 0 }, () => Promise.resolve((began = true)))
    expect(await it.terminal()).toMatchObject({ status: 'timeout', which: 'total' })
    expect(began).toBe(false)
  })

  test('of a tool is up toolMs after its call; a result in time stops it', async () => {
    const clock = createManualClock()
    await using it = await run(
      { toolMs: 10_000 },
      async (ctx) => {
        const call = (id: string): Promise<void> => ctx.emit({ type: 'tool-call', id, tool: 't', input: null })
        await call('a')
        await new Promise<void>((resolve) => void clock.timer(9_000, resolve))
        await ctx.emit({ type: 'tool-result', id: 'a', output: null })
        await new Promise<void>((resolve) => void clock.timer(20_000, resolve))
        await call('b')
        await untilAborted(ctx)
      },
      { clock },
    )
    await clock.advance(9_000 + 20_000 + 9_999)
    expect(it.run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await it.terminal()).toMatchObject({ status: 'timeout', which: 'tool', lastSeq: 3 })
  })

  test('of a tool stands still while an event waits for room', async () => {
    const clock = createManualClock()
    await using it = await run(
      { toolMs: 10_000 },
      async (ctx) => {
        await ctx.emit({ type: 'tool-call', id: 'a', tool: 't', input: null })
        for (let n = 0; n < 1_100; n += 1) await ctx.emit({ type: 'tool-output-delta', id: 'a', text: 'x' })
        await untilAborted(ctx)
      },
      { clock, reading: false },
    )
    await it.run.seen(1_000)
    await clock.advance(100_000)
    expect(it.run.terminals).toHaveLength(0)
    it.run.read()
    await clock.advance(10_000)
    expect(await it.terminal()).toMatchObject({ status: 'timeout', which: 'tool' })
  })

  test('in which the process did not run does not count', async () => {
    const clock = createManualClock()
    await using it = await run(
      { totalMs: 60_000, toolMs: 50_000 },
      async (ctx) => {
        await ctx.emit({ type: 'tool-call', id: 'a', tool: 't', input: null })
        await untilAborted(ctx)
      },
      { clock },
    )
    // It is looked at every 12.5 s: what passed since the last look is lost with the jump.
    await clock.advance(25_000)
    clock.suspend(3_600_000)
    await clock.advance(24_999)
    expect(it.run.terminals).toHaveLength(0)
    await clock.advance(1)
    expect(await it.terminal()).toMatchObject({ status: 'timeout', which: 'tool' })
  })

  test('leaves no timer behind when the run has ended', async () => {
    const clock = createManualClock()
    await using it = await run({ totalMs: 60_000, memoryMb: 10 }, () => Promise.resolve(), { clock, rssMb: () => 1 })
    await it.terminal()
    await settle()
    const before = clock.timers.length
    await using other = await run({}, () => Promise.resolve(), { clock })
    await other.terminal()
    await settle()
    expect(clock.timers.length - before).toBe(before)
  })
})
