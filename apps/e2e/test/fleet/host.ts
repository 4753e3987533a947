/**
 * A program that does thousands of short runs on a few warm workers, while it cancels, kills and fails at random, and
 * then tells what is left. Arguments: folder, how many runs, seed.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSeededRandom } from '@greenroom/bus/testing'
import { createRunner, workerEntry, type Run } from '@greenroom/runner'
import type { executors } from './worker.ts'

/** What it tells at its end. */
export interface FleetReport {
  readonly runs: number
  readonly outcomes: Readonly<Record<string, number>>
  /** Runs whose outcome came more than once, or never. */
  readonly odd: number
  readonly kills: number
  readonly pids: readonly number[]
  readonly left: {
    readonly executing: number
    readonly queued: number
    readonly busy: number
    readonly notIdle: number
    readonly runs: number
  }
  /** Open in this process: after the whole life of a first runner, and after that of the one with the runs. */
  readonly descriptors: { readonly before: number; readonly after: number }
  /** Of this process, in MiB, after each thousand runs. */
  readonly rssMb: readonly number[]
}

const [folder = '', countText = '', seedText = ''] = process.argv.slice(2)
const count = Number(countText)
const random = createSeededRandom(Number(seedText))
const inFlight = 32
const thousand = 1_000

const descriptors = (): number => readdirSync('/proc/self/fd').length
const rss = (): number => {
  globalThis.gc?.()
  return Math.round(process.memoryUsage().rss / 1024 / 1024)
}

const open = (name: string) =>
  createRunner({
    worker: workerEntry<typeof executors>(new URL('./worker.ts', import.meta.url)),
    roles: { short: { executor: 'short' } },
    dataDir: join(folder, name),
    logger: { warn: () => undefined, output: () => undefined },
    cancelGraceMs: 500,
  })

// What a process opens once and for all is open after a runner's whole life.
const first = await open('first')
await first.run({ role: 'short', input: { ms: 0, fails: false } }).outcome
await first.drain()
const before = descriptors()
const runner = await open('data')

const outcomes: Record<string, number> = {}
const pids = new Set<number>()
const rssMb: number[] = []
let kills = 0
let odd = 0
let started = 0

/** Does something to it at a random moment. */
async function disturb(run: Run<unknown>): Promise<void> {
  const chance = random.fraction()
  if (chance > 0.1) return
  if (chance > 0.02) {
    await sleep(random.fraction() * 200)
    return void run.cancel('at random')
  }
  // Half of them while it runs, the others whenever: before the claim, too.
  const awaited = chance > 0.01 ? ['running'] : ['starting', 'running']
  while (!awaited.includes(run.status().phase) && run.status().phase !== 'ended') await sleep(1)
  if (chance <= 0.01) await sleep(random.fraction() * 5)
  const pid = run.status().worker?.pid
  if (pid === undefined || run.status().phase === 'ended') return
  kills += 1
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It was gone already.
  }
}

async function one(): Promise<void> {
  const run = runner.run({ role: 'short', input: { ms: random.fraction() * 10, fails: random.fraction() < 0.05 } })
  let ends = 0
  void run.outcome.then(() => (ends += 1))
  const disturbing = disturb(run)
  const outcome = await run.outcome
  await disturbing
  await run.outcome
  if (ends !== 1) odd += 1
  const { pid } = run.status().worker ?? {}
  if (pid !== undefined) pids.add(pid)
  const name = outcome.status === 'failed' ? outcome.code : outcome.status
  outcomes[name] = (outcomes[name] ?? 0) + 1
}

await Promise.all(
  Array.from({ length: inFlight }, async () => {
    while (started < count) {
      started += 1
      if (started % thousand === 0) rssMb.push(rss())
      await one()
    }
  }),
)
// Those that were killed or failed are being waited for.
for (let n = 0; n < 500 && runner.stats().processes > runner.stats().pool.idle; n += 1) await sleep(20)
const stats = runner.stats()
const left = {
  executing: stats.executing,
  queued: stats.queued,
  busy: stats.pool.busy,
  notIdle: stats.processes - stats.pool.idle,
  runs: stats.runs.length,
}
await runner.drain()
const after = descriptors()
process.send?.({
  runs: count,
  outcomes,
  odd,
  kills,
  pids: [...pids],
  left,
  descriptors: { before, after },
  rssMb,
} satisfies FleetReport)
process.disconnect()
