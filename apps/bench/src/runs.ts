/** Whole runs: with a fresh worker, with a warm one, and many at a time. */
import { createRunner, type Runner } from '@greenroom/runner'
import { bareStart } from './bare.ts'
import { alternate, compare, figure, percentile, type Comparison, type Figure } from './figure.ts'
import { scratch } from './scratch.ts'

const limitIs = 'node -e 0'

/** Run latency and throughput beside the bare start of a process. */
export async function runs(rounds: number): Promise<Comparison[]> {
  return [...(await cold(rounds)), ...(await warm(rounds)), ...(await manyAtATime(rounds))]
}

const roles = { echo: { executor: 'echo' } } as const

type EchoRunner = Runner<Readonly<Record<string, unknown>>, typeof roles>

function open(
  folder: string,
  { maxIdle, maxExecuting }: { readonly maxIdle: number; readonly maxExecuting: number },
): Promise<EchoRunner> {
  return createRunner({
    worker: new URL(`./executors${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
    roles,
    dataDir: folder,
    admission: { maxExecuting },
    pool: { maxIdle, maxIdlePerKey: maxIdle, maxUses: 1_000_000 },
    quiet: true,
  })
}

/** One run: how long to its first event, and in all, in milliseconds. */
async function once(runner: EchoRunner): Promise<{ readonly first: number; readonly whole: number }> {
  const start = performance.now()
  const run = runner.run({ role: 'echo', task: 'hello there' })
  let first = Number.NaN
  for await (const _event of run) if (Number.isNaN(first)) first = performance.now() - start
  const outcome = await run.outcome
  if (outcome.status !== 'completed') throw new Error(`the run ended as ${JSON.stringify(outcome)}`)
  return { first, whole: performance.now() - start }
}

async function cold(rounds: number): Promise<Comparison[]> {
  await using folder = await scratch()
  await using runner = await open(folder.path, { maxIdle: 0, maxExecuting: 1 })
  const first: number[] = []
  const whole = await alternate(
    rounds,
    async () => {
      const took = await once(runner)
      first.push(took.first)
      return took.whole
    },
    bareStart,
  )
  return [
    compare(
      { bench: 'run', what: 'fresh worker, to the first event', unit: 'ms', limitIs },
      { ours: figure(first.slice(1)), limit: whole.limit },
    ),
    compare({ bench: 'run', what: 'fresh worker, to the outcome', unit: 'ms', limitIs }, whole),
  ]
}

/** So many runs make a sample: one alone says nothing of the slowest of a hundred. */
const inARow = 200

async function warm(rounds: number): Promise<Comparison[]> {
  await using folder = await scratch()
  await using runner = await open(folder.path, { maxIdle: 1, maxExecuting: 1 })
  const first: number[] = []
  const whole: number[] = []
  const { limit } = await alternate(
    rounds,
    async () => {
      for (let n = 0; n < inARow; n += 1) {
        const took = await once(runner)
        first.push(took.first)
        whole.push(took.whole)
      }
      return 0
    },
    bareStart,
  )
  const line = (what: string, ours: Figure): Comparison =>
    compare({ bench: 'run', what, unit: 'ms', limitIs }, { ours, limit })
  const settled = (samples: readonly number[]): readonly number[] => samples.slice(inARow)
  return [
    line('warm worker, to the first event', figure(settled(first))),
    line('warm worker, to the outcome', figure(settled(whole))),
    line('warm worker, to the outcome, p99', at99(settled(whole))),
  ]
}

/** The slowest of a hundred, as a figure: of all samples, and of each row of them. */
function at99(samples: readonly number[]): Figure {
  const rows = Array.from({ length: Math.floor(samples.length / inARow) }, (_, n) =>
    percentile(samples.slice(n * inARow, (n + 1) * inARow), 0.99),
  )
  return { ...figure(rows), median: percentile(samples, 0.99), samples: samples.length }
}

/** Runs a second with so many in flight, all of them executing, beside a process a run, one at a time. */
async function manyAtATime(rounds: number): Promise<Comparison[]> {
  const lines: Comparison[] = []
  for (const inFlight of [1, 8, 64]) {
    await using folder = await scratch()
    await using runner = await open(folder.path, { maxIdle: 16, maxExecuting: inFlight })
    const both = await alternate(
      rounds,
      () => perSecond(runner, inFlight),
      async () => 1_000 / (await bareStart()),
    )
    const what = `warm workers, ${inFlight} in flight`
    lines.push(compare({ bench: 'run', what, unit: 'runs/s', limitIs }, both))
  }
  return lines
}

async function perSecond(runner: EchoRunner, inFlight: number): Promise<number> {
  let left = inARow
  const start = performance.now()
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await once(runner)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  return (inARow / (performance.now() - start)) * 1_000
}
