/** A running runner's backup, and what a runner makes of it once it is restored. */
import { brokerSchema } from '@greenroom/broker'
import { connectOperator } from '@greenroom/bus'
import { restoreBackup } from '@greenroom/store'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createRunner, findOperatorDoor, type Completion } from '../src/index.ts'
import { crashRoles } from './fixtures/crash-roles.ts'
import { firstData, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'

test(
  'a runner is backed up while it works; what was open then is not done again after the restore',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    const at = (name: string): string => join(folder.path, name)
    const options = { worker, roles: crashRoles, admission: { maxExecuting: 2 }, quiet: true } as const
    const ids: Record<string, string> = {}
    {
      await using runner = await createRunner({ ...options, dataDir: at('data') })
      const before = runner.run({ role: 'echo', task: 'before' })
      await before.outcome
      const gated = runner.run({ role: 'gated', task: at('gate'), session: 's' })
      const again = runner.run({ role: 'again', task: at('gate') })
      await Promise.all([firstData(gated, 'pid'), firstData(again, 'pid')])
      const queued = await runner.start({ role: 'echo', task: 'queued' }, { idempotencyKey: 'k' })
      const scheduler = runner.scheduler({ parent: 'p' })
      const child = await scheduler.enqueue({ role: 'echo', task: 'child' })
      await until(() => runner.stats().queued === 2)
      // Recorded in order: then the child is recorded, too.
      await runner.sessions.describe('s', { title: 'gated' })
      const backup = await runner.backup(at('backup.db'))
      expect(backup).toEqual({ path: at('backup.db'), bytes: statSync(at('backup.db')).size })
      writeFileSync(at('gate'), '')
      for (const [name, run] of Object.entries({ before, gated, again, queued, child })) {
        ids[name] = run.id
        expect(await run.outcome).toMatchObject({ status: 'completed' })
      }
    }
    restoreBackup({ from: at('backup.db'), dir: at('restored'), schema: brokerSchema })
    await using runner = await createRunner({ ...options, dataDir: at('restored') })
    const told: Completion[] = []
    await using scheduler = runner.scheduler({ parent: 'p', onCompletion: (one) => void told.push(one) })
    const resumed = await runner.resume()
    expect(new Set(resumed.map(({ id }) => id))).toEqual(new Set([ids['gated'], ids['again'], ids['queued']]))
    const unknown = { status: 'failed', code: 'OUTCOME_UNKNOWN', retry: 'never', mayStillRun: true }
    for (const name of ['gated', 'again', 'queued', 'child'])
      expect(await (await runner.attach(ids[name] ?? '')).outcome).toMatchObject(unknown)
    expect(await (await runner.start({ role: 'echo', task: 'queued' }, { idempotencyKey: 'k' })).outcome).toMatchObject(
      unknown,
    )
    expect(await (await runner.attach(ids['before'] ?? '')).outcome).toMatchObject({
      status: 'completed',
      text: 'before',
    })
    await scheduler.drain()
    expect(told).toMatchObject([{ runId: ids['child'], outcome: unknown }])
    expect(runner.stats()).toMatchObject({ processes: 0, executing: 0, runs: [] })
    expect(await runner.sessions.messages('s')).toMatchObject([{ content: at('gate') }, { role: 'assistant' }])
    expect(await runner.run({ role: 'echo', task: 'after' }).outcome).toMatchObject({ status: 'completed' })
    expect(await runner.resume()).toEqual([])
  },
)

test('a backup goes where it may, and only of what is on a disk', async () => {
  using folder = temporaryFolder()
  const dataDir = join(folder.path, 'data')
  await using runner = await testRunner({ dataDir })
  writeFileSync(join(folder.path, 'note'), 'text')
  for (const path of [join(dataDir, 'b.db'), join(folder.path, 'note'), ''])
    await expect(runner.backup(path)).rejects.toMatchObject({ name: 'GreenroomError', code: 'BAD_OPTIONS' })
  await expect(runner.backup(join(folder.path, 'none', 'b.db'))).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await runner.close()
  await expect(runner.backup(join(folder.path, 'b.db'))).rejects.toMatchObject({ code: 'CLOSED' })
  await using fleeting = await testRunner()
  await expect(fleeting.backup(join(folder.path, 'b.db'))).rejects.toMatchObject({ code: 'MISSING_FEATURE' })
  expect(readdirSync(folder.path).toSorted()).toEqual(['data', 'note'])
})

test('whoever may read the data folder finds the operators\u2019 door of its runner, as long as that runs', async () => {
  using folder = temporaryFolder()
  const dataDir = join(folder.path, 'data')
  const path = join(dataDir, 'operator.json')
  {
    await using runner = await testRunner({ dataDir })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const door = findOperatorDoor(dataDir)
    if (door === undefined) return expect.fail('there is no door')
    await using operator = await connectOperator(door)
    const { bytes } = await operator.backup(join(folder.path, 'backup.db'))
    expect(bytes).toBeGreaterThan(0)
    expect(await operator.mailboxes()).toMatchObject([{ lifetime: 'named', state: 'attached' }])
    await runner.close()
  }
  expect(existsSync(path)).toBe(false)
  writeFileSync(path, '{"url":')
  expect(findOperatorDoor(dataDir)).toBeUndefined()
})
