/** Runs that an earlier life of the runner left, by what such a life leaves in the journal and on the bus. */
import { GreenroomError, type Bus, type Outcome, type Outgoing, type Waiting } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { createMemorySessions, type Completion, type SessionStore } from '../src/index.ts'
import { Journal } from '../src/journal.ts'
import { alive, dead, Scene } from './fixtures/left-over.ts'
import { until } from './fixtures/setup.ts'

const hour = 3_600_000

async function resumed(scene: Scene, options?: Parameters<Scene['life']>[0]): Promise<Outcome<unknown>> {
  const runner = await scene.life(options)
  const [run] = await runner.resume()
  return (await run?.outcome) ?? expect.fail('there is no open run')
}

const unknown = { status: 'failed', code: 'OUTCOME_UNKNOWN', retry: 'never' }

describe('a left-over attempt', () => {
  test('that was not claimed is withdrawn, and the run is done', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: {}, entries: 0 })
    const { assignment } = await scene.worker('r1', { claims: false })
    expect(await resumed(scene)).toMatchObject({ status: 'completed' })
    expect(scene.executed).toEqual(['task r1#2'])
    await expect(assignment.claim()).rejects.toMatchObject({ code: 'REVOKED' })
  })

  test.each([
    ['has an entry', { entries: 1 }],
    ['is so old that its claim may be forgotten', { entries: 0, attempt: { startedAt: Date.now() - 13 * hour } }],
  ])('of which the broker knows nothing is not taken for unclaimed when it %s', async (_why, more) => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: {}, ...more })
    expect(await resumed(scene)).toMatchObject({ ...unknown, mayStillRun: false })
    expect(scene.executed).toEqual([])
  })

  test('whose worker is gone is fenced, and its outcome is unknown', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead })
    const worker = await scene.worker('r1')
    expect(await resumed(scene)).toMatchObject({ ...unknown, mayStillRun: false })
    expect(await worker.peer.closed).toMatchObject({ code: 'FENCED' })
    await expect(worker.say()).rejects.toThrow()
  })

  test('whose process lives on may still run: it is fenced, and not tried again', async () => {
    await using scene = new Scene()
    await scene.left('r1', { role: 'again', attempt: alive })
    const { peer } = await scene.worker('r1')
    expect(await resumed(scene)).toMatchObject({ ...unknown, mayStillRun: true })
    expect(await peer.closed).toMatchObject({ code: 'FENCED' })
    expect(scene.executed).toEqual([])
  })

  test('of a run that may have its effects twice is as good as lost, as often as its role says', async () => {
    await using scene = new Scene()
    await scene.left('r1', { role: 'again', attempt: dead })
    await scene.worker('r1')
    expect(await resumed(scene)).toMatchObject({ status: 'completed' })
    expect(scene.executed).toEqual(['task r1#2'])

    await scene.left('r2', { role: 'once', attempt: dead })
    await scene.worker('r2')
    const runner = await scene.life()
    expect(await (await runner.attach('r2')).outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST' })
    expect(scene.executed).toHaveLength(1)
  })

  test('is tried again, too, when its executor said that it may have its effects twice, and its role says nothing', async () => {
    await using scene = new Scene()
    for (const [runId, idempotent] of [
      ['r1', true],
      ['r2', false],
    ] as const) {
      await scene.left(runId, { role: 'asks', attempt: { ...dead, ...(idempotent && { idempotent }) } })
      await scene.worker(runId)
    }
    const runner = await scene.life()
    expect(await (await runner.attach('r1')).outcome).toMatchObject({ status: 'completed' })
    expect(await (await runner.attach('r2')).outcome).toMatchObject(unknown)
    expect(scene.executed).toEqual(['task r1#2'])
  })

  test('that left its last word has that for an outcome; nothing of it stays', async () => {
    await using scene = new Scene()
    for (const [runId, word] of [
      ['r1', {}],
      ['r2', { status: 'timeout', which: 'tool' }],
    ] as const) {
      await scene.left(runId, { attempt: dead })
      await (await scene.worker(runId)).say(word)
    }
    const runner = await scene.life()
    await until(() => scene.store.count('terminal') === 2, 'the words in the journal')
    const outcomes = (await runner.resume()).map((run) => run.outcome)
    expect(await Promise.all(outcomes)).toMatchObject([
      { status: 'completed', output: 'its word' },
      { status: 'timeout', which: 'tool' },
    ])
    expect(scene.store.count('terminal')).toBe(0)
    expect(scene.store.count('open')).toBe(0)
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })

  test('has its word also while that is being stored, or cannot be', async () => {
    for (const fails of [false, true]) {
      await using scene = new Scene()
      await scene.left('r1', { attempt: dead })
      await (await scene.worker('r1')).say()
      const stored = Promise.withResolvers<void>()
      stored.promise.catch(() => undefined)
      let isAsked = false
      scene.onCommit = (batch) => {
        if (!batch.some((operation) => 'put' in operation && operation.put === 'terminal')) return Promise.resolve()
        isAsked = true
        return stored.promise
      }
      const runner = await scene.life()
      await until(() => isAsked, 'the word at the journal')
      if (fails) stored.reject(new Error('no'))
      const [run] = await runner.resume()
      expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
      stored.resolve()
      await until(() => scene.store.count('terminal') === 0, 'nothing left')
      await until(() => scene.bus.stats().messages === 0, 'an empty bus')
    }
  })

  test('has its word also when the bus has no room for a while, or until nobody waits any longer', async () => {
    for (const refusals of [1, Infinity]) {
      await using scene = new Scene()
      await scene.left('r1', { attempt: dead })
      await (await scene.worker('r1')).say()
      let asked = 0
      const marks = refusing(scene.bus.client(), 'marker', () => (asked += 1) <= refusals)
      const runner = await scene.life({ bus: marks, partitionGraceMs: 1_500 })
      const [run] = await runner.resume()
      expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
      expect(asked).toBeGreaterThan(1)
    }
  })

  test('whose process only its launcher knows is asked for there', async () => {
    for (const hasEnded of [true, false]) {
      await using scene = new Scene()
      await scene.left('r1', { attempt: { ...alive, host: 'a container' } })
      await scene.worker('r1')
      const asked: string[] = []
      const launcher = {
        launch: () => expect.fail('nothing is to be started'),
        hasEnded: (address: string) => {
          asked.push(address)
          return Promise.resolve(hasEnded)
        },
      }
      const outcome = await resumed(scene, { worker: launcher, partitionGraceMs: 1_000 })
      expect(outcome).toMatchObject({ ...unknown, mayStillRun: !hasEnded })
      expect(new Set(asked)).toEqual(new Set(['worker.r1']))
    }
  })

  test.each([
    ['is waited for', { status: 'completed', output: 'its word' }],
    ['has said nothing', unknown],
  ])('has nobody else’s word for its own: a worker that %s', async (_what, end) => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: { ...alive, host: 'a container' } })
    const worker = await scene.worker('r1')
    const [address, incarnation, lifetime] = ['worker.r2', 'old', 'incarnation'] as const
    const stranger = await scene.bus.client().attach({ address, incarnation, lifetime })
    const lie = (): Promise<unknown> => worker.say({ output: 'a lie' }, stranger)
    if (end === unknown) await lie()
    const launcher = {
      launch: () => expect.fail('nothing is to be started'),
      async hasEnded() {
        await lie()
        if (end !== unknown) await worker.say()
        return true
      },
    }
    expect(await resumed(scene, { worker: launcher, partitionGraceMs: 1_000 })).toMatchObject(end)
  })

  test('has its word although its role is gone; without one the plan decides', async () => {
    await using scene = new Scene()
    await scene.left('r1', { role: 'renamed', attempt: dead })
    await (await scene.worker('r1')).say()
    await scene.left('r2', { role: 'renamed', attempt: dead, entries: 0 })
    await scene.used('r2', [{ inputTokens: 3 }])
    await scene.worker('r2')
    await scene.left('r3', { role: 'renamed' })
    const runner = await scene.life()
    const outcomes = await Promise.all((await runner.resume()).map((run) => run.outcome))
    expect(outcomes).toMatchObject([
      { status: 'completed' },
      { ...unknown, usage: { inputTokens: 3 } },
      { status: 'failed', code: 'UNKNOWN_ROLE' },
    ])
    const ends = scene.store.scan('attempt').map(({ meta }) => meta['end'])
    expect(ends).toMatchObject([{ how: 'completed' }, { how: 'lost' }])
  })

  test('that nobody can ask about in time is fenced when the bus is back: its assignment does not stay there', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead, entries: 0 })
    const { peer } = await scene.worker('r1', { claims: false })
    const runner = await scene.life({ partitionGraceMs: 50 })
    scene.bus.cut('runner.me')
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ ...unknown, mayStillRun: true })
    scene.bus.restore('runner.me')
    expect(await peer.closed).toMatchObject({ code: 'FENCED' })
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })

  test('that nobody could ask about in time is fenced by a later life, when that one ended before the bus was back', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead, entries: 0 })
    const { peer } = await scene.worker('r1', { claims: false })
    const second = await scene.life({ partitionGraceMs: 50 })
    scene.bus.cut('runner.me')
    const [run] = await second.resume()
    expect(await run?.outcome).toMatchObject({ ...unknown, mayStillRun: true })
    await second.close()
    scene.bus.restore('runner.me')
    expect(scene.store.scan('unfenced')).toHaveLength(1)
    await scene.life({ partitionGraceMs: 50 })
    expect(await peer.closed).toMatchObject({ code: 'FENCED' })
    await until(() => scene.bus.stats().messages === 0 && scene.store.count('unfenced') === 0, 'nothing left')
  })

  test('is settled whoever cancels or drains meanwhile', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead, entries: 0 })
    const { assignment } = await scene.worker('r1', { claims: false })
    await scene.left('r2', { attempt: dead })
    await (await scene.worker('r2')).say()
    await scene.left('r3', { attempt: dead })
    const { peer } = await scene.worker('r3')
    const runner = await scene.life()
    const runs = await runner.resume()
    const [one, two, three] = await Promise.all(runs.map((run) => run.cancel('stop')))
    expect(one).toEqual({ status: 'cancelled', reason: 'stop' })
    await expect(assignment.claim()).rejects.toMatchObject({ code: 'REVOKED' })
    expect(two).toMatchObject({ status: 'completed', output: 'its word' })
    expect(three).toEqual({ status: 'cancelled', reason: 'stop' })
    expect(await peer.closed).toMatchObject({ code: 'FENCED' })
  })
})

describe('a left-over run whose last word is that it waits for its children', () => {
  const waits = { status: 'suspended', lastSeq: 1, waitsFor: { runIds: ['none'], mode: 'all' } } as const

  test('is cancelled by who cancels it in the next life', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead })
    await (await scene.worker('r1')).say(waits)
    const [run] = await (await scene.life()).resume()
    expect(await run?.cancel('stop')).toEqual({ status: 'cancelled', reason: 'stop' })
    expect(scene.executed).toEqual([])
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })

  test('goes on with what its latest word names, whatever it waited for before', async () => {
    await using scene = new Scene()
    const end = (...runIds: string[]) => ({
      ...dead,
      end: { how: 'terminal' as const, lastSeq: 0, at: 1, ms: 0, waitsFor: { runIds, mode: 'all' as const } },
    })
    await scene.left('r1', { attempt: end('c1'), entries: 0 })
    const place = { address: 'worker.r1', incarnation: 'old', host: 'here', warm: false, startedAt: 0 }
    await new Journal(scene.store).attempt({ runId: 'r1', epoch: 2 }, { ...place, ...end('c2') })
    for (const id of ['c1', 'c2']) await scene.left(id, { kin: { lineage: ['r1'], childKey: id } })
    const run = (await (await scene.life()).resume()).find(({ id }) => id === 'r1')
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: { resumed: ['c2'] } })
  })

  test('ends by what keeps it from going on', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead, role: 'renamed' })
    await (await scene.worker('r1')).say(waits)
    const [run] = await (await scene.life()).resume()
    expect(await run?.outcome).toMatchObject({ status: 'failed', code: 'UNKNOWN_ROLE' })
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })
})

describe('a left-over run', () => {
  test('keeps what was said: the task once, the first attempt’s words, and texts that came too late', async () => {
    await using scene = new Scene()
    await scene.left('r1', { role: 'again', attempt: dead })
    await scene.worker('r1')
    expect(await resumed(scene)).toMatchObject({ output: { heard: ['task r1', 'first words 1'] } })

    await scene.left('r2', { attempt: dead })
    await scene.worker('r2')
    const runner = await scene.life()
    const run = await runner.attach('r2')
    expect(await run.send('while it is settled')).toBe('not-live')
    await run.outcome
    await runner.close()
    const next = await scene.life()
    expect(await (await next.attach('r2')).send('long after')).toBe('not-live')
    const said = (await next.sessions.messages('r2')).map(({ content }) => content)
    expect(said).toEqual(['task r2', 'first words 1', 'while it is settled', 'long after'])
  })

  test('keeps it in a session store of the user’s own, too', async () => {
    await using scene = new Scene()
    const sessions = createMemorySessions()
    const task = { role: 'user', content: 'task r1' } as const
    await sessions.append('r1', [{ runId: 'r1', epoch: 0, seq: 0, message: task }])
    await scene.left('r1', { role: 'again', attempt: dead, ownSessions: false })
    await scene.worker('r1')
    expect(await resumed(scene, { sessions })).toMatchObject({ output: { heard: ['task r1', 'first words 1'] } })
    expect((await sessions.messages('r1')).map(({ content }) => content)).toEqual([
      'task r1',
      'first words 1',
      'did task r1',
    ])
  })

  test('has in its outcome, and of its limits, what a lost attempt told that it used', async () => {
    await using scene = new Scene()
    const usages = [{ inputTokens: 40, outputTokens: 2 }, { inputTokens: 8 }]
    const used = { inputTokens: 48, outputTokens: 2 }
    const detached = { ...dead, detached: { limits: {} } }
    const lost = { status: 'failed', code: 'WORKER_LOST', usage: used }
    const lives: readonly (readonly [string, string, Parameters<Scene['left']>[1], object])[] = [
      ['r1', 'work', {}, { ...unknown, usage: used }],
      ['r2', 'once', {}, lost],
      ['r3', 'again', {}, { status: 'completed', usage: used, output: { tokens: 50 } }],
      ['r4', 'work', { attempt: detached }, lost],
    ]
    for (const [runId, role, more] of lives) {
      await scene.left(runId, { role, attempt: dead, entries: 0, limits: { tokens: 100 }, ...more })
      await scene.used(runId, usages)
      await scene.worker(runId)
    }
    const runner = await scene.life()
    for (const [runId, , , outcome] of lives) expect(await (await runner.attach(runId)).outcome).toMatchObject(outcome)
  })

  test('was let in before: no queue is too full for it', async () => {
    await using scene = new Scene()
    for (let n = 0; n < 5; n += 1) await scene.left(`r${n}`)
    const runner = await scene.life({ admission: { maxExecuting: 1, queue: 0 } })
    const outcomes = await Promise.all((await runner.resume()).map((run) => run.outcome))
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'completed'))
  })

  test('is tried as often as its role says, over all its lives', async () => {
    await using scene = new Scene()
    const end = { how: 'lost', lastSeq: 1, at: Date.now() }
    await scene.left('r1', { role: 'flaky', attempt: { end } })
    expect(await resumed(scene)).toMatchObject({ status: 'failed', code: 'AGAIN' })
    expect(scene.executed).toEqual(['task r1#2'])
  })

  test('has what its earlier attempts left of its time', async () => {
    await using scene = new Scene()
    const startedAt = Date.now() - hour
    const end = { how: 'lost', lastSeq: 1, at: startedAt + 40_000 }
    await scene.left('r1', { role: 'again', limits: { totalMs: 100_000 }, attempt: { startedAt, end } })
    expect(await resumed(scene)).toMatchObject({ output: { totalMs: 60_000 } })
  })

  test('whose outcome cannot be recorded has it all the same, once; only the next life goes on with it', async () => {
    await using scene = new Scene()
    const store = createMemorySessions()
    let isDown = true
    const sessions: SessionStore = {
      ...store,
      append: (id, entries) =>
        isDown && entries.some(({ epoch }) => epoch > 0)
          ? Promise.reject(Object.assign(new Error('down'), { code: 'DOWN' }))
          : store.append(id, entries),
    }
    const told: Completion[] = []
    const runner = await scene.life({ sessions })
    const scheduler = runner.scheduler({ parent: 'p', onCompletion: (one) => void told.push(one) })
    const run = await scheduler.enqueue({ role: 'work', task: 'pay' })
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    await scheduler.drain()
    // Whoever asks for it now is told what this life knows, and does not do it again.
    isDown = false
    expect(await runner.resume()).toEqual([])
    const same = await runner.attach(run.id)
    expect(same.status()).toEqual(run.status())
    expect(await same.outcome).toBe(await run.outcome)
    expect(told).toHaveLength(1)
    expect(scene.executed).toEqual(['pay#1'])
    expect(scene.store.count('open')).toBe(1)
  })
})

test('a run that ended before its beginning could be recorded is not open afterwards', async () => {
  await using scene = new Scene()
  const store = createMemorySessions()
  const asked = Promise.withResolvers<void>()
  const stored = Promise.withResolvers<void>()
  const sessions: SessionStore = {
    ...store,
    append: async (id, entries) => {
      asked.resolve()
      await stored.promise
      await store.append(id, entries)
    },
  }
  const runner = await scene.life({ sessions })
  const run = runner.run({ role: 'work', task: 'pay' })
  await asked.promise
  expect(await run.cancel('no')).toMatchObject({ status: 'cancelled' })
  stored.resolve()
  await until(async () => (await store.messages(run.id)).length === 1, 'the task in the session')
  await runner.drain()
  expect(scene.store.count('outcome')).toBe(1)
  expect(await (await scene.life({ sessions })).resume()).toEqual([])
  expect(scene.executed).toEqual([])
})

test('a text that came too late is in the session once, also when nobody knows whether it was stored', async () => {
  await using scene = new Scene()
  const store = createMemorySessions()
  const sessions: SessionStore = {
    ...store,
    append: async (id, entries) => {
      await store.append(id, entries)
      const isLate = entries.some(({ message }) => message.content === 'too late')
      if (isLate && entries.length > 1) throw Object.assign(new Error('no answer'), { code: 'TIMEOUT' })
    },
  }
  const runner = await scene.life({ sessions })
  const run = runner.run({ role: 'work', task: 'pay' })
  expect(await run.send('too late')).toBe('not-live')
  const texts = (await store.messages(run.id)).map(({ content }) => content)
  expect(texts).toEqual(['pay', 'did pay', 'too late'])
})

/** A bus on which some messages are refused for want of room. */
function refusing(bus: Bus, kind: string, isFull: () => boolean): Bus {
  return {
    capabilities: bus.capabilities,
    async attach(options) {
      const peer = await bus.attach(options)
      const send = peer.send.bind(peer)
      return Object.assign(peer, {
        send: (message: Outgoing, waiting?: Waiting) =>
          message.kind === kind && isFull()
            ? Promise.reject(new GreenroomError('STORAGE_FULL'))
            : send(message, waiting),
      })
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  }
}

describe('a left-over job', () => {
  test('that is resumed before its parent has a scheduler is delivered by that, and its session is taken', async () => {
    await using scene = new Scene()
    await scene.left('c1', { parent: 'p', session: 's' })
    const runner = await scene.life()
    await runner.resume()
    const told: Completion[] = []
    const scheduler = runner.scheduler({ parent: 'p', onCompletion: (one) => void told.push(one) })
    const second = await scheduler.enqueue({ role: 'work', task: 'x', session: 's' })
    expect(await second.outcome).toMatchObject({ status: 'skipped' })
    await scheduler.drain()
    expect(told.map(({ runId, outcome }) => [runId, outcome.status])).toEqual([
      [second.id, 'skipped'],
      ['c1', 'completed'],
    ])
  })

  test('is left to the next life by a runner that drains', async () => {
    await using scene = new Scene()
    await scene.left('c1', { parent: 'p' })
    const told: string[] = []
    const onCompletion = ({ outcome }: Completion): void => void told.push(outcome.status)
    {
      const runner = await scene.life()
      const draining = runner.drain()
      await runner.scheduler({ parent: 'p', onCompletion }).drain()
      await draining
    }
    expect(told).toEqual([])
    const runner = await scene.life()
    await runner.scheduler({ parent: 'q', onCompletion }).drain()
    expect(told).toEqual([])
    await runner.scheduler({ parent: 'p', onCompletion }).drain()
    expect(told).toEqual(['completed'])
  })
})

describe('a run that was open in a backup', () => {
  const open = { ...unknown, mayStillRun: true }

  test.each([
    ['had not begun', {}, undefined],
    ['had not begun, and may have its effects twice', { role: 'again' }, undefined],
    ['was not claimed, says the broker', { attempt: dead, entries: 0 }, { claims: false }],
    [
      'was not claimed, and may have its effects twice',
      { role: 'again', attempt: dead, entries: 0 },
      { claims: false },
    ],
    ['was in a worker\u2019s hands', { attempt: dead }, {}],
    ['may have its effects twice', { role: 'again', attempt: dead }, {}],
  ] as const)('and %s is not done again after the restore', async (_what, left, worker) => {
    await using scene = new Scene()
    await scene.left('r1', left)
    if (worker !== undefined) await scene.worker('r1', worker)
    await scene.restore()
    expect(await resumed(scene)).toMatchObject(open)
    expect(scene.executed).toEqual([])
    expect(scene.warnings).toContain('restored from a backup: runs that were open in it are not done again')
  })

  test('is unknown also to who cancels it, and without its role', async () => {
    await using scene = new Scene()
    await scene.left('r1')
    await scene.left('r2', { role: 'renamed' })
    await scene.restore()
    const runner = await scene.life()
    expect(await (await runner.attach('r1')).cancel('no more')).toMatchObject(open)
    expect(await (await runner.attach('r2')).outcome).toMatchObject(open)
  })

  test.each([
    ['completed', { status: 'completed' }, { status: 'completed', output: 'its word' }],
    ['failed for good', { status: 'failed', error: { code: 'NO', message: 'm', retry: 'never' } }, { code: 'NO' }],
    ['may have been tried again', { status: 'failed', error: { code: 'NO', message: 'm', retry: 'later' } }, open],
    ['was stopped', { status: 'cancelled', reason: 'its runner ended' }, open],
  ] as const)('has the last word of a worker that %s', async (_how, terminal, outcome) => {
    await using scene = new Scene()
    await scene.left('r1', { role: 'again', attempt: dead })
    await (await scene.worker('r1')).say(terminal)
    await scene.restore()
    expect(await resumed(scene)).toMatchObject(outcome)
    expect(scene.executed).toEqual([])
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
  })

  test('is told from those of the new life, which go on as ever, until another restore', async () => {
    await using scene = new Scene()
    await scene.left('r1')
    await scene.restore()
    const first = await scene.life()
    await first.close()
    await scene.left('r2')
    const second = await scene.life()
    expect(await (await second.attach('r1')).outcome).toMatchObject(open)
    expect(await (await second.attach('r2')).outcome).toMatchObject({ status: 'completed' })
    await second.close()
    await scene.left('r3')
    await scene.restore()
    expect(await resumed(scene)).toMatchObject(open)
    expect(scene.executed).toEqual(['task r2#1'])
  })
})
