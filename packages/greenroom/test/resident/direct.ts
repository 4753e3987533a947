/** A worker file with what a run at a remote may do, or suffer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineExecutor, serveWorker } from '@greenroom/worker'

/** Takes one text. */
const listens = defineExecutor({
  version: '1',
  async run(_, ctx) {
    await ctx.emit({ type: 'data', name: 'pid', data: process.pid })
    for await (const { text } of ctx.steering) return { text }
    return { text: 'nobody said anything' }
  },
})

/** Asks whether it may. */
const asks = defineExecutor({
  version: '1',
  async run({ task }, ctx) {
    const answer = await ctx.approve({ tool: 'git', permission: 'execute', resource: task, input: { args: [task] } })
    return { output: [answer.allowed, answer.reason, answer.allowed ? answer.input : null] }
  },
})

/** Tells its task a hundred times; several at a time. */
const repeats = defineExecutor({
  version: '1',
  slots: 4,
  async run({ task }, ctx) {
    for (let n = 0; n < 100; n += 1) {
      await ctx.emit({ type: 'data', name: 'mark', data: `${task} ${n}` })
      await sleep(1)
    }
    return { text: task }
  },
})

const breaks = defineExecutor({
  version: '1',
  run: ({ task }) => Promise.reject(new TypeError(`it broke at ${task}`, { cause: new Error('inside') })),
})

/** Hears no signal for the milliseconds that its task names. */
const deaf = defineExecutor({
  version: '1',
  async run({ task }, ctx) {
    await ctx.emit({ type: 'data', name: 'pid', data: process.pid })
    await sleep(Number(task))
    return {}
  },
})

export const executors = { listens, asks, repeats, breaks, deaf }
await serveWorker({ executors })
