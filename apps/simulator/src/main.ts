#!/usr/bin/env node
/** `npm run simulate -- --seeds N [--seed S --trace] [--mutations]`: schedules drawn from seeds, and what went against the rules. */
import { Command, Option } from 'commander'
import { mutations, placeOf, type Mutation } from './mutations.ts'
import { runSchedule } from './schedule.ts'
import { latest, type Aim, type Generation } from './world.ts'

const program = new Command('simulate')
  .description('Runs Greenroom under faults drawn from seeds')
  .option('--seeds <n>', 'how many schedules; with --mutations, at most so many for each', '1000')
  .option('--from <seed>', 'the first seed', '1')
  .option('--seed <seed>', 'only this one')
  .option('--mutations [name]', 'breaks one promise after the other, or one by name: each must be noticed')
  .option('--trace', 'prints each step')
  .addOption(
    new Option('--aim <what>', 'what all schedules are to have').choices(['approvals', 'children', 'budgets', 'talk']),
  )
  .option('--generation <n>', 'what may be drawn, as a regression names it', String(latest))
  .parse()
const options = program.opts<{
  seeds: string
  from: string
  seed?: string
  mutations?: string | true
  trace?: boolean
  generation: string
  aim?: Aim
}>()

function whole(name: 'seeds' | 'from' | 'seed', text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) program.error(`--${name} takes a whole number from 1 on`, { exitCode: 2 })
  return value
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

const first = whole(options.seed === undefined ? 'from' : 'seed', options.seed ?? options.from)
const count = options.seed === undefined ? whole('seeds', options.seeds) : 1
const generations: readonly Generation[] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
const generation = generations.find((one) => String(one) === options.generation) ?? latest
const how = { generation, aim: options.aim, ...(options.trace === true ? { show: print } : {}) }

/** Of one seed no more are printed: the first ones say it. */
const most = 8

function tally(into: Map<string, number>, names: readonly string[]): void {
  for (const name of names) into.set(name, (into.get(name) ?? 0) + 1)
}

function words(from: Map<string, number>): string {
  return [...from].map(([name, times]) => `${name} ${times}`).join(', ')
}

/** Whether all held. */
async function simulate(): Promise<boolean> {
  const began = performance.now()
  const faults = new Map<string, number>()
  const outcomes = new Map<string, number>()
  const children = new Map<string, number>()
  const decisions = new Map<string, number>()
  let [runs, steps, failed] = [0, 0, 0]
  for (let seed = first; seed < first + count; seed += 1) {
    const report = await runSchedule(seed, how)
    runs += report.runs
    steps += report.steps
    tally(faults, report.faults)
    tally(outcomes, report.outcomes)
    tally(children, report.children)
    tally(decisions, report.decisions)
    if (report.violations.length > 0) {
      failed += 1
      print(`seed ${seed}: ${report.violations.slice(0, most).join('\n  ')}`)
    }
    if (count === 1) print(`digest ${report.digest}`)
  }
  const seconds = (performance.now() - began) / 1_000
  print(`faults: ${words(faults)}`)
  print(`outcomes: ${words(outcomes)}`)
  print(`children: ${words(children)}`)
  print(`approvals: ${words(decisions)}`)
  print(
    `${count} seeds, ${runs} runs, ${steps} steps in ${seconds.toFixed(1)} s, ${(count / seconds).toFixed(1)} seeds/s`,
  )
  print(failed === 0 ? 'all held' : `${failed} seeds failed`)
  return failed === 0
}

/** Whether it was noticed. */
async function mutate(mutation: Mutation): Promise<boolean> {
  const isSaid = options.aim !== undefined || program.getOptionValueSource('generation') !== 'default'
  const place = isSaid ? {} : placeOf(mutation)
  for (let seed = first; seed < first + count; seed += 1) {
    const { violations } = await runSchedule(seed, { mutation, ...how, ...place })
    if (violations.length === 0) continue
    print(`${mutation.name} (${mutation.says}): noticed at seed ${seed}: ${violations[0]}`)
    return true
  }
  print(`${mutation.name} (${mutation.says}): NOT noticed in ${count} seeds`)
  return false
}

async function mutateAll(name: string | true): Promise<boolean> {
  const chosen = mutations.filter((mutation) => name === true || mutation.name === name)
  if (chosen.length === 0)
    program.error(`--mutations takes one of ${mutations.map((mutation) => mutation.name).join(', ')}`, { exitCode: 2 })
  let noticed = 0
  for (const mutation of chosen) noticed += Number(await mutate(mutation))
  print(`${noticed} of ${chosen.length} mutations were noticed`)
  return noticed === chosen.length
}

const held = options.mutations === undefined ? await simulate() : await mutateAll(options.mutations)
// What a runner holds to keep its process alive is never let go of by one that was killed.
process.stdout.write('', () => process.exit(held ? 0 : 1))
