/** One execution of a job, as its worker tells it to the job's ledger. */
import type { RunContext } from '@greenroom/worker'
import { join } from 'node:path'
import { append, machineMs, readWorkLedger, type Order } from './ledger.ts'
import { factsOf, isAlive } from './processes.ts'

/** The variable that names the folder of the jobs' ledgers. */
export const folderName = 'CHAOS_EXECUTIONS'

/** This process: workers do not change theirs. */
const stamp = factsOf(process.pid)?.stamp ?? ''

/** Tells the n-th entry. */
export type Tell = (n: number) => Promise<void>

/**
 * Executes a job, with a line before and after.
 *
 * @param given - the job
 * @param ctx - its run
 * @param body - does it
 */
export async function execute<T>(given: Order, ctx: RunContext, body: (tell: Tell) => Promise<T>): Promise<T> {
  const { job } = given
  const epoch = ctx.attempt
  const ledger = join(process.env[folderName] ?? '', `${job}.jsonl`)
  begin(ledger, epoch)
  let how: 'done' | 'failed' | 'aborted' = 'failed'
  try {
    const result = await body(async (n) => {
      append(ledger, { t: 'tick', epoch, n })
      await ctx.emit({ type: 'data', name: 'said', data: { job, epoch, n } })
    })
    how = 'done'
    return result
  } finally {
    append(ledger, { t: 'end', epoch, how: ctx.signal.aborted ? 'aborted' : how, at: machineMs() })
  }
}

function begin(ledger: string, epoch: number): void {
  append(ledger, { t: 'begin', epoch, pid: process.pid, stamp, at: machineMs() })
  if (epoch === 1) return
  const lines = readWorkLedger(ledger)
  const ended = new Set(lines.flatMap((line) => (line.t === 'end' ? [line.epoch] : [])))
  for (const line of lines) {
    if (line.t !== 'begin' || line.epoch === epoch || ended.has(line.epoch)) continue
    if (isAlive(line.pid, line.stamp)) append(ledger, { t: 'overlap', epoch, with: line.epoch })
  }
}
