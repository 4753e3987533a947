/** The worker of the tests of the parent's door. */
import { appendFileSync } from 'node:fs'
import { z } from 'zod'
import { delegateTools } from '../../src/tools.ts'
import { defineExecutor, serveWorker } from '../../src/worker.ts'

// A careless module: in `greenroom mcp` it must not reach the client.
console.log('the worker file is imported')

/** Says, fails, or waits for a text, as it is told. */
const work = defineExecutor({
  version: '1',
  input: z.object({ do: z.enum(['say', 'fail', 'listen', 'linger']).default('say'), ledger: z.string().optional() }),
  async run({ input, task }, ctx) {
    if (input.ledger !== undefined) appendFileSync(input.ledger, `${process.pid}\n`)
    if (input.do === 'fail') return ctx.fail('NO_LUCK', `could not ${task}`, { retry: 'later' })
    if (input.do === 'say') return { output: { done: task }, text: `${task}: done` }
    ctx.onAsk((question) => (question === 'think' ? new Promise(() => undefined) : `${task} says: ${question}`))
    if (input.do === 'listen') for await (const { text } of ctx.steering) return { text: `heard ${text}` }
    await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
    ctx.signal.throwIfAborted()
  },
})

/** Has a grandchild, by the same tools that a model gets; says what they answered. */
const lead = defineExecutor({
  version: '1',
  input: z.string().optional(),
  async run({ task }, ctx) {
    const tools = delegateTools(ctx.children, { helper: { description: 'helps' } })
    const refused = await tools.spawn.execute({ role: 'lead', task })
    const { runId } = await tools.spawn.execute({ role: 'helper', task, input: { do: 'listen' }, key: 'first' })
    if (typeof runId !== 'string') return ctx.fail('NO_CHILD', 'spawn named no child')
    const runIds = [runId]
    const running = await tools.await.execute({ runIds, waitSeconds: 0 })
    const asked = await tools.ask.execute({ runId, question: 'how far?' })
    const sent = await tools.send.execute({ runId, text: 'hello' })
    const ended = await tools.await.execute({ runIds })
    return { output: [refused, running, asked, sent, ended, await tools.list.execute({})] }
  },
})

export const executors = { work, lead }

await serveWorker({ executors })
