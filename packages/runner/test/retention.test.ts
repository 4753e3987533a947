/** What leaves the journal, and what stays. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createManualClock } from '@greenroom/bus/testing'
import { createMemoryStore } from '@greenroom/store'
import { expect, test } from 'vitest'
import { Journal, journalCollections, type RunRecord } from '../src/journal.ts'
import { pruneJournal } from '../src/index.ts'
import { entryOperation } from '../src/journal.ts'
import { Retention } from '../src/retention.ts'
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
const completed = { status: 'completed', output: null, text: '' } as const

test('runs leave when their time is over, page by page, but for open ones and those whose parent was not told', async () => {
  const clock = createManualClock()
  const store = createMemoryStore({ schema: { version: 1, collections: journalCollections } })
  const journal = new Journal(store)
  const start = clock.now()
  const end = async (runId: string, at: number, more: Partial<RunRecord> = {}): Promise<void> => {
    await journal.begin(record(runId, more), [], { key: `key-${runId}`, digest: 'd' })
    await journal.entries(
      [1, 2].map((seq) => entryOperation({ runId, epoch: 1 }, seq, { type: 'data', name: 'n', data: seq })),
    )
    const { parent } = more
    const told = { runId, session: 's', role: 'r' }
    await journal.finish(
      { runId, epoch: 1 },
      completed,
      at,
      parent === undefined ? [] : [journal.completion(parent, told, at)],
    )
    if (runId === 'told') await journal.delivered('p', told, at)
  }
  for (let n = 0; n < 150; n += 1) await end(`old-${n}`, start)
  await end('untold', start, { parent: 'p' })
  await end('told', start, { parent: 'p' })
  await end('young', start + 5_000)
  await journal.begin(record('open'), [])
  const warnings: unknown[] = []
  using _retention = new Retention(journal, clock, 10_000, (error) => warnings.push(error))
  await clock.settle()
  expect(store.count('run')).toBe(154)

  await clock.advance(3_600_000 - 1)
  expect(store.count('run')).toBe(154)
  await clock.advance(1)
  await clock.settle()
  expect(store.scan('run').map(({ key }) => key)).toEqual(['open', 'untold'])
  expect(store.scan('outcome').map(({ key }) => key)).toEqual(['untold'])
  expect(store.count('entry')).toBe(2)
  expect(store.scan('start').map(({ key }) => key)).toEqual(['key-untold'])
  expect(store.scan('completion').map(({ key }) => key)).toEqual(['p/untold'])
  expect(journal.undelivered('p', () => expect.fail('nothing is damaged'))).toMatchObject([{ runId: 'untold' }])
  expect(warnings).toEqual([])
})

test('a data folder is pruned while no runner has it; its transcripts stay, and what is left can be attached to', async () => {
  using folder = temporaryFolder()
  let ids: string[] = []
  {
    await using runner = await testRunner({ dataDir: folder.path })
    const runs = [1, 2].map((n) => runner.run({ role: 'echo', task: `task ${n}`, session: 's' }))
    for (const run of runs) await run.outcome
    ids = runs.map(({ id }) => id)
    await expect(pruneJournal(folder.path, { olderThanMs: 0 })).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
  }
  expect(await pruneJournal(folder.path, { olderThanMs: 60_000 })).toEqual({ runs: 0 })
  {
    await using runner = await testRunner({ dataDir: folder.path })
    expect(await (await runner.attach(ids[0] ?? '')).outcome).toMatchObject({ status: 'completed' })
  }
  expect(await pruneJournal(folder.path, { olderThanMs: 0 })).toEqual({ runs: 2 })
  await using runner = await testRunner({ dataDir: folder.path })
  await expect(runner.attach(ids[0] ?? '')).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
  const texts = (await runner.sessions.messages('s')).map(({ content }) => content)
  expect(new Set(texts)).toEqual(new Set(['task 1', 'said: task 1', 'task 2', 'said: task 2']))
  await expect(pruneJournal(folder.path, { olderThanMs: -1 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  const none = join(folder.path, 'none')
  await expect(pruneJournal(none, { olderThanMs: 0 })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  expect(existsSync(none)).toBe(false)
})
