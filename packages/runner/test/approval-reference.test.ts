/** The reference's checklist of behaviours, in its words: approvals. Those that `approval.test.ts` does not show. */
import { describe, expect, test } from 'vitest'
import { createRunner, type ApprovalRecord } from '../src/index.ts'
import { Asking, firstPending } from './fixtures/asking.ts'
import { until, worker } from './fixtures/setup.ts'

describe('exactly one terminal outcome event per request', () => {
  test.each<[how: string, deadlineMs: number | null, reason: string]>([
    ['an answer', null, 'fine'],
    ['expiry', 100, 'nobody decided within 100 ms'],
    ['the end of its run', null, 'its attempt ended'],
    ['the death of its worker', null, 'its attempt ended'],
  ])('%s', { timeout: 60_000 }, async (how, deadlineMs, reason) => {
    await using runner = await createRunner({
      worker,
      roles: { asks: { executor: 'asks' } },
      dataDir: null,
      quiet: true,
      approvals: { person: 'elsewhere', deadlineMs },
    })
    const seen: ApprovalRecord[] = []
    const watched = (async () => {
      for await (const record of runner.approvals.watch()) seen.push(record)
    })()
    const run = runner.run({ role: 'asks', task: '' })
    const { id } = await firstPending(runner)
    if (how === 'an answer')
      await Promise.all([1, 2].map(() => runner.approvals.answer(id, { allow: true, reason: 'fine' })))
    if (how === 'the end of its run') await run.cancel()
    if (how === 'the death of its worker') process.kill(run.status().worker?.pid ?? 0, 'SIGKILL')
    await run.outcome
    await until(() => seen.length > 1, 'its end')
    await runner.approvals.answer(id, { allow: false, reason: 'too late' })
    await runner.close()
    await watched
    expect(seen.map((record) => [record.id, record.decision?.reason])).toEqual([
      [id, undefined],
      [id, reason],
    ])
  })
})

test('concurrent decisions record once', async () => {
  await using asking = new Asking()
  const runner = await asking.runner({ person: 'elsewhere' })
  const run = runner.run({ role: 'ask', task: '' })
  const { id } = await firstPending(runner)
  const verdicts = Array.from({ length: 8 }, (_, n) => ({
    allow: n % 2 === 0,
    reason: `${n}`,
    scope: 'session' as const,
  }))
  const answers = await Promise.all(verdicts.map((verdict) => runner.approvals.answer(id, verdict)))
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
  expect(answers[0]?.decision).toMatchObject({ allowed: true, reason: '0' })
  expect(asking.store.count('decision')).toBe(1)
  expect(asking.store.count('grant')).toBe(1)
  expect(await run.outcome).toMatchObject({ output: [{ allowed: true, reason: '0' }] })
})
