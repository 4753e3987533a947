/** Parents whose worker is wanted when they cannot be suspended just then, in real processes. */
import { expect, test } from 'vitest'
import { createRunner } from '../src/index.ts'
import { familyRoles, familyWorker } from './fixtures/family-roles.ts'
import { until } from './fixtures/setup.ts'

const narrow = { worker: familyWorker, roles: familyRoles, dataDir: null, quiet: true, admission: { maxProcesses: 1 } }

test(
  'one that waits for several things that cannot be said as one holds nobody up for ever',
  { timeout: 60_000 },
  async () => {
    await using runner = await createRunner(narrow)
    const outcome = await runner.run({ role: 'torn', input: { mode: 'any' } }).outcome
    if (outcome.status !== 'completed') throw new Error(JSON.stringify(outcome))
    // The first has no place; when it is told so it waits for one thing, for which it may be suspended.
    expect(outcome.output).toEqual(
      expect.arrayContaining([expect.stringMatching(/^(POOL_HELD_BY_ANCESTOR|completed)$/)]),
    )
    expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, runs: [] })
  },
)

test('one that waits for a decision, too, is suspended as soon as it has that', { timeout: 60_000 }, async () => {
  await using runner = await createRunner({ ...narrow, approvals: { person: 'elsewhere' } })
  const run = runner.run({ role: 'torn', input: { mode: 'all', asks: true } })
  const asked = await until(() => runner.approvals.list({ state: 'pending' })[0], 'the question', 60_000)
  await until(
    () => runner.stats().runs.filter(({ phase }) => phase === 'queued').length === 2,
    'two children without a place',
    60_000,
  )
  await runner.approvals.answer(asked.id, { allow: true })
  expect(await run.outcome).toMatchObject({ status: 'completed', output: ['completed', 'completed'] })
  expect(run.status().attempts).toBe(2)
})
