/** The worker that floods: numbered events of 1 KiB, every tenth an entry. */
import { defineExecutor, serveWorker } from '@greenroom/worker'
import { z } from 'zod'
import { measureGrowth } from './resident.ts'

const flood = defineExecutor({
  version: '1',
  input: z.object({ events: z.number(), bytes: z.number() }),
  output: z.object({ waits: z.number(), longestMs: z.number(), baseMiB: z.number(), peakMiB: z.number() }),
  async run({ input }, ctx) {
    const text = 'x'.repeat(input.bytes - 64)
    const growth = measureGrowth('self')
    let waits = 0
    let longestMs = 0
    for (let n = 1; n <= input.events; n += 1) {
      const start = performance.now()
      await ctx.emit(
        n % 10 === 0 ? { type: 'data', name: 'n', data: { n, text } } : { type: 'text-delta', text: `${n} ${text}` },
      )
      const waitedMs = performance.now() - start
      if (waitedMs > 20) waits += 1
      longestMs = Math.max(longestMs, waitedMs)
    }
    return { output: { waits, longestMs, ...growth() } }
  },
})

export const executors = { flood }
await serveWorker({ executors })
