/** A worker file with parents: each has a child in the role that its task begins with, with the rest as that one's task. */
import { defineExecutor, serveWorker } from '@greenroom/worker'

const parent = (suspendable: boolean) =>
  defineExecutor({
    version: '1',
    suspendable,
    async run({ task }, ctx) {
      const [role = '', ...rest] = task.split(' ')
      const [child] =
        ctx.resumed ?? (await ctx.children.wait([await ctx.children.spawn({ role, task: rest.join(' '), key: 'one' })]))
      const { outcome } = child ?? {}
      const below = outcome?.status === 'completed' ? outcome.output : outcome?.status === 'failed' && outcome.code
      return { output: [process.pid, ctx.resumed !== undefined, below ?? null] }
    },
  })

/** Says in which process it runs. */
const who = defineExecutor({ version: '1', run: () => Promise.resolve({ output: process.pid }) })

export const executors = { pliant: parent(true), stiff: parent(false), who }
await serveWorker({ executors })
