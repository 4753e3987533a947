/** What the runs of approvals do: ask, and tell the ledger what they got. */
import { defineExecutor, serveWorker, type RunContext } from '@greenroom/worker'
import { setTimeout as sleep } from 'node:timers/promises'
import { append, ledgerName, order, type Order } from './line.ts'

const ledger = process.env[ledgerName] ?? ''

async function ask({ job }: Order, ctx: RunContext, n: number): Promise<void> {
  const tag = `${job}.${ctx.attempt}.${n}`
  append(ledger, { t: 'ask', job, epoch: ctx.attempt, tag })
  try {
    const answer = await ctx.approve({
      tool: 'shell',
      permission: 'execute',
      resource: n % 3 === 0 ? '/common' : `/${n}`,
      input: { tag, args: ['one', 'two'] },
      // Some in less than it takes to answer.
      ...(n % 4 === 1 ? { deadlineMs: 300 } : {}),
    })
    const { allowed, reason, decider } = answer
    append(ledger, {
      t: 'answer',
      tag,
      answer: { allowed, reason, decider, ...(allowed ? { input: answer.input } : {}) },
    })
  } catch (error) {
    append(ledger, { t: 'stopped', tag })
    throw error
  }
}

const asks = defineExecutor({
  version: '1',
  input: order,
  async run({ input }, ctx) {
    for (let round = 0; round < input.rounds; round += 1) {
      const first = round * input.atOnce
      const all = Array.from({ length: input.atOnce }, (_, index) => ask(input, ctx, first + index))
      const settled = await Promise.allSettled(all)
      ctx.signal.throwIfAborted()
      for (const one of settled) if (one.status === 'rejected') throw one.reason
      await sleep(20, undefined, { signal: ctx.signal })
    }
    return {}
  },
})

export const executors = { asks }
await serveWorker({ executors })
