/** Runs that an earlier life of the runner left, by what such a life leaves in the journal and on the bus. */
import type { Outcome } from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { createMemorySessions, type Completion, type SessionStore } from '../src/index.ts'
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

  test('that left its last word has that for an outcome; nothing of it stays', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead })
    await (await scene.worker('r1')).say()
    const runner = await scene.life()
    await until(() => scene.store.count('terminal') === 1, 'the word in the journal')
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ status: 'completed', output: 'its word' })
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
    }
  })

  test('has its word although its role is gone; without one the plan decides', async () => {
    await using scene = new Scene()
    await scene.left('r1', { role: 'renamed', attempt: dead })
    await (await scene.worker('r1')).say()
    await scene.left('r2', { role: 'renamed', attempt: dead })
    await scene.worker('r2')
    await scene.left('r3', { role: 'renamed' })
    const runner = await scene.life()
    const outcomes = await Promise.all((await runner.resume()).map((run) => run.outcome))
    expect(outcomes).toMatchObject([{ status: 'completed' }, unknown, { status: 'failed', code: 'UNKNOWN_ROLE' }])
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
    expect(await (await runner.attach('r2')).send('long after')).toBe('not-live')
    const said = (await runner.sessions.messages('r2')).map(({ content }) => content)
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
    expect(await runner.resume()).toEqual([])
    expect(await (await runner.attach(run.id)).outcome).toMatchObject({ status: 'completed' })
    expect(told).toHaveLength(1)
    expect(scene.executed).toEqual(['pay#1'])
    isDown = false
    expect(scene.store.count('open')).toBe(1)
  })
})

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
    await runner.scheduler({ parent: 'p', onCompletion }).drain()
    expect(told).toEqual(['completed'])
  })
})
