/** A detached worker waits for its decision, and the disk of its runner has damaged what there was of it. */
import { openStore } from '@greenroom/store'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { Journal } from '../src/journal.ts'
import type { ApprovalRecord } from '../src/index.ts'
import { runnerSchema } from '../src/runner-schema.ts'
import { detachedStage } from './fixtures/detached-stage.ts'
import { until } from './fixtures/setup.ts'

/** Three lives of a runner and a worker, each a process or a disk of its own: a busy machine takes its time. */
const timeout = 120_000

/** A worker that waits for a decision, and no runner. */
async function waiting() {
  const scene = await detachedStage()
  const [asking] = await scene.killed({ role: 'asks', task: '' })
  const runner = await scene.life({ approvals: { person: 'elsewhere' } })
  const [approval] = await until(() => {
    const pending = runner.approvals.list({ state: 'pending' })
    return pending.length > 0 && pending
  }, 'the approval')
  await runner.close()
  if (approval === undefined || asking === undefined) throw new Error('nothing is asked')
  return Object.assign(scene, { approval, run: asking.id })
}

function damage(dataDir: string, sql: string): void {
  using db = new DatabaseSync(join(dataDir, 'store.db'))
  expect(db.prepare(sql).run().changes).toBe(1)
}

/** As if the runner had been killed before its worker heard of it. */
async function decide(dataDir: string, approval: ApprovalRecord): Promise<void> {
  await using store = await openStore({ dir: dataDir, schema: runnerSchema, thread: false })
  const { approvals } = new Journal(store)
  const said = { allowed: true, reason: 'fine', decider: 'person', scope: 'once', decidedAt: Date.now() } as const
  await approvals.commit(approvals.decide(approval, said, undefined), {})
}

test.each([
  ['what it asked', `UPDATE approval SET meta = replace(meta, 'asks', 'axes')`],
  ['with what', `UPDATE approval SET body = CAST(replace(CAST(body AS TEXT), 'x', 'y') AS BLOB)`],
  ['the decision on it', `UPDATE decision SET meta = replace(meta, 'fine', 'fire')`],
])('%s: it is told so at once, and denied', { timeout }, async (what, sql) => {
  await using scene = await waiting()
  if (what.startsWith('the decision')) await decide(scene.dataDir, scene.approval)
  damage(scene.dataDir, sql)
  await using runner = await scene.life({ approvals: { person: () => expect.fail('asked again') } })
  const { outcome } = await runner.attach(scene.run)
  expect(await outcome).toMatchObject({
    status: 'completed',
    output: { allowed: false, decider: 'system', reason: 'its record is damaged' },
  })
  expect(runner.approvals.list()).toEqual([])
  expect(() => runner.approvals.get(scene.approval.id)).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
})

test('only that it waits: it is asked again, and answered by its id', { timeout }, async () => {
  await using scene = await waiting()
  damage(scene.dataDir, `UPDATE unsettled SET meta = replace(meta, '/', ':')`)
  await using runner = await scene.life({ approvals: { person: 'elsewhere' } })
  const { id } = scene.approval
  expect(runner.approvals.list({ state: 'pending' })).toMatchObject([{ id }])
  expect(await runner.approvals.answer(id, { allow: true, reason: 'go on' })).toMatchObject({ id })
  const { outcome } = await runner.attach(scene.run)
  expect(await outcome).toMatchObject({ status: 'completed', output: { allowed: true, reason: 'go on' } })
})

test('that its run is damaged, too, keeps no runner from starting', { timeout }, async () => {
  await using scene = await waiting()
  damage(scene.dataDir, `UPDATE run SET meta = replace(meta, 'asks', 'axes')`)
  await using runner = await scene.life()
  await expect(runner.attach(scene.run)).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
})
