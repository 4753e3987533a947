/** What becomes of runs when the journal's disk fails, lies, or is full. */
import { createBroker, brokerSchema } from '@greenroom/broker'
import { createMemoryStore } from '@greenroom/store'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createMemorySessions } from '../src/index.ts'
import { MoodyDisk } from './fixtures/moody-disk.ts'
import { readAll, until } from './fixtures/setup.ts'

const full = { status: 'failed', code: 'STORAGE_FULL', retry: 'later' }
/** Longer than any pause between two tries. */
const longEnough = 500
/** A history that travels in two parts. */
const messages = Array.from({ length: 2 }, () => ({ role: 'user' as const, content: 'x'.repeat(700_000) }))

test.for([
  ['run', 'fails'],
  ['run', 'lies'],
  ['run', 'limbo'],
  ['attempt', 'fails'],
  ['attempt', 'lies'],
  ['attempt', 'full'],
  ['entry', 'fails'],
  ['entry', 'lies'],
  ['entry', 'full'],
  ['outcome', 'fails'],
  ['outcome', 'lies'],
  ['outcome', 'full'],
] as const)('a commit of %s that %s once does not end a run, and is not there twice', async ([collection, mood]) => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner()
  disk.moods[collection] = [mood]
  const run = await runner.start({ role: 'tell', task: 'it' }, { idempotencyKey: 'k' })
  expect(disk.keys('run')).toEqual([run.id])
  // Whoever has read all of it finds its outcome recorded.
  const read = readAll(run).then(() => disk.keys('outcome'))
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  expect(await read).toEqual([run.id])
  expect(disk.puts[collection]).toBeGreaterThan(1)
  expect(disk.keys('open')).toEqual([])
  expect(disk.keys('attempt')).toEqual([`${run.id}/000001`])
  expect(disk.keys('outcome')).toEqual([run.id])
  expect(disk.keys('entry')).toHaveLength(1)
  expect(await runner.sessions.messages(run.id)).toEqual([
    { role: 'user', content: 'it' },
    { role: 'assistant', content: 'did it' },
  ])
})

test('a run for which there is no room is refused at once, whatever it waits for; nothing of it is stored, and its key is free', async () => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner()
  disk.freeBytes = 0
  const spec = { role: 'echo', task: 'it' } as const
  const start = () => runner.start(spec, { idempotencyKey: 'k' })
  await expect(start()).rejects.toMatchObject({ name: 'GreenroomError', code: 'STORAGE_FULL', retry: 'later' })
  await expect(runner.start({ ...spec, delayMs: 600_000 })).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  const run = runner.run({ ...spec, delayMs: 600_000 })
  expect(await run.outcome).toMatchObject(full)
  for (const collection of ['run', 'open', 'start', 'outcome', 'session_message', 'attempt'])
    expect(disk.keys(collection)).toEqual([])
  expect(runner.stats()).toMatchObject({ runs: [], executing: 0, queued: 0 })
  disk.freeBytes = Infinity
  expect(await (await start()).outcome).toMatchObject({ status: 'completed' })
})

test('a child for which there is no room is told to its parent, and recorded with it', async () => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner()
  disk.freeBytes = 0
  const told: unknown[] = []
  await using scheduler = runner.scheduler({ parent: 'p', onCompletion: ({ outcome }) => void told.push(outcome) })
  const run = await scheduler.enqueue({ role: 'echo', task: 'it' })
  await scheduler.drain()
  expect(told).toMatchObject([full])
  expect(disk.keys('outcome')).toEqual([run.id])
  expect(disk.keys('open')).toEqual([])
})

test('a run that may be stored goes on when the disk has room again, and is durable before that is said', async () => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner()
  disk.moods['run'] = ['fails', 'full', 'full']
  disk.moods['attempt'] = ['full', 'full']
  let isDurable = false
  const starting = runner.start({ role: 'echo', task: 'it' }).finally(() => (isDurable = true))
  await until(() => (disk.puts['run'] ?? 0) >= 2)
  // Below the reserve, too: it may be there already.
  disk.freeBytes = 0
  expect(isDurable).toBe(false)
  expect(disk.keys('run')).toEqual([])
  const run = await starting
  expect(disk.keys('run')).toEqual([run.id])
  expect(await run.outcome).toMatchObject({ status: 'completed' })
})

test('whoever cancels does not wait for the disk, and no late record opens the run again', async () => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner()
  disk.moods['run'] = Array<'fails'>(100).fill('fails')
  const run = runner.run({ role: 'echo', task: 'it' })
  await until(() => disk.puts['run'] === 2)
  expect(await run.cancel('no more')).toEqual({ status: 'cancelled', reason: 'no more' })
  disk.moods['run'] = []
  await sleep(longEnough)
  expect(disk.keys('open')).toEqual([])
  expect(disk.keys('outcome')).toEqual([run.id])
})

test('a run that ends while its record is in doubt is not opened by it afterwards', async () => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner({
    worker: {
      launch: () => {
        throw new Error('no worker today')
      },
    },
  })
  disk.moods['run'] = ['fails']
  const run = runner.run({ role: 'echo', task: 'it' })
  expect(await run.outcome).toMatchObject({ code: 'WORKER_SPAWN_FAILED' })
  await sleep(longEnough)
  expect(disk.keys('open')).toEqual([])
  expect(disk.keys('outcome')).toEqual([run.id])
})

test('a disk that stays full ends a run when its time is over', async () => {
  await using disk = new MoodyDisk()
  const runner = await disk.runner()
  disk.moods['attempt'] = Array<'full'>(5).fill('full')
  const run = runner.run({ role: 'echo', task: 'it', limits: { totalMs: 500 } })
  expect(await run.outcome).toMatchObject(full)
  expect(disk.keys('outcome')).toEqual([run.id])
  expect(disk.keys('open')).toEqual([])
})

test('a broker whose disk is full holds a run up, and does not end it', async () => {
  await using disk = new MoodyDisk()
  let freeBytes = Infinity
  await using broker = await createBroker({
    store: createMemoryStore({ schema: brokerSchema, freeBytes: () => freeBytes }),
  })
  disk.broker = broker.bus
  const runner = await disk.runner()
  freeBytes = 0
  const run = await runner.start({ role: 'echo', messages })
  await until(() => disk.keys('attempt').length === 1)
  await sleep(longEnough)
  expect(run.status()).toMatchObject({ phase: 'starting' })
  freeBytes = Infinity
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 2 })
})

test('a mailbox that has no room for the next part of a history holds a run up, and does not end it', async () => {
  await using disk = new MoodyDisk()
  const store = createMemoryStore({ schema: brokerSchema })
  await using broker = await createBroker({ store, limits: { mailboxBytes: 1_000_000 } })
  disk.broker = broker.bus
  const runner = await disk.runner()
  expect(await runner.run({ role: 'echo', messages }).outcome).toMatchObject({ status: 'completed', output: 2 })
})

test('a session store of one\u2019s own hears nothing of a run that was refused, and of one that was not, each word once', async () => {
  await using disk = new MoodyDisk()
  const sessions = createMemorySessions()
  const runner = await disk.runner({ sessions })
  const start = () => runner.start({ role: 'tell', session: 's', task: 'it' })
  disk.freeBytes = 0
  await expect(start()).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  expect(await sessions.messages('s')).toEqual([])
  disk.freeBytes = Infinity
  disk.moods['run'] = ['lies']
  expect(await (await start()).outcome).toMatchObject({ status: 'completed' })
  expect(await sessions.messages('s')).toEqual([
    { role: 'user', content: 'it' },
    { role: 'assistant', content: 'did it' },
  ])
})

test('a session store of one\u2019s own is told what a run was asked that ended while its record was in doubt, and is there', async () => {
  await using disk = new MoodyDisk()
  const sessions = createMemorySessions()
  const runner = await disk.runner({ sessions })
  disk.moods['run'] = ['lies', ...Array<'fails'>(100).fill('fails')]
  const run = runner.run({ role: 'echo', session: 's', task: 'it' })
  await until(() => disk.puts['run'] === 2)
  expect(await run.cancel('no more')).toEqual({ status: 'cancelled', reason: 'no more' })
  expect(disk.keys('outcome')).toEqual([run.id])
  expect(await sessions.messages('s')).toEqual([{ role: 'user', content: 'it' }])
})

test('what a crash kept from a session store of one\u2019s own the next life tells it', async () => {
  await using disk = new MoodyDisk()
  const sessions = createMemorySessions()
  const deaf = { ...sessions, append: () => new Promise<never>(() => undefined) }
  const first = await disk.runner({ sessions: deaf })
  const messages = [{ role: 'user' as const, content: 'hear' }]
  const { id } = await first.start({ role: 'tell', session: 's', messages, task: 'it' })
  const crashed = disk.store?.powerCut()
  await first.close()
  const second = await disk.runner({ sessions, ...(crashed && { openStore: () => crashed }) })
  const [run] = await second.resume()
  expect(run?.id).toBe(id)
  expect(await run?.outcome).toMatchObject({ status: 'completed' })
  expect((await sessions.messages('s')).map(({ content }) => content)).toEqual(['hear', 'it', 'did it'])
})

test('a runner that cannot even note its name says so, and takes one failure', async () => {
  await using disk = new MoodyDisk()
  disk.moods['runner'] = ['fails']
  await disk.runner()
  expect(disk.keys('runner')).toEqual(['self'])
  await using full = new MoodyDisk()
  full.moods['runner'] = Array<'full'>(20).fill('full')
  await expect(full.runner()).rejects.toMatchObject({ name: 'GreenroomError', code: 'STORAGE_FULL' })
})
