#!/usr/bin/env node
/**
 * `npm run bench [-- --json FILE] [--only NAME]`: what Greenroom costs, beside what the machine can do at best.
 *
 * Absolute numbers of a shared machine mean little; the ratios do, since both sides are measured in turns.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { coldStart } from './cold.ts'
import { events } from './events.ts'
import type { Comparison, Figure } from './figure.ts'
import { idle } from './idle.ts'
import { runs } from './runs.ts'
import { send } from './send.ts'

const benches: Record<string, (rounds: number) => Promise<Comparison[]>> = {
  run: runs,
  send,
  events,
  cold: coldStart,
  idle,
}

const program = new Command('bench')
  .description('Measures Greenroom beside the limits of this machine')
  .option('--json <file>', 'also write the figures there')
  .option('--only <name>', `one of ${Object.keys(benches).join(', ')}`)
  .option('--rounds <n>', 'samples of each side', '7')
  .parse()
const options = program.opts<{ json?: string; only?: string; rounds: string }>()
const rounds = Number(options.rounds)
if (!Number.isInteger(rounds) || rounds < 1) program.error('--rounds takes a whole number from 1 on', { exitCode: 2 })
if (options.only !== undefined && !Object.hasOwn(benches, options.only))
  program.error(`--only takes one of ${Object.keys(benches).join(', ')}`, { exitCode: 2 })

function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

function range(figure: Figure): string {
  return `${number(figure.median)} (${number(figure.min)}–${number(figure.max)})`
}

function row(line: Comparison): string {
  const name = `${line.bench}: ${line.what}, ${line.unit}`
  return `${name.padEnd(52)} ${range(line.ours).padStart(30)} ${range(line.limit).padStart(30)} ${line.ratio.toFixed(2).padStart(7)}  ${line.limitIs}`
}

process.stdout.write(
  `${'median (min–max)'.padEnd(52)} ${'ours'.padStart(30)} ${'limit'.padStart(30)} ${'ratio'.padStart(7)}  the limit is\n`,
)
const results: Comparison[] = []
for (const [name, bench] of Object.entries(benches)) {
  if (options.only !== undefined && options.only !== name) continue
  for (const line of await bench(rounds)) {
    results.push(line)
    process.stdout.write(`${row(line)}\n`)
  }
}
if (options.json !== undefined) {
  const file = resolve(process.env['INIT_CWD'] ?? '.', options.json)
  await writeFile(file, `${JSON.stringify({ node: process.version, rounds, results }, null, 2)}\n`)
}
