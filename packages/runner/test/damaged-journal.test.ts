/** What becomes of a runner's other runs when a record of one was damaged. */
import { openStore, type Operation } from '@greenroom/store'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { Journal, type AttemptRecord, type RunRecord } from '../src/journal.ts'
import { pruneJournal, type Completion } from '../src/index.ts'
import { runnerSchema } from '../src/runner-schema.ts'
import { keepingLogger, temporaryFolder, testRunner } from './fixtures/setup.ts'

const record = (runId: string, more: Partial<RunRecord> = {}): RunRecord => ({
  runId,
  role: 'echo',
  session: runId,
  task: runId,
  workspace: process.cwd(),
  startedAt: Date.now(),
  ...more,
})
const attempt: AttemptRecord = {
  address: 'worker.gone',
  incarnation: 'i',
  host: 'elsewhere',
  warm: false,
  startedAt: 0,
}
const completed = { status: 'completed', output: null, text: 'done' } as const

/** A journal as a life of the runner left it, and what damages it. */
async function journalAt(
  dir: string,
  write: (journal: Journal) => Promise<void>,
  damage: readonly string[],
): Promise<void> {
  {
    await using store = await openStore({ dir, schema: runnerSchema, thread: false })
    await write(new Journal(store))
  }
  using db = new DatabaseSync(join(dir, 'store.db'))
  for (const sql of damage) expect(db.prepare(sql).run().changes).toBe(1)
}

test('a damaged run is set aside and said, by resume and by its parent, and all others go on', async () => {
  using folder = temporaryFolder()
  const broken = ['record', 'shapeless', 'open', 'attempt', 'placeless', 'text']
  await journalAt(
    folder.path,
    async (journal) => {
      for (const runId of ['first', ...broken, 'last']) {
        await journal.begin(record(runId), [])
        await journal.texts.keep(runId, { place: 1, id: 't', text: 'more', mode: 'now' })
      }
      for (const runId of ['attempt', 'placeless']) await journal.attempt({ runId, epoch: 1 }, attempt)
      await journal.begin(record('child', { parent: 'p' }), [])
    },
    [
      `UPDATE run SET meta = '{"runId":' WHERE key = 'record'`,
      `UPDATE run SET meta = replace(meta, '"role"', '"rolf"') WHERE key = 'shapeless'`,
      `UPDATE open SET meta = '{' WHERE key = 'open'`,
      `UPDATE attempt SET meta = '{' WHERE key = 'attempt/000001'`,
      `UPDATE attempt SET meta = replace(meta, '"host"', '"hosp"') WHERE key = 'placeless/000001'`,
      `UPDATE text SET meta = '{' WHERE key = 'text/000001'`,
    ],
  )
  const logger = keepingLogger()
  await using runner = await testRunner({ dataDir: folder.path, logger })
  const told: Completion[] = []
  await using scheduler = runner.scheduler({ parent: 'p', onCompletion: (one) => void told.push(one) })
  const resumed = await runner.resume()
  expect(resumed.map(({ id }) => id).toSorted()).toEqual(['first', 'last'])
  for (const run of resumed) expect(await run.outcome).toMatchObject({ status: 'completed' })
  await scheduler.drain()
  expect(told).toMatchObject([{ runId: 'child', outcome: { status: 'completed' } }])
  for (const runId of broken) {
    expect(logger.warnings.filter((line) => line.includes(`"runId":"${runId}"`))).not.toEqual([])
    await expect(runner.attach(runId)).rejects.toMatchObject({ name: 'GreenroomError', code: 'STORE_DAMAGED' })
  }
  // They stay as they are: nobody knows what became of them.
  expect(await runner.resume()).toEqual([])
  await runner.close()
  using db = new DatabaseSync(join(folder.path, 'store.db'), { readOnly: true })
  expect(
    db
      .prepare('SELECT key FROM open ORDER BY key')
      .all()
      .map(({ key }) => key),
  ).toEqual(broken.toSorted())
})

test('a damaged end of a child keeps no other from being told, nor its parent from scheduling', async () => {
  using folder = temporaryFolder()
  await journalAt(
    folder.path,
    async (journal) => {
      for (const runId of ['a', 'body', 'meta', 'note', 'z']) {
        await journal.begin(record(runId, { parent: 'p' }), [])
        const note: Operation = journal.completions.note('p', { runId, session: runId, role: 'echo' }, 1)
        await journal.finish({ runId, epoch: 1 }, completed, 1, [note])
      }
    },
    [
      `UPDATE outcome SET body = CAST('{"status":"complexed"}' AS BLOB) WHERE key = 'body'`,
      `UPDATE outcome SET meta = '{' WHERE key = 'meta'`,
      `UPDATE completion SET meta = '{' WHERE key = 'p/note'`,
    ],
  )
  const logger = keepingLogger()
  await using runner = await testRunner({ dataDir: folder.path, logger })
  const told: string[] = []
  await using scheduler = runner.scheduler({ parent: 'p', onCompletion: ({ runId }) => void told.push(runId) })
  const run = await scheduler.enqueue({ role: 'echo', task: 'new' })
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  await scheduler.drain()
  expect(told.toSorted()).toEqual(['a', 'z', run.id].toSorted())
  for (const runId of ['body', 'meta', 'note'])
    expect(logger.warnings.filter((line) => line.includes(`"runId":"${runId}"`))).toHaveLength(1)
})

test('a damaged run that ended does not keep older ones from being forgotten', async () => {
  using folder = temporaryFolder()
  const ids = ['a', 'entry', 'outcome', 'record', 'z']
  await journalAt(
    folder.path,
    async (journal) => {
      for (const runId of ids) {
        await journal.begin(record(runId), [])
        await journal.attempt({ runId, epoch: 1 }, attempt)
        await journal.finish({ runId, epoch: 1 }, completed, 1, [])
      }
    },
    [
      `UPDATE attempt SET meta = '{' WHERE key = 'entry/000001'`,
      `UPDATE outcome SET meta = '{' WHERE key = 'outcome'`,
      `UPDATE run SET meta = '{' WHERE key = 'record'`,
    ],
  )
  await expect(pruneJournal(folder.path, { olderThanMs: 0 })).rejects.toMatchObject({
    code: 'STORE_DAMAGED',
    message: expect.stringMatching(/"outcome".*: outcome/),
  })
  using db = new DatabaseSync(join(folder.path, 'store.db'), { readOnly: true })
  expect(
    db
      .prepare('SELECT key FROM outcome ORDER BY key')
      .all()
      .map(({ key }) => key),
  ).toEqual(['outcome', 'record'])
})
