/** What the runs of chaos do. */
import { defineExecutor, serveWorker, type RunContext } from '@greenroom/worker'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { isBroken } from './broken.ts'
import { execute, type Tell } from './execution.ts'
import { order, type Order } from './ledger.ts'

const output = z.object({ job: z.string(), epoch: z.number(), entries: z.number() })

/** Begins and ends it; on purpose twice, or with somebody left behind, when it is told to. */
async function run(given: Order, ctx: RunContext, body: (tell: Tell) => Promise<void>) {
  if (isBroken('orphans')) leaveSomebody()
  const once = (): Promise<void> => execute(given, ctx, body)
  await (isBroken('twice') ? Promise.all([once(), once()]) : once())
  return { output: { job: given.job, epoch: ctx.attempt, entries: given.entries } }
}

/** Out of its process group, so that no guard ends it. */
function leaveSomebody(): void {
  spawn('sleep', ['60'], { detached: true, stdio: 'ignore' }).unref()
}

/** Tells numbered entries, each with a delta, some time apart. */
const steps = defineExecutor({
  version: '1',
  input: order,
  output,
  run: ({ input }, ctx) =>
    run(input, ctx, async (tell) => {
      for (let n = 1; n <= input.entries; n += 1) {
        await tell(n)
        await ctx.emit({ type: 'text-delta', text: `step ${n}\n` })
        await sleep(input.everyMs, undefined, { signal: ctx.signal })
      }
    }),
})

/** Has a program say the numbers. */
const program = defineExecutor({
  version: '1',
  input: order,
  output,
  run: ({ input }, ctx) =>
    run(input, ctx, async (tell) => {
      const script = 'n=1; while [ "$n" -le "$1" ]; do echo "$n"; n=$((n + 1)); sleep "$2"; done'
      const child = ctx.spawn('sh', ['-c', script, 'chaos', String(input.entries), String(input.everyMs / 1_000)])
      child.stdin.end()
      child.stderr.resume()
      for await (const line of createInterface({ input: child.stdout })) await tell(Number(line))
      const { code } = await child.exited
      // Whoever stops the run stops the program; when the runner dies, the program may hear of it first.
      if (code === null) await sleep(1_000, undefined, { signal: ctx.signal })
      ctx.signal.throwIfAborted()
      if (code !== 0) ctx.fail('PROGRAM_KILLED', `the program ended with ${code}`)
    }),
})

/** Fails twice, in words that ask for another attempt. */
const flaky = defineExecutor({
  version: '1',
  input: order,
  output,
  run: ({ input }, ctx) =>
    run(input, ctx, async (tell) => {
      for (let n = 1; n <= input.entries; n += 1) await tell(n)
      await sleep(input.everyMs, undefined, { signal: ctx.signal })
      if (ctx.attempt < 3) ctx.fail('AGAIN', 'not yet', { retry: 'later' })
    }),
})

const parent = process.ppid
if (isBroken('detached')) setInterval(() => process.ppid !== parent && process.exit(1), 10).unref()

export const executors = { steps, program, flaky }
await serveWorker({ executors })
