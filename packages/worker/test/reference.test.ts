/** The reference's checklist of behaviours, a test a row, in its words: executor. */
import { createManualClock } from '@greenroom/bus/testing'
import { defineExecutor, echo } from '@greenroom/worker'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { openBench } from '../src/testing/bench.ts'

describe('Executor', () => {
  test('echo streams one token per word then completes', async () => {
    await using bench = await openBench({ echo })
    const run = await bench.run({ executor: 'echo', task: 'one two  three' })
    expect(await run.terminal).toMatchObject({ status: 'completed', text: 'echo: one two three', lastSeq: 3 })
    expect(run.events).toEqual(['one ', 'two ', 'three '].map((text) => ({ type: 'text-delta', text })))
  })

  test('echo waits in the place of its first wait, and does not say it', async () => {
    const clock = createManualClock()
    await using bench = await openBench({ echo }, { clock })
    const run = await bench.run({ executor: 'echo', task: 'one __sleep_ms:5000 two' })
    await run.seen(1)
    await clock.advance(4_999)
    expect([run.events.length, run.terminals.length]).toEqual([1, 0])
    await clock.advance(1)
    expect(await run.terminal).toMatchObject({ status: 'completed', text: 'echo: one two', lastSeq: 2 })
    // What names a wait behind it is a word as any other.
    const again = await bench.run({ executor: 'echo', task: 'one __sleep_ms:5 __sleep_ms:60000' })
    await again.seen(1)
    await clock.advance(5)
    expect(await again.terminal).toMatchObject({ status: 'completed', text: 'echo: one __sleep_ms:60000', lastSeq: 2 })
  })

  test('echo honours cancel', async () => {
    // Its clock stands still: only the cancel can end the wait.
    await using bench = await openBench({ echo }, { clock: createManualClock() })
    const run = await bench.run({ executor: 'echo', task: 'before __sleep_ms:60000 after' })
    await run.seen(1)
    await run.cancel('enough')
    expect(await run.terminal).toMatchObject({ status: 'cancelled', reason: 'enough', lastSeq: 1 })
    expect(run.events).toEqual([{ type: 'text-delta', text: 'before ' }])
  })
  test('echo sees a cancel before every word', async () => {
    const interrupted = defineExecutor({
      version: '1',
      run: async (request, ctx) => {
        const emit: typeof ctx.emit = async (event) => {
          await ctx.emit(event)
          const aborted = once(ctx.signal, 'abort')
          await run.cancel('enough')
          await aborted
        }
        await echo.run(request, { ...ctx, emit })
      },
    })
    await using bench = await openBench({ interrupted })
    const run = await bench.run({ executor: 'interrupted', task: 'one two three' })
    expect(await run.terminal).toMatchObject({ status: 'cancelled', lastSeq: 1 })
    expect(run.events).toHaveLength(1)
  })
})
