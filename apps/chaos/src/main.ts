#!/usr/bin/env node
/**
 * `npm run chaos -- --minutes M --seed N [--only workers]`: real processes under load, killed, stopped, cut off and
 * without room on their disks, as a seed has it; and what went against the promises.
 *
 * - `chaos` one run from end to end · `stage` the processes and what is between them · `member` one of them · `storm` what
 *   happens to them · `chance` the seed
 * - `broker-program`, `runner-program`, `worker` what they run · `load`, `roles`, `execution` the work · `setup` what they
 *   are told · `broken` what is broken on purpose
 * - `ledger` what everybody appends · `audit` what the journals say in the end · `checker` what must hold of it (K1 to K5)
 * - `approvals/`: another run, in which runs ask for approvals; `run` it from end to end, `judge` what must hold (P1 to P3)
 * - `processes`, `census` who is there · `leaks` descriptors · `residents` memory · `small-disk` disks that can be full
 *
 * One JSON document on standard output; a line of progress now and then on standard error. Exit code: 1 when anything
 * that must not be was found, 2 for bad arguments.
 */
import { Command } from 'commander'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runApprovals } from './approvals/run.ts'
import { breaks, type Break } from './broken.ts'
import { runChaos } from './chaos.ts'

const program = new Command('chaos')
  .description('Kills, stops and cuts off real processes under load')
  .option('--minutes <n>', 'how long it storms; what comes before and after takes some two minutes more', '10')
  .option('--seed <n>', 'where the storm comes from', '1')
  .option('--only <kind>', 'workers: only workers are killed, and memory is looked at')
  .option(
    '--approvals <n>',
    'runs ask for so many approvals, while runner, broker and workers are killed: nothing else',
  )
  .option('--break <list>', `breaks promises on purpose, which must be noticed: ${breaks.join(', ')}`, '')
  .option('--keep', 'keeps the folder with ledgers, data and the log, also when nothing was found')
  .parse()
const options = program.opts<{
  minutes: string
  seed: string
  only?: string
  approvals?: string
  break: string
  keep?: boolean
}>()

const minutes = Number(options.minutes)
if (!(minutes > 0)) program.error('--minutes takes a number above 0', { exitCode: 2 })
const seed = Number(options.seed)
if (!Number.isInteger(seed) || seed < 1) program.error('--seed takes a whole number from 1 on', { exitCode: 2 })
const only = options.only === 'workers' ? options.only : undefined
if (only !== options.only) program.error('--only takes workers', { exitCode: 2 })
const approvals = options.approvals === undefined ? undefined : Number(options.approvals)
if (approvals !== undefined && !(Number.isInteger(approvals) && approvals > 0))
  program.error('--approvals takes a whole number from 1 on', { exitCode: 2 })
const broken = options.break.split(',').filter((name) => name !== '')
const isBreak = (name: string): name is Break => breaks.some((one) => one === name)
if (!broken.every(isBreak)) program.error(`--break takes a list of ${breaks.join(', ')}`, { exitCode: 2 })

function say(line: string): void {
  process.stderr.write(`chaos: ${line}\n`)
}

const folder = mkdtempSync(join(tmpdir(), 'greenroom-chaos-'))
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(`${signal} came`))
try {
  const common = { seed, folder, say, signal: stop.signal }
  const report =
    approvals === undefined
      ? await runChaos({ ...common, minutes, only, broken: broken.filter(isBreak) })
      : await runApprovals({ ...common, approvals })
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  process.exitCode = report.violations.length === 0 ? 0 : 1
} catch (error) {
  if (!stop.signal.aborted) throw error
  say(`${String(error)}; what there is stays in ${folder}`)
  process.exit(1)
}
if (options.keep === true || process.exitCode === 1) say(`ledgers, data and the log are kept in ${folder}`)
else rmSync(folder, { recursive: true, force: true })
