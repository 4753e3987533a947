/** A worker with secrets: hands the one that it declares to one program, and ends its run in as many ways as there are. */
import { defineExecutor, serveWorker } from '@greenroom/worker'
import { z } from 'zod'

const keeper = defineExecutor({
  version: '1',
  secrets: ['DECLARED'],
  output: z.object({}),
  async run({ task }, ctx) {
    const trusted = ctx.spawn('sleep', ['1000'], { env: { DECLARED: ctx.secret('DECLARED') } })
    const other = ctx.spawn('sleep', ['1000'])
    console.log('the worker says something')
    console.error('and complains')
    await ctx.message('the first words')
    await ctx.approve({ tool: 'mail', permission: 'network', resource: 'home', input: { text: 'hello' } })
    await ctx.emit({ type: 'data', name: 'programs', data: { trusted: trusted.pid ?? 0, other: other.pid ?? 0 } })
    if (task === 'undeclared') ctx.secret('UNDECLARED')
    if (task === 'throw') throw new Error('something broke')
    if (task === 'exit') process.exit(3)
    await trusted.exited
    return { output: {} }
  },
})

export const executors = { keeper }
await serveWorker({ executors })
