/** Runs that go on without their runner. */
import { encodeMessage, type Peer, type PeerOptions, type ReadEvent } from '@greenroom/proto'
import { StoreError } from '@greenroom/store'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createMemorySessions } from '../src/index.ts'
import { outputOf } from '../src/platform/detached-output.ts'
import { nextTurn } from '../src/platform/turn.ts'
import { processStamp } from '../src/platform/process-stamp.ts'
import { detachedRoles } from './fixtures/detached-roles.ts'
import { detachedStage as stage } from './fixtures/detached-stage.ts'
import { dead, Scene } from './fixtures/left-over.ts'
import { isAlive, readAll, temporaryFolder, testRunner, until } from './fixtures/setup.ts'

const places = (events: readonly ReadEvent[]): string[] =>
  events.map((event) =>
    event.type === 'skipped' ? `skipped ${event.first}` : `${event.epoch}/${event.seq} ${event.type}`,
  )
const entries = (count: number): string[] => Array.from({ length: count }, (_, n) => `1/${n + 1} data`)

test('they go on when their runner is killed, and the next life takes them over: each entry once', async () => {
  await using scene = await stage()
  const [count, gated] = await scene.killed(
    { role: 'count', input: { count: 60, pauseMs: 20 } },
    { role: 'gated', task: scene.at('gate') },
  )
  await using runner = await scene.life()
  const runs = await Promise.all([count, gated].map((one) => runner.attach(one?.id ?? '')))
  const read = Promise.all(runs.map(readAll))
  await until(() => runs.every((run) => run.status().worker !== undefined), 'taking over')
  expect(runs.map((run) => run.status().worker?.pid)).toEqual([count?.pid, gated?.pid])
  expect(runner.stats()).toMatchObject({ executing: 2, processes: 2 })
  writeFileSync(scene.at('gate'), '')
  expect(await Promise.all(runs.map((run) => run.outcome))).toMatchObject([
    { status: 'completed', output: 60 },
    { status: 'completed', output: 1 },
  ])
  const [counted = [], waited = []] = await read
  expect(places(counted)).toEqual(entries(30))
  expect(places(waited)).toEqual(['1/1 message', '1/2 data', '1/3 message'])
  expect(await runner.sessions.messages(gated?.id ?? '')).toMatchObject([
    { role: 'user' },
    { content: `waiting for ${scene.at('gate')}` },
    { content: 'done' },
  ])
  await until(() => ![count, gated].some((one) => isAlive(one?.pid ?? 0)), 'the end of the workers')
  expect(runner.stats()).toMatchObject({ executing: 0, runs: [] })
})

test('what they did while nobody was there waits for whoever comes, and holds nobody up meanwhile', async () => {
  await using scene = await stage()
  const [count] = await scene.killed({
    role: 'count',
    input: { count: 600, kind: 'entries', bytes: 3_000, pauseMs: 1 },
  })
  await until(() => !isAlive(count?.pid ?? 0), 'the end of the worker')
  await using runner = await scene.life()
  // Not resumed: its entries are moved out of the way of others.
  expect(await runner.run({ role: 'gated', task: '/' }).outcome).toMatchObject({ status: 'completed' })
  await until(() => scene.broker.stats().messages === 0, 'an empty mailbox')
  const run = await runner.attach(count?.id ?? '')
  expect(places(await readAll(run))).toEqual(entries(600))
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 600 })
})

test('one that is taken over says that it runs as soon as it is there', async () => {
  await using scene = await stage()
  await scene.killed({ role: 'wait' })
  await using runner = await scene.life()
  const [run] = await runner.resume()
  expect(run?.status().phase).toBe('running')
  expect(runner.stats().runs).toMatchObject([{ phase: 'running' }])
  await run?.cancel()
})

test('the runner that takes one over steers it, and cancels it', async () => {
  await using scene = await stage()
  const [steered, waiting] = await scene.killed({ role: 'steered' }, { role: 'wait' })
  await using runner = await scene.life()
  const [one, other] = await runner.resume()
  if (one === undefined || other === undefined) throw new Error('not resumed')
  const [listening, stuck] = one.id === steered?.id ? [one, other] : [other, one]
  await until(() => [listening, stuck].every((run) => run.status().worker !== undefined), 'taking over')
  expect(await listening.send('hello')).toBe('delivered')
  expect(await listening.outcome).toMatchObject({ status: 'completed', text: 'hello' })
  expect(await stuck.cancel('enough')).toMatchObject({ status: 'cancelled', reason: 'enough' })
  await until(() => !isAlive(waiting?.pid ?? 0), 'the end of the worker')
})

test('closing a runner leaves them, and tells who waits that they go on', async () => {
  await using scene = await stage()
  const first = await scene.life()
  const run = await first.start({ role: 'gated', task: scene.at('gate') })
  const plain = first.run({ role: 'gated', task: scene.at('gate'), detached: false })
  await until(() => run.status().events === 2 && plain.status().events === 2, 'the beginning')
  const { pid = 0 } = run.status().worker ?? {}
  await first.close()
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'CLOSED', mayStillRun: true })
  expect(await plain.outcome).toMatchObject({ status: 'cancelled' })
  expect(isAlive(pid)).toBe(true)
  writeFileSync(scene.at('gate'), '')
  await using second = await scene.life()
  const [again] = await second.resume()
  expect(again?.id).toBe(run.id)
  expect(await again?.outcome).toMatchObject({ status: 'completed', output: 1 })
  await until(() => !isAlive(pid), 'the end of the worker')
})

test('a text that was queued is not lost with its runner: taken, or never asked for, it is in the transcript once', async () => {
  await using scene = await stage()
  const [steered, gated] = await scene.killed(
    { role: 'steered', task: 'two, late', texts: ['first', 'second'] },
    { role: 'gated', task: scene.at('gate'), texts: ['unheard'] },
  )
  const second = await scene.life()
  const run = await second.attach(gated?.id ?? '')
  await until(() => run.status().worker !== undefined, 'taking over')
  expect(await run.send('unheard too')).toBe('queued')
  await second.close()
  await expect(run.send('much later')).rejects.toMatchObject({ code: 'CLOSED' })
  writeFileSync(scene.at('gate'), '')
  await using third = await scene.life()
  for (const one of await third.resume()) await one.outcome
  const said = async (id = ''): Promise<unknown[]> =>
    (await third.sessions.messages(id)).flatMap(({ role, content }) => (role === 'user' ? [content] : []))
  expect(await said(gated?.id)).toEqual([scene.at('gate'), 'unheard', 'unheard too'])
  expect(await said(steered?.id)).toEqual(['two, late', 'first', 'second'])
})

test('one that is killed while nobody is there was lost, with what it said', async () => {
  await using scene = await stage()
  const [gated] = await scene.killed({ role: 'gated', task: scene.at('gate') })
  process.kill(gated?.pid ?? 0, 'SIGKILL')
  await using runner = await scene.life()
  const run = await runner.attach(gated?.id ?? '')
  expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: false })
  expect(places(await readAll(run))).toEqual(['1/1 message', '1/2 data'])
})

test('the worker keeps the total time while nobody is there', async () => {
  await using scene = await stage()
  const [gated] = await scene.killed({ role: 'gated', task: scene.at('gate'), limits: { totalMs: 1_000 } })
  await until(() => !isAlive(gated?.pid ?? 0), 'the end of the worker')
  await using runner = await scene.life()
  expect(await (await runner.attach(gated?.id ?? '')).outcome).toMatchObject({ status: 'timeout', which: 'total' })
})

test('what a worker writes goes to a file, is in the log of its run, and is removed when it ended in order', async () => {
  await using scene = await stage()
  await using runner = await scene.life()
  const run = runner.run({ role: 'noisy', detached: true })
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  await until(() => run.workerLog().length === 2, 'the lines')
  expect(run.workerLog()).toEqual(['to stdout', 'to stderr'])
  await until(() => readdirSync(join(scene.dataDir, 'detached')).length === 0, 'the end of the file')
})

test('what a worker writes is in the log of its run from its beginning on, also in the life that took it over', async () => {
  await using scene = await stage()
  const [left] = await scene.killed({ role: 'scribe', task: scene.at('gate') })
  await using runner = await scene.life()
  const run = await runner.attach(left?.id ?? '')
  await until(() => run.workerLog().length === 1, 'what it wrote before')
  writeFileSync(scene.at('gate'), '')
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  await until(() => run.workerLog().length === 2, 'what it wrote since')
  expect(run.workerLog()).toEqual(['begun', 'over'])
})

test('what a worker wrote stays for a week when nobody saw it end', async () => {
  using folder = temporaryFolder()
  const path = (name: string): string => outputOf(folder.path, name)
  const day = 86_400
  const now = Math.floor(Date.now() / 1_000)
  for (const [name, days] of [
    ['older', 7.1],
    ['old', 6.9],
    ['young', 0],
  ] as const) {
    writeFileSync(path(name), 'said')
    utimesSync(path(name), now, now - days * day)
  }
  await using _runner = await testRunner({ dataDir: folder.path })
  expect(readdirSync(join(folder.path, 'detached')).toSorted()).toEqual(['old.log', 'young.log'])
})

test('a run that has not begun when its runner closes begins in the next life', async () => {
  await using scene = await stage()
  const first = await scene.life({ admission: { maxExecuting: 1 } })
  const busy = await first.start({ role: 'gated', task: scene.at('gate') })
  await until(() => busy.status().events === 2, 'the beginning')
  const queued = await first.start({ role: 'gated', task: scene.at('gate') })
  await first[Symbol.asyncDispose]()
  expect(await queued.outcome).toMatchObject({ code: 'CLOSED', mayStillRun: true })
  writeFileSync(scene.at('gate'), '')
  await using second = await scene.life()
  const runs = await second.resume()
  expect(runs.map(({ id }) => id).toSorted()).toEqual([busy.id, queued.id].toSorted())
  expect(await Promise.all(runs.map((run) => run.outcome))).toMatchObject([
    { status: 'completed' },
    { status: 'completed' },
  ])
})

test.each(['attach', 'resume'] as const)('a runner that is closed right after %s leaves them', async (how) => {
  await using scene = await stage()
  const [gated] = await scene.killed({ role: 'gated', task: scene.at('gate') })
  const second = await scene.life()
  const found = how === 'attach' ? second.attach(gated?.id ?? '') : second.resume().then(([run]) => run)
  await second.close()
  expect(await (await found)?.outcome).toMatchObject({ code: 'CLOSED', mayStillRun: true })
  expect(isAlive(gated?.pid ?? 0)).toBe(true)
  writeFileSync(scene.at('gate'), '')
  await using third = await scene.life()
  expect(await (await third.attach(gated?.id ?? '')).outcome).toMatchObject({ status: 'completed' })
})

test('a worker that is taken over counts as a process, and as one of its role, until it has ended', async () => {
  await using scene = await stage()
  const [gated] = await scene.killed({ role: 'gated', task: scene.at('gate') })
  const roles = { ...detachedRoles, gated: { ...detachedRoles.gated, concurrency: { limit: 1 } } } as const
  await using runner = await scene.life({ roles, admission: { maxProcesses: 1 } })
  const run = await runner.attach(gated?.id ?? '')
  await until(() => run.status().worker !== undefined, 'taking over')
  const [same, other] = [runner.run({ role: 'gated', task: '/' }), runner.run({ role: 'echo', task: 'x' })]
  await until(() => [same, other].every((one) => one.status().phase === 'queued'), 'waiting')
  expect(runner.stats()).toMatchObject({ executing: 2, processes: 1 })
  writeFileSync(scene.at('gate'), '')
  const outcomes = await Promise.all([run, same, other].map((one) => one.outcome))
  expect(outcomes.map(({ status }) => status)).toEqual(['completed', 'completed', 'completed'])
})

test('where nothing can outlive the runner they are refused by name', async () => {
  await using scene = await stage()
  await using embedded = await testRunner()
  const refused = { status: 'failed', code: 'MISSING_FEATURE', retry: 'never' }
  expect(await embedded.run({ role: 'echo', task: 'x', detached: true }).outcome).toMatchObject({
    ...refused,
    message: expect.stringMatching(/broker that outlives/),
  })
  await expect(scene.life({ dataDir: null })).rejects.toMatchObject({
    code: 'MISSING_FEATURE',
    message: expect.stringMatching(/roles\.count\.detached: .*dataDir/),
  })
  await expect(scene.life({ pool: { prewarm: { count: 1 } } })).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringMatching(/pool\.prewarm\.count/),
  })
  await expect(scene.life({ worker: { launch: () => expect.fail() } })).rejects.toMatchObject({
    code: 'MISSING_FEATURE',
    message: expect.stringMatching(/launcher/),
  })
})

/** What an earlier life leaves of them, in a journal and on a bus in memory. */
describe('a detached attempt of an earlier life', () => {
  const left = { ...dead, detached: { limits: {} } }
  const events = (runId: string, first: number, ...texts: readonly string[]) => ({
    to: 'runner.me',
    id: `events-${runId}-1-${first}`,
    kind: 'events',
    payload: encodeMessage('events', {
      runId,
      epoch: 1,
      first,
      events: texts.map((content) => ({ type: 'message', message: { role: 'assistant', content } })),
    }),
  })
  /** More than a time that is over needs to end a run. */
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) await nextTurn()
  }
  const texts = async (run: Parameters<typeof readAll>[0]): Promise<unknown[]> =>
    (await readAll(run)).map((event) => (event.type === 'message' ? event.message.content : event.type))

  test('that was not claimed is withdrawn, and the run is done', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 0 })
    const { assignment } = await scene.worker('r1', { claims: false })
    const [run] = await (await scene.life()).resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed' })
    expect(scene.executed).toEqual(['task r1#2'])
    await expect(assignment.claim()).rejects.toMatchObject({ code: expect.stringMatching(/^(REVOKED|FENCED)$/) })
  })

  test('has all that was stored, before and after it is taken over, and its last word, though its role is gone', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 2, role: 'renamed' })
    const worker = await scene.worker('r1')
    // The second one again: the earlier life had not acknowledged it.
    await worker.peer.send(events('r1', 2, 'first words 2', 'third'))
    const runner = await scene.life()
    await until(() => scene.store.count('entry') === 3, 'the entries in the journal')
    await worker.peer.send(events('r1', 4, 'fourth'))
    await worker.say({ lastSeq: 4 })
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
    const again = await runner.attach('r1')
    expect(await texts(again)).toEqual(['first words 1', 'first words 2', 'third', 'fourth'])
    const said = (await runner.sessions.messages('r1')).map(({ content }) => content)
    expect(said).toEqual(['task r1', 'first words 1', 'first words 2', 'third', 'fourth'])
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })

  test('keeps entries at the bus until a commit that fails is through', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 0 })
    const worker = await scene.worker('r1')
    await worker.peer.send(events('r1', 1, 'one'))
    let failures = 2
    scene.onCommit = (batch) => {
      if (failures === 0 || !batch.some((operation) => 'put' in operation && operation.put === 'entry'))
        return Promise.resolve()
      failures -= 1
      return Promise.reject(new StoreError('COMMIT_UNKNOWN', 'the test says so'))
    }
    const runner = await scene.life()
    await until(() => failures === 0, 'two failures')
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST' })
    expect(await texts(await runner.attach('r1'))).toEqual(['one'])
  })

  test.each(['totalMs', 'firstEventMs'] as const)('has no %s here: its worker keeps it', async (limit) => {
    await using scene = new Scene()
    const living = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
    const ended = once(living, 'exit')
    const { pid = 0 } = living
    const process = processStamp(pid) ?? ''
    await scene.left('r1', { attempt: { pid, process, detached: { limits: { [limit]: 0 } } }, entries: 0 })
    const worker = await scene.worker('r1')
    const [run] = await (await scene.life()).resume()
    await until(() => run?.status().worker !== undefined, 'taking over')
    await turns()
    await worker.peer.send(events('r1', 1, 'still here'))
    await until(() => run?.status().events === 1, 'its first entry')
    await turns()
    await worker.say({ lastSeq: 1 })
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
    living.kill('SIGKILL')
    await ended
  })

  test('is not believed by whoever was not its worker', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 1 })
    const worker = await scene.worker('r1')
    const { peer } = await scene.worker('r2')
    await peer.send(events('r1', 2, 'forged'))
    await worker.say({ lastSeq: 1 })
    const terminal = { runId: 'r1', epoch: 1, status: 'completed', lastSeq: 1, output: 'forged', text: '' } as const
    const payload = encodeMessage('terminal', terminal)
    await peer.send({ to: 'runner.me', id: 'terminal-r1-1-forged', kind: 'terminal', payload, control: true })
    const runner = await scene.life()
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
    expect(await texts(await runner.attach('r1'))).toEqual(['first words 1'])
  })

  test('of which the broker forgot the claim is not taken for unclaimed by a cancel', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 1 })
    const runner = await scene.life()
    const [run] = await runner.resume()
    expect(await run?.cancel('stop')).toEqual({ status: 'cancelled', reason: 'stop' })
    expect(scene.executed).toEqual([])
    expect(scene.store.scan('attempt').map(({ meta }) => meta['end'])).toMatchObject([{ how: 'lost' }])
  })

  test('has its entries in order, though the first of them has to be stored twice', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 0, ownSessions: false })
    const worker = await scene.worker('r1')
    await worker.peer.send(events('r1', 1, 'one'))
    await worker.peer.send(events('r1', 2, 'two'))
    await worker.say({ lastSeq: 2 })
    let failures = 1
    scene.onCommit = (batch) => {
      if (failures === 0 || !batch.some((operation) => 'put' in operation && operation.put === 'entry'))
        return Promise.resolve()
      failures -= 1
      return Promise.reject(new StoreError('COMMIT_UNKNOWN', 'the test says so'))
    }
    const sessions = createMemorySessions()
    const [run] = await (await scene.life({ sessions })).resume()
    if (run === undefined) throw new Error('there is no open run')
    expect(await texts(run)).toEqual(['one', 'two'])
    await run.outcome
    expect((await sessions.messages('r1')).map(({ content }) => content)).toEqual(['one', 'two'])
  })

  test.each(['close', 'cancel'] as const)('does not keep a %s waiting for a full disk', async (how) => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 0 })
    const worker = await scene.worker('r1')
    await worker.peer.send(events('r1', 1, 'one'))
    let refusals = 0
    let isFull = true
    scene.onCommit = (batch) => {
      if (!isFull || !batch.some((operation) => 'put' in operation && operation.put === 'entry'))
        return Promise.resolve()
      refusals += 1
      return Promise.reject(new StoreError('STORAGE_FULL', 'the test says so'))
    }
    const runner = await scene.life()
    await until(() => refusals > 0, 'a refusal')
    const [run] = await runner.resume()
    if (how === 'close') await runner.close()
    else await run?.cancel('stop')
    expect(await run?.outcome).toMatchObject(
      how === 'close' ? { status: 'failed', code: 'CLOSED', mayStillRun: true } : { status: 'cancelled' },
    )
    isFull = false
  })

  test('has its last word also when the bus comes back late', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 1 })
    const worker = await scene.worker('r1')
    const runner = await scene.life({ partitionGraceMs: 100 })
    scene.bus.cut('runner.me')
    await worker.say({ lastSeq: 1 })
    const [run] = await runner.resume()
    expect(await Promise.race([run?.outcome, sleep(500, 'waits')])).toBe('waits')
    scene.bus.restore('runner.me')
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
  })

  test('has its last word also when that comes after it was given up, while its process is looked for', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: left, entries: 1, ownSessions: false })
    const worker = await scene.worker('r1')
    const spoken = Promise.withResolvers<void>()
    const bus = scene.bus.client()
    const attach = bus.attach.bind(bus)
    Object.assign(bus, {
      attach: async (options: PeerOptions) => {
        const peer = await attach(options)
        const fence = peer.fence.bind(peer)
        const late: Peer['fence'] = (target, call) => spoken.promise.then(() => fence(target, call))
        return Object.assign(peer, { fence: late })
      },
    })
    const hasEnded = async (): Promise<boolean> => {
      await worker.peer.send(events('r1', 2, 'last'))
      await worker.say({ lastSeq: 2 })
      spoken.resolve()
      return true
    }
    const sessions = createMemorySessions()
    const runner = await scene.life({ bus, sessions, worker: { launch: () => expect.fail(), hasEnded } })
    const [run] = await runner.resume()
    if (run === undefined) throw new Error('there is no open run')
    const read = texts(run)
    expect(await run.outcome).toMatchObject({ status: 'completed', output: 'its word' })
    for (const one of [read, texts(await runner.attach('r1'))]) expect(await one).toEqual(['first words 1', 'last'])
    expect((await sessions.messages('r1')).map(({ content }) => content)).toEqual(['first words 1', 'last'])
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })

  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])(
    'of a restored backup is read, and not done again (ended: %s, sessions in the journal: %s)',
    async (hasEnded, isOwn) => {
      await using scene = new Scene()
      await scene.left('r1', { attempt: left, entries: 2 })
      const worker = await scene.worker('r1')
      await scene.restore()
      // What it did since the backup waits on the bus.
      await worker.peer.send(events('r1', 3, 'third', 'fourth'))
      if (hasEnded) await worker.say({ lastSeq: 4 })
      const sessions = createMemorySessions()
      const [run] = await (await scene.life(isOwn ? {} : { sessions })).resume()
      if (run === undefined) throw new Error('there is no open run')
      const all = ['first words 1', 'first words 2', 'third', 'fourth']
      expect(await texts(run)).toEqual(all)
      expect(await run.outcome).toEqual(
        hasEnded
          ? { status: 'completed', output: 'its word', text: '' }
          : expect.objectContaining({ status: 'failed', code: 'OUTCOME_UNKNOWN' }),
      )
      if (!isOwn) expect((await sessions.messages('r1')).map(({ content }) => content)).toEqual(all)
      expect(scene.executed).toEqual([])
    },
  )

  test('whose process nobody can see is not tried again when the bus has lost it: it may still run', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: { ...left, host: 'elsewhere' }, entries: 1, role: 'again' })
    const [run] = await (await scene.life({ partitionGraceMs: 100 })).resume()
    expect(await run?.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: true })
    expect(scene.executed).toEqual([])
  })

  test('that left while its runner was away from the bus is gone after the grace', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: { ...left, host: 'elsewhere' }, entries: 1 })
    const worker = await scene.worker('r1')
    worker.peer.announce({ role: 'worker-of.me', slots: 0 })
    // Over a new connection the bus only misses whoever left meanwhile.
    const bus = scene.bus.client()
    const attach = bus.attach.bind(bus)
    Object.assign(bus, {
      attach: async (options: PeerOptions) => {
        const peer = await attach(options)
        const watch = peer.watch.bind(peer)
        const missing: Peer['watch'] = (role, listener) =>
          watch(role, (change) => listener(change.state === 'gone' ? { ...change, state: 'suspect' } : change))
        return Object.assign(peer, { watch: missing })
      },
    })
    const runner = await scene.life({ bus, partitionGraceMs: 200 })
    const [run] = await runner.resume()
    await until(() => run?.status().worker !== undefined, 'taking over')
    await worker.say({ lastSeq: 1 })
    await worker.peer.drain()
    expect(await run?.outcome).toMatchObject({ status: 'completed' })
    await until(() => runner.stats().processes === 0, 'the end of the worker')
  })

  test('signals no process that may be a stranger with its id', async () => {
    await using scene = new Scene()
    const stranger = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
    const ended = once(stranger, 'exit')
    await scene.left('r1', { attempt: { detached: { limits: {} }, pid: stranger.pid ?? 0 }, entries: 0 })
    const [run] = await (await scene.life()).resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed' })
    expect(await Promise.race([ended, sleep(300, 'lives')])).toBe('lives')
    stranger.kill('SIGKILL')
  })
})
