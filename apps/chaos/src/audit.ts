/** The last look at all that a runner ever did, by a life that begins nothing. */
import { codeOf } from '@greenroom/proto'
import { append, entryOf, readRunnerLedger, type Ended, type Entry } from './ledger.ts'
import type { ChaosRunner } from './load.ts'

/**
 * Appends to the ledger what the journal says: what is open, and of each run its outcome and its entries.
 *
 * @param runner - the last life
 * @param ledger - of all lives
 */
export async function audit(runner: ChaosRunner, ledger: string): Promise<void> {
  append(ledger, { t: 'left', runs: (await runner.resume()).map(({ id }) => id) })
  for (const line of readRunnerLedger(ledger)) {
    if (line.t !== 'started' && line.t !== 'queued') continue
    append(ledger, { t: 'audit', job: line.job, ...(await lookAt(runner, line.run)) })
  }
}

async function lookAt(runner: ChaosRunner, id: string): Promise<{ outcome: Ended | null; entries: Entry[] }> {
  try {
    const run = await runner.attach(id)
    const entries: Entry[] = []
    for await (const event of run) {
      const entry = entryOf(event)
      if (entry !== undefined) entries.push(entry)
    }
    return { outcome: { output: null, ...(await run.outcome) }, entries }
  } catch (error) {
    if (codeOf(error) !== 'UNKNOWN_RUN') throw error
    return { outcome: null, entries: [] }
  }
}
