/** What leaves the journal, and what stays. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createManualClock } from '@greenroom/bus/testing'
import { createMemoryStore } from '@greenroom/store'
import { expect, test } from 'vitest'
import { Journal, journalCollections, type RunRecord } from '../src/journal.ts'
import { pruneJournal } from '../src/index.ts'
import { entryOperation } from '../src/entry-journal.ts'
import { Retention } from '../src/retention.ts'
import { sessionCollections, StoreSessions } from '../src/store-sessions.ts'
import { Scene } from './fixtures/left-over.ts'
import { temporaryFolder, testRunner } from './fixtures/setup.ts'

const record = (runId: string, more: Partial<RunRecord> = {}): RunRecord => ({
  runId,
  role: 'r',
  session: 's',
  task: '',
  workspace: '/',
  startedAt: 0,
  ...more,
})
const attempt = { address: 'w', incarnation: 'i', host: 'h', warm: false, startedAt: 0 }
const completed = { status: 'completed', output: null, text: '' } as const

test('runs leave when their time is over, page by page, but for open ones and those whose parent was not told', async () => {
  const clock = createManualClock()
  const store = createMemoryStore({ schema: { version: 1, collections: journalCollections } })
  const journal = new Journal(store)
  const start = clock.now()
  const end = async (runId: string, at: number, more: Partial<RunRecord> = {}): Promise<void> => {
    await journal.begin(record(runId, more), [], { key: `key-${runId}`, digest: 'd' })
    await journal.attempt({ runId, epoch: 1 }, attempt)
    await journal.entries.put(
      [1, 2].map((seq) => entryOperation({ runId, epoch: 1 }, seq, { type: 'data', name: 'n', data: seq })),
    )
    const { parent } = more
    const told = { runId, session: 's', role: 'r' }
    await journal.finish(
      { runId, epoch: 1 },
      completed,
      at,
      parent === undefined ? [] : [journal.completions.note(parent, told, at)],
    )
    if (runId === 'told') await journal.completions.delivered('p', told, at)
    // What came while its outcome was recorded may stay behind it.
    await journal.texts.keep(runId, { place: 1, id: 'i', text: 'late', mode: 'now' })
    await store.commit([{ put: 'terminal', key: `${runId}/000001`, meta: {} }])
  }
  for (let n = 0; n < 150; n += 1) await end(`old-${n}`, start)
  await end('untold', start, { parent: 'p' })
  await end('told', start, { parent: 'p' })
  await end('young', start + 5_000)
  await journal.begin(record('open'), [])
  const warnings: unknown[] = []
  using _retention = new Retention({ journal }, clock, 10_000, (error) => warnings.push(error))
  await clock.settle()
  expect(store.count('run')).toBe(154)

  await clock.advance(3_600_000 - 1)
  expect(store.count('run')).toBe(154)
  await clock.advance(1)
  await clock.settle()
  expect(store.scan('run').map(({ key }) => key)).toEqual(['open', 'untold'])
  expect(store.scan('outcome').map(({ key }) => key)).toEqual(['untold'])
  expect(store.count('entry')).toBe(2)
  for (const collection of ['attempt', 'text', 'terminal'])
    expect(store.scan(collection).map(({ key }) => key)).toEqual(['untold/000001'])
  expect(store.scan('start').map(({ key }) => key)).toEqual(['key-untold'])
  expect(store.scan('completion').map(({ key }) => key)).toEqual(['p/untold'])
  expect(journal.completions.undelivered('p', () => expect.fail('nothing is damaged'))).toMatchObject([
    { runId: 'untold' },
  ])
  expect(warnings).toEqual([])
})

test('the session that is named as its run is forgotten with it, unless anybody else uses it', async () => {
  const clock = createManualClock()
  const store = createMemoryStore({
    schema: { version: 1, collections: [...journalCollections, ...sessionCollections] },
  })
  const journal = new Journal(store)
  const sessions = new StoreSessions(store)
  const start = clock.now()
  const say = (runId: string, seq: number, content: string) => ({
    runId,
    epoch: 1,
    seq,
    message: { role: 'user' as const, content },
  })
  const end = async (runId: string, at: number, session = runId): Promise<void> => {
    const told = sessions.operations(session, [say(runId, 0, `task of ${runId}`)])
    await journal.begin(record(runId, { session }), told)
    await journal.finish({ runId, epoch: 1 }, completed, at, [])
  }
  // More than one transaction removes.
  await sessions.append(
    'own',
    Array.from({ length: 1_500 }, (_, seq) => say('own', seq + 1, `text ${seq}`)),
  )
  for (const runId of ['own', 'own-2', 'continued', 'waited-for', 'described', 'spoken-to']) await end(runId, start)
  await end('given', start, 'a-conversation')
  await end('continuer', start + 20_000, 'continued')
  await end('young', start + 3_600_000)
  // It said nothing in the session of another.
  await journal.begin(record('guest', { session: 'young' }), [])
  await journal.finish({ runId: 'guest', epoch: 1 }, completed, start, [])
  // It has said nothing in it so far.
  await journal.begin(record('waiter', { session: 'waited-for' }), [])
  await sessions.describe('described', { title: 'to be kept' })
  await sessions.append('spoken-to', [say('a-stranger', 0, 'hello')])
  const kept = ['continued', 'waited-for', 'described', 'spoken-to', 'young', 'a-conversation']
  const before = await Promise.all(kept.map((session) => sessions.messages(session)))
  expect(before.map((messages) => messages.length)).toEqual([2, 1, 1, 2, 1, 1])

  const warnings: unknown[] = []
  using _retention = new Retention({ journal, ownSessions: sessions }, clock, 10_000, (error) => warnings.push(error))
  await clock.advance(3_600_000)
  await clock.settle()
  expect(store.scan('run').map(({ key }) => key)).toEqual(['waiter', 'young'])
  expect(await Promise.all(kept.map((session) => sessions.messages(session)))).toEqual(before)
  for (const collection of sessionCollections.slice(1))
    expect(store.scan(collection).filter(({ key }) => key.startsWith('own'))).toEqual([])
  expect(await sessions.get('own')).toBeUndefined()
  expect(warnings).toEqual([])
})

test('a runner forgets what its retentionMs says, and without one nothing', async () => {
  await using scene = new Scene()
  const clock = createManualClock()
  const first = await scene.life({ clock })
  const { id, outcome } = await first.start({ role: 'work', task: 'it' })
  await outcome
  await clock.advance(10 * 3_600_000)
  expect(await (await first.attach(id)).outcome).toMatchObject({ status: 'completed' })
  await first.close()
  const second = await scene.life({ clock, retentionMs: 11 * 3_600_000 })
  await clock.advance(3_600_000)
  expect(await (await second.attach(id)).outcome).toMatchObject({ status: 'completed' })
  await clock.advance(3_600_000)
  await expect(second.attach(id)).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
  expect(await second.sessions.messages(id)).toEqual([])
})

test('a data folder is pruned while no runner has it; named sessions stay, and what is left can be attached to', async () => {
  using folder = temporaryFolder()
  let ids: string[] = []
  {
    await using runner = await testRunner({ dataDir: folder.path })
    const runs = [1, 2].map((n) => runner.run({ role: 'echo', task: `task ${n}`, session: 's' }))
    const alone = runner.run({ role: 'echo', task: 'alone' })
    for (const run of [...runs, alone]) await run.outcome
    ids = [...runs, alone].map(({ id }) => id)
    await expect(pruneJournal(folder.path, { olderThanMs: 0 })).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
  }
  expect(await pruneJournal(folder.path, { olderThanMs: 60_000 })).toEqual({ runs: 0 })
  {
    await using runner = await testRunner({ dataDir: folder.path })
    expect(await (await runner.attach(ids[0] ?? '')).outcome).toMatchObject({ status: 'completed' })
  }
  expect(await pruneJournal(folder.path, { olderThanMs: 0 })).toEqual({ runs: 3 })
  await using runner = await testRunner({ dataDir: folder.path })
  await expect(runner.attach(ids[0] ?? '')).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
  const texts = (await runner.sessions.messages('s')).map(({ content }) => content)
  expect(new Set(texts)).toEqual(new Set(['task 1', 'said: task 1', 'task 2', 'said: task 2']))
  expect(await runner.sessions.get(ids.at(-1) ?? '')).toBeUndefined()
  await expect(pruneJournal(folder.path, { olderThanMs: -1 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  const none = join(folder.path, 'none')
  await expect(pruneJournal(none, { olderThanMs: 0 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  expect(existsSync(none)).toBe(false)
})
