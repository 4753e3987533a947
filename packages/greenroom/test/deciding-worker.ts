/** A worker whose runs ask, one thing after the other, and say what they were told. */
import { defineExecutor, serveWorker } from 'greenroom/worker'

const asks = defineExecutor({
  version: '1',
  async run({ task }, ctx) {
    const answers: object[] = []
    for (const resource of task.split(' '))
      answers.push(
        await ctx.approve({
          tool: 'git',
          permission: 'execute',
          resource,
          input: { args: ['tag', 'v1'], secret: 'planted-canary' },
        }),
      )
    return { output: JSON.stringify(answers) }
  },
})

export const executors = { asks }
await serveWorker({ executors })
