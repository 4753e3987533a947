/** A runner whose runs ask for approvals, to be killed: its next life goes on until so many were asked for. */
import { createRunner, workerEntry, type Run } from '@greenroom/runner'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { Chance } from '../chance.ts'
import { runnerCommand, type ProcessNews } from '../setup.ts'
import { Deciders } from './deciders.ts'
import { append, ledgerName, question, readLines, type Order } from './line.ts'
import { openSlowStore } from './slow-disk.ts'
import type { executors } from './worker.ts'

/** What the runner is told. */
const setup = z
  .object({
    dataDir: z.string(),
    bus: z.object({ url: z.string(), token: z.string() }),
    ledger: z.string(),
    seed: z.number(),
    approvals: z.number(),
    lanes: z.number(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))

const die = (): void => process.exit(1)
process.once('disconnect', die)
const { ledger, lanes } = setup
const life = readLines(ledger).filter(({ t }) => t === 'life').length + 1
append(ledger, { t: 'life', life })
const chance = new Chance(setup.seed, life)
const deciders = new Deciders(new Chance(setup.seed, 1_000 + life), ledger)
const worker = new URL(`./worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
const log = (...words: readonly unknown[]): void => console.error(new Date().toISOString(), 'runner', life, ...words)
const runner = await createRunner({
  worker: workerEntry<typeof executors>(worker),
  roles: { asks: { executor: 'asks', idempotent: true, retry: { attempts: 4, backoffMs: 50 } } },
  dataDir: setup.dataDir,
  openStore: (schema) => openSlowStore(setup.dataDir, schema, new Chance(setup.seed, 2_000 + life)),
  bus: setup.bus,
  env: ['PATH', 'TMPDIR', 'GREENROOM_CHAOS', ledgerName],
  admission: { maxExecuting: lanes, maxProcesses: 2 * lanes, queue: 1_000 },
  pool: { idleMs: 3_000 },
  partitionGraceMs: 10_000,
  cancelGraceMs: 1_000,
  approvals: deciders.options(),
  logger: {
    warn: (message, fields) => log(message, JSON.stringify(fields)),
    output: (source, line) => log(`[${source}]`, line),
  },
})
let [isWorking, isLeaving, count, left] = [false, false, 0, setup.approvals]
void runner.closed.then(() => isLeaving || process.exit(9))
void deciders.watch(runner.approvals)

async function lane(): Promise<void> {
  for (;;) {
    // It keeps nobody from leaving.
    await sleep(chance.between(0, 300), undefined, { ref: false })
    // What earlier lives left comes first, else it would become more and more.
    if (!isWorking || left === 0 || isLeaving || runner.stats().runs.length >= 2 * lanes) continue
    count += 1
    const order: Order = { job: `${life}-${count}`, rounds: chance.between(1, 3), atOnce: chance.between(1, 4) }
    const detached = chance.happens(0.6)
    const run = runner.run({ role: 'asks', input: order, task: order.job, detached })
    if (chance.happens(0.1)) void cancelSoon(run)
    await run.outcome
  }
}

async function cancelSoon(run: Run<unknown>): Promise<void> {
  await sleep(chance.between(0, 1_000))
  await run.cancel('chaos')
}

/** The last life says what is recorded. */
function audit(): void {
  for (const { decision, input, ...approval } of runner.approvals.list()) {
    const decided = decision === undefined ? {} : { decision: { input: null, ...decision } }
    append(ledger, { t: 'record', record: { ...approval, input: question.parse(input), ...decided } })
  }
}

async function obey(t: 'work' | 'rest' | 'audit' | 'leave'): Promise<void> {
  if (t === 'work' || t === 'rest') return void (isWorking = t === 'work')
  isLeaving = true
  if (t === 'audit') audit()
  await runner.drain()
  process.off('disconnect', die).disconnect()
}

process.on('message', (message) => void obey(runnerCommand.parse(message).t))
process.once('SIGTERM', () => void obey('leave'))
process.send?.({ t: 'ready' } satisfies ProcessNews)
await runner.resume()
for (let n = 0; n < lanes; n += 1) void lane()
setInterval(() => {
  if (!process.connected || isLeaving) return
  const { runs, processes } = runner.stats()
  left = Math.max(0, setup.approvals - runner.approvals.list().length)
  process.send?.({ t: 'state', jobs: left, detached: 0, runs: runs.length, processes } satisfies ProcessNews)
}, 200).unref()
