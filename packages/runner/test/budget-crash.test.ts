/** Trees with a budget whose workers and runner are killed, in processes of their own. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspectStore } from '@greenroom/store'
import { expect, test } from 'vitest'
import { createRunner } from '../src/index.ts'
import { runnerSchema } from '../src/runner-schema.ts'
import { spendingRoles, spendingWorker } from './fixtures/spending-roles.ts'
import { temporaryFolder, until } from './fixtures/setup.ts'

/** The tokens of the lines with that word, by whom. */
function sums(ledger: string, word: string): number {
  if (!existsSync(ledger)) return 0
  const lines = readFileSync(ledger, 'utf8').trimEnd().split('\n')
  return lines.reduce((sum, line) => sum + (line.includes(` ${word} `) ? Number(line.split(' ').at(-1)) : 0), 0)
}

/** Starts a tree, kills its runner after that, and leads it to its end in another life. */
async function killed(input: { readonly calls: number }, budget: number, atTokens: number) {
  using folder = temporaryFolder()
  const [dataDir, ledger] = [join(folder.path, 'data'), join(folder.path, 'ledger')]
  const order = { ledger, children: 4, aside: 60, tokens: 10, ...input }
  const program = fork(
    new URL('fixtures/spending-program.ts', import.meta.url),
    [dataDir, JSON.stringify(order), `${budget}`],
    { execArgv: ['--conditions=@greenroom/source'] },
  )
  const [id] = await once(program, 'message')
  await until(() => sums(ledger, 'counted') >= atTokens, 'the moment', 60_000)
  program.kill('SIGKILL')
  if (program.exitCode === null && program.signalCode === null) await once(program, 'exit')
  const countedBefore = sums(ledger, 'counted')
  const runner = await createRunner({
    worker: spendingWorker,
    roles: spendingRoles,
    dataDir,
    quiet: true,
    logger: { warn: () => undefined, output: () => undefined },
  })
  await runner.resume()
  const run = await runner.attach(String(id))
  const outcome = await run.outcome
  await until(() => runner.stats().runs.length === 0, 'the end of the tree', 30_000)
  await runner.close()
  using store = inspectStore(dataDir, runnerSchema)
  const kept = store.scan('budget', {})
  return { outcome, called: sums(ledger, 'calls'), counted: sums(ledger, 'counted'), countedBefore, kept }
}

test(
  'what was counted before workers and runner were killed counts after it, and nothing leaks',
  { timeout: 240_000 },
  async () => {
    for (const atTokens of [60, 150]) {
      const { outcome, called, counted, kept } = await killed({ calls: 8 }, 600, atTokens)
      const context = `killed at ${atTokens}: ${JSON.stringify({ outcome, called, counted })}`
      const { tokens = Number.NaN } = Object(outcome.status === 'completed' ? outcome.output : undefined)
      // What was called and not counted yet when somebody was killed may have been told, or not.
      expect(600 - tokens, context).toBeGreaterThanOrEqual(counted)
      expect(600 - tokens, context).toBeLessThanOrEqual(called)
      expect(kept, context).toEqual([])
    }
  },
)

test('in the next life no call is counted beyond what is left', { timeout: 120_000 }, async () => {
  const { outcome, called, counted, countedBefore, kept } = await killed({ calls: 100 }, 200, 60)
  expect(outcome).toMatchObject({ status: 'failed', code: 'LIMIT_BUDGET' })
  expect(countedBefore).toBeGreaterThanOrEqual(60)
  expect(counted).toBeLessThanOrEqual(200)
  // One call for each that executed, and one for each attempt that was killed.
  expect(called).toBeLessThanOrEqual(200 + 4 * 10 + 6 * 10)
  expect(kept).toEqual([])
})
