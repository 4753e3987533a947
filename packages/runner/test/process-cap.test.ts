/** Trees that are larger than the processes there may be. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createRunner, workerEntry } from '../src/index.ts'
import type { executors } from './fixtures/pliant-tree.ts'
import { temporaryFolder } from './fixtures/setup.ts'

const worker = workerEntry<typeof executors>(new URL('fixtures/pliant-tree.ts', import.meta.url))

/** What a tree came to, how many of it executed at a time by their own account, and how many processes there were. */
async function grown(maxProcesses: number, widths: number[]): Promise<[unknown, number, number]> {
  using folder = temporaryFolder()
  const ledger = join(folder.path, 'ledger')
  await using runner = await createRunner({
    worker,
    roles: { tree: { executor: 'tree' } },
    dataDir: null,
    quiet: true,
    admission: { maxExecuting: 16, maxProcesses },
  })
  const run = runner.run({ role: 'tree', input: { widths, ledger } })
  let processes = 0
  const look = setInterval(() => (processes = Math.max(processes, runner.stats().processes)), 5)
  const outcome = await run.outcome
  clearInterval(look)
  let now = 0
  const counts = readFileSync(ledger, 'utf8')
    .split('')
    .map((mark) => (now += mark === '+' ? 1 : -1))
  return [outcome.status === 'completed' ? outcome.output : outcome, Math.max(...counts), processes]
}

test('with one process a tree four deep completes', { timeout: 120_000 }, async () => {
  expect(await grown(1, [1, 1, 1])).toEqual([4, 1, 1])
})

test('of forty nested runs never more than four execute in four processes', { timeout: 240_000 }, async () => {
  const [size, most, processes] = await grown(4, [3, 3, 3])
  expect(size).toBe(40)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(4)
  expect(processes).toBe(4)
})
