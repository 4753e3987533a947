/** What is in the database when all runs have ended. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodePayload, systemClock, systemRandom } from '@greenroom/proto'
import { createMemoryStore, openStore, type Store } from '@greenroom/store'
import { expect, test } from 'vitest'
import { createMemorySessions, createRunner } from '../src/index.ts'
import { Journal, journalCollections } from '../src/journal.ts'
import { Transcript } from '../src/transcript.ts'
import { firstData, keepingLogger, roles, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'

/** The database of a runner that is closed. */
function reopen(dir: string): Promise<Store> {
  return openStore({ dir, schema: { version: 1, collections: ['run', 'attempt', 'entry', 'outcome'] } })
}

test('after each kind of end there are the run, its attempts with their ends, its entries, and one outcome', async () => {
  using folder = temporaryFolder()
  const ids: Record<string, string> = {}
  {
    await using runner = await testRunner({ dataDir: folder.path, cancelGraceMs: 200 })
    const completed = runner.run({ role: 'count', input: { count: 5, kind: 'entries' } })
    const failed = runner.run({ role: 'fail' })
    const early = runner.run({ role: 'echo', signal: AbortSignal.abort('early') })
    const starting = runner.run({ role: 'echo' })
    await until(() => starting.status().worker)
    void starting.cancel('while it starts')
    const cancelled = runner.run({ role: 'wait' })
    const lost = runner.run({ role: 'wait' })
    const [, pid] = await Promise.all([firstData(cancelled, 'pid'), firstData(lost, 'pid')])
    void cancelled.cancel('in its midst')
    process.kill(Number(pid), 'SIGKILL')
    const all = { completed, failed, early, starting, cancelled, lost }
    for (const [name, run] of Object.entries(all)) {
      await run.outcome
      ids[name] = run.id
    }
  }
  await using store = await reopen(folder.path)
  const found = Object.entries(ids).map(([name, id]) => {
    const attempts = store.scan('attempt', { prefix: `${id}/` }).map(({ meta }) => meta['end'])
    const entries = store.scan('entry', { prefix: `${id}/` }).map(({ key }) => Number(key.slice(-10)))
    const { body = new Uint8Array() } = store.get('outcome', id) ?? {}
    return [name, { isRun: store.get('run', id) !== undefined, attempts, entries, outcome: decodePayload(body) }]
  })
  const end = (how: string, lastSeq: number): object => ({
    how,
    lastSeq,
    at: expect.any(Number),
    ms: expect.any(Number),
  })
  expect(Object.fromEntries(found)).toEqual({
    completed: {
      isRun: true,
      attempts: [end('completed', 5)],
      entries: [1, 2, 3, 4, 5],
      outcome: { status: 'completed', output: 5, text: '' },
    },
    failed: {
      isRun: true,
      attempts: [end('failed', 0)],
      entries: [],
      outcome: { status: 'failed', code: 'MY_CODE', message: 'my words', retry: 'later' },
    },
    // Nothing was started: there is nothing to say but how it ended.
    early: { isRun: false, attempts: [], entries: [], outcome: { status: 'cancelled', reason: 'early' } },
    starting: {
      isRun: true,
      attempts: [end('unclaimed', 0)],
      entries: [],
      outcome: { status: 'cancelled', reason: 'while it starts' },
    },
    cancelled: {
      isRun: true,
      attempts: [end('cancelled', 2)],
      entries: [1, 2],
      outcome: { status: 'cancelled', reason: 'in its midst' },
    },
    lost: {
      isRun: true,
      attempts: [end('lost', 2)],
      entries: [1, 2],
      outcome: expect.objectContaining({ status: 'failed', code: 'WORKER_LOST' }),
    },
  })
})

test('a secret is in no file of the data folder and in no line of the log', async () => {
  using folder = temporaryFolder()
  const value = `s3cret-${crypto.randomUUID()}`
  const logger = keepingLogger()
  {
    await using runner = await createRunner({
      worker,
      roles: { reader: { executor: 'secret', secrets: ['TOKEN'] }, ...roles },
      secrets: { TOKEN: value },
      dataDir: folder.path,
      logger,
    })
    const outcome = await runner.run({ role: 'reader', task: 'OTHER' }).outcome
    expect(outcome).toMatchObject({ code: 'SECRET_UNDECLARED' })
    expect(JSON.stringify(outcome)).not.toContain(value)
  }
  for (const name of readdirSync(folder.path, { recursive: true, withFileTypes: true }))
    if (name.isFile()) expect(readFileSync(join(name.parentPath, name.name), 'latin1')).not.toContain(value)
  expect([...logger.lines, ...logger.warnings].join('\n')).not.toContain(value)
})

test('texts on their way to a run are kept as they were sent, in order, until it has an outcome', async () => {
  const store = createMemoryStore({ schema: { version: 1, collections: journalCollections } })
  const journal = new Journal(store)
  const texts = [
    { id: 't1', text: 'when you are done', mode: 'queue' },
    { id: 't2', text: 'now', mode: 'now' },
  ] as const
  for (const runId of ['r1', 'r2']) {
    const about = { role: 'r', session: 's', task: '', workspace: '/', startedAt: 0 }
    await journal.begin({ runId, ...about }, [])
    for (const [index, text] of texts.entries()) await journal.texts.keep(runId, { place: index + 1, ...text })
  }
  const kept = texts.map((text, index) => ({ ...text, place: index + 1 }))
  expect(journal.texts.of('r1')).toEqual(kept)
  await journal.finish({ runId: 'r1', epoch: 1 }, { status: 'completed', output: null, text: '' }, 0, [])
  expect(journal.texts.of('r1')).toEqual([])
  expect(journal.texts.of('r2')).toEqual(kept)
})

test('a text that came too late is the same one in every life, and takes the place of nothing that a later attempt says', async () => {
  const journal = new Journal(createMemoryStore({ schema: { version: 1, collections: journalCollections } }))
  const sessions = createMemorySessions()
  const about = { runId: 'r1', session: 's', journal, sessions, ownSessions: undefined, clock: systemClock }
  const texts = ['first', 'second'].map((text) => ({ id: systemRandom.id(), text }))
  await new Transcript(about).give(new Transcript(about).late(texts))
  // Its runner died before the outcome was recorded: the run is done, and tells more than there are texts.
  const said = [1, 2, 3].map((seq) => ({
    runId: 'r1',
    epoch: 1,
    seq,
    message: { role: 'assistant', content: `said ${seq}` } as const,
  }))
  await new Transcript(about).give([...said, ...new Transcript(about).late(texts)])
  const contents = (await sessions.messages('s')).map(({ content }) => content)
  expect(contents).toEqual(['first', 'second', 'said 1', 'said 2', 'said 3'])
})
