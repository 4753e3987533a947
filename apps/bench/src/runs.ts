/** A whole run with a fresh worker: from the call to its first event, and to its outcome. */
import { createRunner } from '@greenroom/runner'
import { bareStart } from './bare.ts'
import { alternate, compare, figure, type Comparison } from './figure.ts'
import { scratch } from './scratch.ts'

/** Run latency beside the bare start of a process. */
export async function runs(rounds: number): Promise<Comparison[]> {
  await using folder = await scratch()
  await using runner = await createRunner({
    worker: new URL(`./executors${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
    roles: { echo: { executor: 'echo' } },
    dataDir: folder.path,
    quiet: true,
  })
  const first: number[] = []
  const whole = await alternate(
    rounds,
    async () => {
      const start = performance.now()
      const run = runner.run({ role: 'echo', task: 'hello there' })
      let seen = false
      for await (const _event of run) {
        if (!seen) first.push(performance.now() - start)
        seen = true
      }
      const outcome = await run.outcome
      if (outcome.status !== 'completed') throw new Error(`the run ended as ${JSON.stringify(outcome)}`)
      return performance.now() - start
    },
    bareStart,
  )
  const limitIs = 'node -e 0'
  return [
    compare(
      { bench: 'run', what: 'fresh worker, to the first event', unit: 'ms', limitIs },
      { ours: figure(first.slice(1)), limit: whole.limit },
    ),
    compare({ bench: 'run', what: 'fresh worker, to the outcome', unit: 'ms', limitIs }, whole),
  ]
}
