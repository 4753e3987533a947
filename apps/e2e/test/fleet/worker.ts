/** What the fleet does: something short, which fails when it is asked to. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineExecutor, serveWorker } from '@greenroom/worker'
import { z } from 'zod'

const short = defineExecutor({
  version: '1',
  input: z.object({ ms: z.number(), fails: z.boolean() }),
  async run({ input }, ctx) {
    await ctx.emit({ type: 'text-delta', text: 'at it' })
    await sleep(input.ms, undefined, { signal: ctx.signal })
    if (input.fails) throw new Error('as it was asked to')
    await ctx.message('done')
    return { output: input.ms }
  },
})

export const executors = { short }
await serveWorker({ executors })
