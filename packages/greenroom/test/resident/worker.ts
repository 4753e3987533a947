/** A worker file as users write them: a runner may start it, or `greenroom worker`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineExecutor, serveWorker } from '@greenroom/worker'

/** Says in which process it runs. */
const who = defineExecutor({ version: '1', run: () => Promise.resolve({ output: process.pid }) })

/** Says where it runs, then works until it is told to stop, or for the milliseconds that its task names. */
const work = defineExecutor({
  version: '1',
  async run({ task }, ctx) {
    await ctx.emit({ type: 'data', name: 'pid', data: process.pid })
    await sleep(Number(task), undefined, { signal: ctx.signal })
    return { output: process.pid }
  },
})

/** Works for the milliseconds that its task names, and tells nothing meanwhile. */
const still = defineExecutor({
  version: '1',
  async run({ task }, ctx) {
    await sleep(Number(task), undefined, { signal: ctx.signal })
    return { output: process.pid }
  },
})

/** Keeps the thread for the milliseconds that its task names. */
const spin = defineExecutor({
  version: '1',
  async run({ task }, ctx) {
    await ctx.emit({ type: 'data', name: 'pid', data: process.pid })
    const end = performance.now() + Number(task)
    while (performance.now() < end);
    return { output: process.pid }
  },
})

/** Says whether it has a secret and a variable. */
const knows = defineExecutor({
  version: '1',
  secrets: ['KEY'],
  run: (_, ctx) =>
    Promise.resolve({ output: [ctx.secret('KEY'), process.env['GIVEN'] ?? null, process.env['OTHER'] ?? null] }),
})

/** Asks for `one`, then for `two`; says what it got. */
const asks = defineExecutor({
  version: '1',
  async run(_, ctx) {
    const call = { tool: 'shell', permission: 'execute', input: null }
    const answers = []
    for (const resource of ['one', 'two']) answers.push((await ctx.approve({ ...call, resource })).reason)
    return { output: answers }
  },
})

export const executors = { who, work, still, spin, knows, asks }
await serveWorker({ executors })
