/**
 * A runner in a process of its own, to be killed: gives itself work, and its next life goes on with what it left.
 * It ends with its parent.
 */
import { createRunner, workerEntry } from '@greenroom/runner'
import { isBroken } from './broken.ts'
import { Load } from './load.ts'
import { append } from './ledger.ts'
import { audit } from './audit.ts'
import { roles } from './roles.ts'
import { runnerCommand, runnerSetup, type ProcessNews, type RunnerCommand } from './setup.ts'
import type { executors } from './worker.ts'

const die = (): void => process.exit(1)
process.once('disconnect', die)
const setup = runnerSetup.parse(JSON.parse(process.argv[2] ?? ''))
const { ledger } = setup
const log = (...words: readonly unknown[]): void => console.error(new Date().toISOString(), setup.name, ...words)
const worker = new URL(`./worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
const runner = await createRunner({
  worker: workerEntry<typeof executors>(worker),
  roles,
  dataDir: setup.dataDir,
  ...(setup.bus === null ? {} : { bus: setup.bus }),
  env: ['PATH', 'TMPDIR', 'GREENROOM_CHAOS', 'CHAOS_EXECUTIONS', 'CHAOS_BROKEN'],
  admission: { maxExecuting: setup.lanes, maxProcesses: 2 * setup.lanes, queue: 1_000 },
  pool: { idleMs: 3_000 },
  partitionGraceMs: setup.partitionGraceMs,
  cancelGraceMs: 1_000,
  logger: {
    warn(message, fields) {
      log(message, JSON.stringify(fields))
      const run = fields?.['runId']
      if (message.includes('could not be recorded') && typeof run === 'string') append(ledger, { t: 'unrecorded', run })
    },
    output: (source, line) => log(`[${source}]`, line),
  },
})
const load = new Load(runner, setup)
let isLeaving = false
void runner.closed.then(() => {
  if (isLeaving) return
  // It lost its place on the bus: who waits for its runs is told first.
  append(ledger, { t: 'closed', life: load.life })
  setTimeout(() => process.exit(9), 100)
})

function tell(news: ProcessNews): void {
  process.send?.(news)
}

async function obey({ t }: RunnerCommand): Promise<void> {
  if (t === 'work') load.work()
  else if (t === 'rest') load.rest()
  else {
    isLeaving = true
    if (t === 'audit') await audit(runner, ledger)
    await runner.drain()
    process.off('disconnect', die).disconnect()
  }
}

process.on('message', (message) => void obey(runnerCommand.parse(message)))
process.once('SIGTERM', () => void obey({ t: 'leave' }))
tell({ t: 'ready' })
if (!isBroken('resume')) await load.resume()
setInterval(() => {
  if (!process.connected) return
  const { runs, processes } = runner.stats()
  tell({ t: 'state', jobs: load.jobs, detached: load.detached, runs: runs.length, processes })
}, 200).unref()
