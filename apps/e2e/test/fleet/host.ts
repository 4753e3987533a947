/**
 * A program that does thousands of short runs on a few warm workers, while it cancels, kills and fails at random, and
 * then tells what is left. Arguments: folder, how many runs, seed.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSeededRandom } from '@greenroom/bus/testing'
import { createRunner, workerEntry, type Run } from '@greenroom/runner'
import type { executors } from './worker.ts'

/** What it tells at its end. */
export interface FleetReport {
  readonly runs: number
  readonly outcomes: Readonly<Record<string, number>>
  /** Outcomes in the journal. */
  readonly recorded: number
  /** Runs of which the journal does not say what their caller was told, with each attempt ended. */
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
  /** What of it is in use in V8's heap once all garbage is collected, in KiB. */
  readonly heapKb: readonly number[]
}

const [folder = '', countText = '', seedText = ''] = process.argv.slice(2)
const count = Number(countText)
const random = createSeededRandom(Number(seedText))
const inFlight = 32
const thousand = 1_000

const descriptors = (): number => readdirSync('/proc/self/fd').length
async function measure(): Promise<void> {
  globalThis.gc?.()
  let { rss, heapUsed } = process.memoryUsage()
  // What was collected is told to finalizers, which let go of more: as long as they do.
  for (let before = Infinity, rounds = 0; heapUsed < before && rounds < 20; rounds += 1) {
    before = heapUsed
    await sleep(20)
    globalThis.gc?.()
    ;({ rss, heapUsed } = process.memoryUsage())
  }
  rssMb.push(Math.round(rss / 1024 / 1024))
  heapKb.push(Math.round(heapUsed / 1024))
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
const heapKb: number[] = []
/** What each run's caller was told. */
const told = new Map<string, string>()
let kills = 0
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
  const disturbing = disturb(run)
  const outcome = await run.outcome
  await disturbing
  told.set(run.id, outcome.status)
  const { pid } = run.status().worker ?? {}
  if (pid !== undefined) pids.add(pid)
  const name = outcome.status === 'failed' ? outcome.code : outcome.status
  outcomes[name] = (outcomes[name] ?? 0) + 1
}

await Promise.all(
  Array.from({ length: inFlight }, async () => {
    while (started < count) {
      started += 1
      if (started % thousand === 0) await measure()
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

/** What the journal says: the outcomes, and how many attempts of each run have no end. */
function journal(): { readonly outcomes: ReadonlyMap<string, string>; readonly open: ReadonlySet<string> } {
  using database = new DatabaseSync(join(folder, 'data', 'store.db'), { readOnly: true })
  const rows = (sql: string): readonly Record<string, unknown>[] => database.prepare(sql).all()
  const ended = rows(`SELECT key, meta ->> 'status' AS status FROM outcome`)
  const open = rows(`SELECT substr(key, 1, instr(key, '/') - 1) AS run FROM attempt WHERE meta ->> 'end' IS NULL`)
  return {
    outcomes: new Map(ended.map(({ key, status }) => [String(key), String(status)])),
    open: new Set(open.map(({ run }) => String(run))),
  }
}

const { outcomes: recorded, open: unended } = journal()
const odd = [...told].filter(([id, status]) => recorded.get(id) !== status || unended.has(id)).length
process.send?.({
  runs: count,
  outcomes,
  recorded: recorded.size,
  odd,
  kills,
  pids: [...pids],
  left,
  descriptors: { before, after },
  rssMb,
  heapKb,
} satisfies FleetReport)
process.disconnect()
