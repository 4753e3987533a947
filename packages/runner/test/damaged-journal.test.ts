/** What becomes of a runner's other runs when a record of one was damaged. */
import { openStore, type Operation } from '@greenroom/store'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { entryOperation } from '../src/entry-journal.ts'
import { Journal, type AttemptRecord, type RunRecord } from '../src/journal.ts'
import { pruneJournal, type Approval, type Completion, type Grant } from '../src/index.ts'
import { runnerSchema } from '../src/runner-schema.ts'
import { keepingLogger, readAll, temporaryFolder, testRunner } from './fixtures/setup.ts'

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
  const broken = ['record', 'shapeless', 'altered', 'open', 'attempt', 'placeless', 'text']
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
      `UPDATE run SET meta = replace(meta, '"task":"altered"', '"task":"alterex"') WHERE key = 'altered'`,
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

test('what is damaged beyond setting aside keeps a runner from being made, with a code that users know', async () => {
  for (const damage of [`UPDATE mailbox SET meta = '{'`, `UPDATE runner SET meta = '{'`]) {
    using folder = temporaryFolder()
    {
      await using runner = await testRunner({ dataDir: folder.path })
      await runner.run({ role: 'echo', task: 'x' }).outcome
    }
    using db = new DatabaseSync(join(folder.path, 'store.db'))
    expect(db.prepare(damage).run().changes).toBeGreaterThan(0)
    db.close()
    await expect(testRunner({ dataDir: folder.path })).rejects.toMatchObject({
      name: 'GreenroomError',
      code: 'STORE_DAMAGED',
    })
  }
})

test('a damaged end of a child keeps no other from being told, nor its parent from scheduling', async () => {
  using folder = temporaryFolder()
  await journalAt(
    folder.path,
    async (journal) => {
      for (const runId of ['a', 'altered', 'body', 'meta', 'note', 'z']) {
        await journal.begin(record(runId, { parent: 'p' }), [])
        const note: Operation = journal.completions.note('p', { runId, session: runId, role: 'echo' }, 1)
        await journal.finish({ runId, epoch: 1 }, completed, 1, [note])
      }
    },
    [
      `UPDATE outcome SET body = CAST(replace(CAST(body AS TEXT), 'done', 'dune') AS BLOB) WHERE key = 'altered'`,
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
  for (const runId of ['altered', 'body', 'meta', 'note'])
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

test('nothing that is not what was written is given to whoever reads a run or a session', async () => {
  using folder = temporaryFolder()
  const dataDir = folder.path
  let runId = ''
  {
    await using runner = await testRunner({ dataDir })
    const run = runner.run({ role: 'echo', task: 'a word of some length' })
    runId = run.id
    expect(await run.outcome).toMatchObject({ status: 'completed' })
  }
  {
    using db = new DatabaseSync(join(dataDir, 'store.db'))
    for (const table of ['entry', 'session_message'])
      db.prepare(`UPDATE ${table} SET body = CAST(replace(CAST(body AS TEXT), 'word', 'ward') AS BLOB)`).run()
  }
  await using runner = await testRunner({ dataDir })
  const again = await runner.attach(runId)
  const damaged = { name: 'GreenroomError', code: 'STORE_DAMAGED' }
  await expect(readAll(again)).rejects.toMatchObject({ ...damaged, message: expect.stringMatching(/"entry".*: /) })
  await expect(runner.sessions.messages(runId)).rejects.toMatchObject(damaged)
  expect(await again.outcome).toMatchObject({ status: 'completed', text: 'a word of some length' })
})

test('a damaged approval allows nothing, and keeps no runner from starting', async () => {
  using folder = temporaryFolder()
  const approval = (id: string): Approval => ({
    id,
    runId: `of-${id}`,
    epoch: 1,
    path: [`of-${id}`],
    role: 'echo',
    session: 's',
    workspace: '/',
    tool: 'git',
    permission: 'execute',
    resource: '/repo',
    input: { args: [id] },
    digest: 'd',
    afterSeq: 0,
    createdAt: 1,
    deadline: null,
  })
  const allowed = { allowed: true, reason: '', decider: 'person', scope: 'session', decidedAt: 1 } as const
  const ids = ['approval', 'decision', 'input', 'unsettled', 'whole']
  await journalAt(
    folder.path,
    async ({ approvals }) => {
      for (const id of ids) await approvals.request(approval(id), {})
      const { role, session, tool, permission, resource } = approval('g')
      const key = { role, session, tool, permission, resource }
      const grant: Grant = {
        id: 'g',
        scope: 'session',
        of: 's',
        ...key,
        approval: 'decision',
        decider: 'person',
        grantedAt: 1,
      }
      await approvals.commit(approvals.decide(approval('decision'), allowed, grant), {})
    },
    [
      `UPDATE approval SET meta = replace(meta, '/repo', '/rope') WHERE key LIKE '%/approval'`,
      `UPDATE approval SET body = CAST(replace(CAST(body AS TEXT), 'input', 'inpux') AS BLOB) WHERE key LIKE '%/input'`,
      `UPDATE decision SET meta = replace(meta, 'person', 'policy')`,
      `UPDATE unsettled SET meta = replace(meta, '/', ':') WHERE key = 'unsettled'`,
      `UPDATE "grant" SET meta = replace(meta, '/repo', '/')`,
    ],
  )
  const logger = keepingLogger()
  await using runner = await testRunner({ dataDir: folder.path, logger, approvals: { person: 'elsewhere' } })
  expect(runner.approvals.grants()).toEqual([])
  expect(runner.approvals.list().map(({ id }) => id)).not.toContain('input')
  for (const id of ['approval', 'decision', 'input'])
    expect(logger.warnings.filter((line) => line.includes(`"id":"${id}"`))).toHaveLength(1)
  for (const id of ['unsettled', 'whole'])
    expect(runner.approvals.get(id)).toMatchObject({ decision: { allowed: false, reason: 'its runner ended' } })
  const run = runner.run({ role: 'echo', task: 'all others go on' })
  expect(await run.outcome).toMatchObject({ status: 'completed' })
})

test.each([
  ['place', `UPDATE entry SET meta = replace(meta, 'message', 'massage') WHERE key LIKE`],
  ['text', `UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), 'word', 'ward') AS BLOB) WHERE key LIKE`],
])('an open run with an entry whose %s is damaged is set aside, and its runner goes on', async (_, damage) => {
  using folder = temporaryFolder()
  const message = { role: 'assistant', content: 'word' } as const
  await journalAt(
    folder.path,
    async (journal) => {
      await journal.begin(record('r'), [])
      await journal.attempt({ runId: 'r', epoch: 1 }, { ...attempt, detached: { limits: {} } })
      await journal.texts.keep('r', { place: 1, id: 't', text: 'more', mode: 'now' })
      await journal.entries.put([entryOperation({ runId: 'r', epoch: 1 }, 1, { type: 'message', message })])
      await journal.begin(record('settled'), [])
      await journal.attempt({ runId: 'settled', epoch: 1 }, attempt)
      await journal.texts.keep('settled', { place: 1, id: 't', text: 'more', mode: 'now' })
      await journal.entries.put([entryOperation({ runId: 'settled', epoch: 1 }, 1, { type: 'message', message })])
    },
    ['r', 'settled'].map((runId) => `${damage} '${runId}/%'`),
  )
  const logger = keepingLogger()
  await using runner = await testRunner({ dataDir: folder.path, logger, partitionGraceMs: 100 })
  const runs = await runner.resume()
  for (const run of runs) expect(await run.outcome).toMatchObject({ status: 'failed', code: 'STORE_DAMAGED' })
  for (const id of ['r', 'settled'])
    expect(logger.warnings.filter((line) => line.includes(`"runId":"${id}"`))).not.toEqual([])
  expect(await runner.run({ role: 'echo', task: 'all others go on' }).outcome).toMatchObject({ status: 'completed' })
  await runner.close()
  using db = new DatabaseSync(join(folder.path, 'store.db'))
  expect(db.prepare('SELECT key FROM open ORDER BY key').all()).toMatchObject([{ key: 'r' }, { key: 'settled' }])
})
