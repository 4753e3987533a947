/** The worker that the kill tests kill. */
import { command, defineExecutor, serveWorker } from '@greenroom/worker'
import { z } from 'zod'

/** Starts a program, says its pid, and goes on until it is ended. */
const keeper = defineExecutor({
  version: '1',
  output: z.object({}),
  async run(_request, ctx) {
    const program = ctx.spawn('sleep', ['1000'])
    await ctx.message('the first words')
    await ctx.emit({ type: 'data', name: 'program', data: { pid: program.pid ?? 0 } })
    await program.exited
    return { output: {} }
  },
})

/** Starts a program and then never lets go of its thread. */
const spinner = defineExecutor({
  version: '1',
  output: z.object({}),
  async run(_request, ctx) {
    const program = ctx.spawn('sleep', ['1000'])
    await ctx.emit({ type: 'data', name: 'program', data: { pid: program.pid ?? 0 } })
    // Once the event is out: an executor that spins sends nothing any more.
    await new Promise((resolve) => setTimeout(resolve, 200))
    for (;;);
  },
})

/** Emits numbered entries, one every few milliseconds; at full rate with a delta after each. */
const counter = defineExecutor({
  version: '1',
  input: z.object({ entries: z.number(), everyMs: z.number() }),
  output: z.object({ entries: z.number() }),
  async run({ input }, ctx) {
    for (let n = 1; n <= input.entries; n += 1) {
      await ctx.emit({ type: 'data', name: 'count', data: n })
      if (input.everyMs > 0) await new Promise((resolve) => setTimeout(resolve, input.everyMs))
      else await ctx.emit({ type: 'text-delta', text: String(n) })
    }
    return { output: { entries: input.entries } }
  },
})

export const executors = { keeper, spinner, counter, command }
await serveWorker({ executors })
