/** The scheduler: a parent's children in the background. */
import { codeOf } from '@greenroom/proto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createMemorySessions, type ChildEvent, type Completion, type Run, type SessionStore } from '../src/index.ts'
import { firstData, temporaryFolder, testRunner, until } from './fixtures/setup.ts'

const parent = 'parent-1'

/** Reads a parent's stream to its end. */
async function readStream(scheduler: AsyncIterable<ChildEvent>): Promise<ChildEvent[]> {
  const events: ChildEvent[] = []
  for await (const event of scheduler) events.push(event)
  return events
}

test('the events of its children come wrapped and in order, each child’s end after all of them', async () => {
  await using runner = await testRunner()
  const scheduler = runner.scheduler({ parent })
  const reading = readStream(scheduler)
  const runs = await Promise.all(
    [5, 3].map((count) => scheduler.enqueue({ role: 'count', input: { count, kind: 'both' } })),
  )
  await scheduler.drain()
  const events = await reading
  for (const [index, run] of runs.entries()) {
    const own = events.filter((event) => event.runId === run.id && event.type !== 'child-heartbeat')
    const count = index === 0 ? 5 : 3
    expect(own.map((event) => (event.type === 'child-event' ? Reflect.get(event.event, 'seq') : event.type))).toEqual([
      ...Array.from({ length: count }, (_, n) => n + 1),
      'child-completed',
    ])
    expect(own.at(-1)).toMatchObject({ role: 'count', outcome: { status: 'completed', output: count } })
  }
})

test('whatever becomes of a job, it has one outcome record, one completion, and its session is free again', async () => {
  using folder = temporaryFolder()
  const completions: Completion[] = []
  {
    await using runner = await testRunner({ dataDir: folder.path })
    const last = { answered: 'assistant', 'asked-again': 'assistant', looked: 'tool', asked: 'user' } as const
    for (const [session, role] of Object.entries(last))
      await runner.sessions.append(session, [{ runId: 'r', epoch: 1, seq: 1, message: { role, content: 'done' } }])
    await using scheduler = runner.scheduler({ parent, onCompletion: (one) => void completions.push(one) })
    const busy = await scheduler.enqueue({ role: 'wait', session: 'busy' })
    await firstData(busy, 'pid')
    const jobs = {
      completed: await scheduler.enqueue({ role: 'echo', task: 'hello' }),
      failed: await scheduler.enqueue({ role: 'fail', task: 'throw' }),
      skipped: await scheduler.enqueue({ role: 'echo', session: 'answered' }),
      looked: await scheduler.enqueue({ role: 'echo', session: 'looked' }),
      asked: await scheduler.enqueue({ role: 'echo', session: 'asked' }),
      again: await scheduler.enqueue({
        role: 'echo',
        session: 'asked-again',
        messages: [{ role: 'user', content: 'and now?' }],
      }),
      taken: await scheduler.enqueue({ role: 'echo', task: 'no', session: 'busy' }),
      refused: await scheduler.enqueue({ role: 'echo', session: 'no/id' }),
    }
    const outcomes = Object.fromEntries(
      await Promise.all(Object.entries(jobs).map(async ([name, run]) => [name, await run.outcome] as const)),
    )
    expect(outcomes).toMatchObject({
      completed: { status: 'completed', text: 'hello' },
      failed: { status: 'failed', code: 'EXECUTOR_ERROR' },
      skipped: { status: 'skipped', why: expect.stringContaining("not the user's") },
      looked: { status: 'skipped' },
      asked: { status: 'completed', text: 'done' },
      again: { status: 'completed', text: 'and now?' },
      taken: { status: 'skipped', why: `session busy has a run in progress: ${busy.id}` },
      refused: { status: 'failed', code: 'BAD_OPTIONS' },
    })
    await busy.cancel('enough')
    const again = await scheduler.enqueue({ role: 'echo', task: 'free again', session: 'busy' })
    expect(await again.outcome).toMatchObject({ status: 'completed' })
    await scheduler.drain()
    const ids = [busy, again, ...Object.values(jobs)].map((run) => run.id)
    expect(completions.map(({ runId }) => runId).toSorted()).toEqual(ids.toSorted())
  }
  await using later = await testRunner({ dataDir: folder.path })
  const twice: Completion[] = []
  await later.scheduler({ parent, onCompletion: (one) => void twice.push(one) }).drain()
  expect(twice).toEqual([])
}, 60_000)

test('what was skipped does not free the session of the run for which it was', async () => {
  await using runner = await testRunner()
  await using scheduler = runner.scheduler({ parent })
  const busy = await scheduler.enqueue({ role: 'wait', session: 's' })
  await firstData(busy, 'pid')
  for (let n = 0; n < 2; n += 1) {
    const skipped = await scheduler.enqueue({ role: 'echo', task: 'no', session: 's' })
    expect(await skipped.outcome).toEqual({ status: 'skipped', why: `session s has a run in progress: ${busy.id}` })
  }
  await busy.cancel('enough')
})

test('a job has the model, limits and workspace of its order', async () => {
  using folder = temporaryFolder()
  await using runner = await testRunner()
  await using scheduler = runner.scheduler({ parent })
  const where = await scheduler.enqueue({ role: 'where', model: 'm', workspace: folder.path })
  expect(await where.outcome).toMatchObject({ output: [expect.any(Number), folder.path, 'm'] })
  const spend = await scheduler.enqueue({ role: 'spend', input: [], limits: { rounds: 7 } })
  expect(await spend.outcome).toMatchObject({ output: { rounds: 7 } })
})

test('a session that cannot be loaded is a failed outcome and a completion like any other', async () => {
  const store = createMemorySessions()
  const sessions: SessionStore = {
    ...store,
    messages: (id) => (id === 'torn' ? Promise.reject(new Error('the disk is gone')) : store.messages(id)),
  }
  await using runner = await testRunner({ sessions })
  const completions: Completion[] = []
  await using scheduler = runner.scheduler({ parent, onCompletion: (one) => void completions.push(one) })
  const run = await scheduler.enqueue({ role: 'echo', session: 'torn' })
  expect(await run.outcome).toMatchObject({ status: 'failed', message: 'the disk is gone' })
  await scheduler.drain()
  expect(completions).toMatchObject([{ runId: run.id, session: 'torn', parent, outcome: { status: 'failed' } }])
})

test('jobs wait for their turn and not for each other’s runs; beyond the bound enqueue waits', async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1, queue: 0 } })
  await using scheduler = runner.scheduler({ parent, queue: 2 })
  const first = await scheduler.enqueue({ role: 'wait' })
  await firstData(first, 'pid')
  const second = await scheduler.enqueue({ role: 'echo', task: 'second' })
  const third = await scheduler.enqueue({ role: 'echo', task: 'third' })
  let fourth: string | undefined
  const enqueued = scheduler.enqueue({ role: 'echo', task: 'fourth' }).then((run) => (fourth = run.id))
  const stop = new AbortController()
  const stopped = scheduler.enqueue({ role: 'echo', task: 'never' }, { signal: stop.signal })
  stop.abort()
  await expect(stopped).rejects.toThrow()
  await until(() => second.status().phase === 'queued' && third.status().phase === 'queued')
  expect([fourth, scheduler.waiting]).toEqual([undefined, 3])
  await first.cancel()
  await enqueued
  await Promise.all([second.outcome, third.outcome])
  await scheduler.drain()
  expect(scheduler.waiting).toBe(0)
  await expect(scheduler.enqueue({ role: 'echo' })).rejects.toMatchObject({ code: 'CLOSED' })
})

test('128 jobs wait unless its options say otherwise', { timeout: 60_000 }, async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1 } })
  const scheduler = runner.scheduler({ parent })
  const spec = { role: 'echo', task: 'x', delayMs: 3_600_000 } as const
  let taken = 0
  const enqueue = (): unknown =>
    scheduler.enqueue(spec).then(
      () => (taken += 1),
      () => undefined,
    )
  for (let n = 0; n < 130; n += 1) enqueue()
  await until(() => taken >= 128)
  await sleep(20)
  expect([taken, scheduler.waiting]).toEqual([128, 130])
})

test('enqueue ends with its signal; what it is given is judged in the outcome', async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1 } })
  await using scheduler = runner.scheduler({ parent, queue: 1 })
  const first = await scheduler.enqueue({ role: 'wait', session: 'busy' })
  await firstData(first, 'pid')
  const second = await scheduler.enqueue({ role: 'echo', task: 'x' })
  const stop = new AbortController()
  const stopped = scheduler.enqueue({ role: 'echo', task: 'x' }, { signal: stop.signal }).catch(codeOf)
  stop.abort(new Error('a reason of its own'))
  expect(await stopped).toBe('ABORTED')
  const waiting = scheduler.enqueue({ role: 'echo', task: 'x', session: 'busy', signal: stop.signal })
  await first.cancel()
  await second.outcome
  expect(await (await waiting).outcome).toEqual({ status: 'cancelled', reason: 'a reason of its own' })
  const untyped = (spec: unknown): Promise<Run> => Reflect.apply(Reflect.get(scheduler, 'enqueue'), scheduler, [spec])
  expect(await (await untyped(null)).outcome).toMatchObject({ status: 'failed', code: 'UNKNOWN_ROLE' })
})

test('a job whose session never loads can be cancelled, and does not keep its runner from closing', async () => {
  const store = createMemorySessions()
  const hangs = new Promise<never>(() => undefined)
  const sessions: SessionStore = { ...store, messages: (id) => (id === 'hung' ? hangs : store.messages(id)) }
  const runner = await testRunner({ sessions })
  const completions: Completion[] = []
  const scheduler = runner.scheduler({ parent, onCompletion: (one) => void completions.push(one) })
  const one = await scheduler.enqueue({ role: 'echo', session: 'hung' })
  expect(await one.cancel('no')).toEqual({ status: 'cancelled', reason: 'no' })
  const two = await scheduler.enqueue({ role: 'echo', session: 'hung' })
  await runner.close()
  expect(await two.outcome).toMatchObject({ status: 'cancelled' })
  await scheduler.drain()
  expect(completions.map(({ runId }) => runId)).toEqual([one.id, two.id])
})

test('a handler may wait for a run of its own, also when there is room for one process only', async () => {
  await using runner = await testRunner({ admission: { maxExecuting: 1, maxProcesses: 1 } })
  const followed: unknown[] = []
  const scheduler = runner.scheduler({
    parent,
    async onCompletion() {
      followed.push(await runner.run({ role: 'where' }).outcome)
    },
  })
  await scheduler.enqueue({ role: 'fail', task: 'throw' })
  await scheduler.drain()
  expect(followed).toMatchObject([{ status: 'completed' }])
})

test('a reader of the stream who keeps up sees a child’s end before its handler is called', async () => {
  await using runner = await testRunner()
  const order: string[] = []
  const scheduler = runner.scheduler({ parent, onCompletion: () => void order.push('handler') })
  const reading = (async () => {
    for await (const event of scheduler) if (event.type === 'child-completed') order.push('stream')
  })()
  await scheduler.enqueue({ role: 'count', input: { count: 20, kind: 'entries' } })
  await scheduler.drain()
  await reading
  expect(order).toEqual(['stream', 'handler'])
})

test('a reader of the stream who is behind when the runner closes gets what came so far, then the error', async () => {
  const runner = await testRunner()
  const scheduler = runner.scheduler({ parent })
  const reader = scheduler[Symbol.asyncIterator]()
  const run = await scheduler.enqueue({ role: 'count', input: { count: 2_000, kind: 'entries', bytes: 3_000 } })
  await reader.next()
  await run.outcome
  await runner.close()
  let events = 1
  const rest = async (): Promise<never> => {
    for (;;) {
      const { done } = await reader.next()
      if (done === true) throw new Error('the stream ended as if it were complete')
      events += 1
    }
  }
  await expect(rest()).rejects.toMatchObject({ code: 'CLOSED' })
  expect(events).toBeGreaterThanOrEqual(64)
  await scheduler.drain()
})

test('leaving the stream does not wait for its next event', async () => {
  await using runner = await testRunner()
  await using scheduler = runner.scheduler({ parent })
  const reader = scheduler[Symbol.asyncIterator]()
  const next = reader.next()
  await reader.return?.()
  expect(await next).toMatchObject({ done: true })
})

test('a heartbeat says where each child stands while it says nothing itself', async () => {
  await using runner = await testRunner()
  await using scheduler = runner.scheduler({ parent, heartbeatMs: 20 })
  const run = await scheduler.enqueue({ role: 'wait' })
  for await (const event of scheduler) {
    if (event.type !== 'child-heartbeat' || event.events < 2) continue
    expect(event).toMatchObject({ runId: run.id, role: 'wait', phase: 'running', events: 2, ms: expect.any(Number) })
    break
  }
  await run.cancel()
})

test('messages that others add to the session meanwhile, and texts that came too late, are all in the transcript once', async () => {
  await using runner = await testRunner()
  await using scheduler = runner.scheduler({ parent })
  const run = await scheduler.enqueue({ role: 'wait', task: 'wait', session: 's1' })
  await firstData(run, 'pid')
  await runner.sessions.append('s1', [
    { runId: 'other', epoch: 1, seq: 1, message: { role: 'system', content: 'by the way' } },
  ])
  const sent = run.send('are you there?')
  await run.cancel()
  expect(['queued', 'not-live']).toContain(await sent)
  await scheduler.drain()
  const texts = (await runner.sessions.messages('s1')).map(({ content }) => content)
  expect(texts).toEqual(['wait', 'waiting', 'by the way', 'are you there?'])
})

test('a handler that fails is told of in the log, and its job counts as delivered', async () => {
  using folder = temporaryFolder()
  const warnings: string[] = []
  const options = {
    dataDir: folder.path,
    logger: { warn: (message: string) => void warnings.push(message), output: () => undefined },
  }
  {
    await using runner = await testRunner(options)
    await using scheduler = runner.scheduler({ parent, onCompletion: () => Promise.reject(new Error('no')) })
    await (
      await scheduler.enqueue({ role: 'echo', task: 'x' })
    ).outcome
    await scheduler.drain()
  }
  await using later = await testRunner(options)
  await later.scheduler({ parent, onCompletion: () => expect.fail('told again') }).drain()
  expect(warnings).toEqual(['a completion handler failed'])
})

test('a completion whose delivery was not recorded is delivered again in the next life, with the same run', async () => {
  using folder = temporaryFolder()
  const dataDir = join(folder.path, 'data')
  const seen: string[] = []
  {
    const runner = await testRunner({ dataDir })
    const hangs = Promise.withResolvers<void>()
    const scheduler = runner.scheduler({
      parent,
      onCompletion: ({ runId }) => {
        seen.push(runId)
        return hangs.promise
      },
    })
    await (
      await scheduler.enqueue({ role: 'echo', task: 'told twice' })
    ).outcome
    await until(() => seen.length === 1)
    await runner.close()
  }
  const again: Completion[] = []
  {
    await using runner = await testRunner({ dataDir })
    await runner.scheduler({ parent: 'somebody-else', onCompletion: (one) => void again.push(one) }).drain()
    expect(again).toEqual([])
    await runner.scheduler({ parent, onCompletion: (one) => void again.push(one) }).drain()
    expect(again).toMatchObject([{ runId: seen[0], parent, outcome: { status: 'completed', text: 'told twice' } }])
  }
  // That it was told is noted by now.
  await using runner = await testRunner({ dataDir })
  await runner.scheduler({ parent, onCompletion: (one) => void again.push(one) }).drain()
  expect(again).toHaveLength(1)
})

test('a job that comes when its runner takes nothing new any more is delivered like any other', async () => {
  const runner = await testRunner()
  const completions: Completion[] = []
  const scheduler = runner.scheduler({ parent, onCompletion: (one) => void completions.push(one) })
  const first = await scheduler.enqueue({ role: 'wait' })
  await firstData(first, 'pid')
  const draining = runner.drain({ graceMs: 50 })
  const late = await scheduler.enqueue({ role: 'echo', task: 'late' })
  expect(await late.outcome).toMatchObject({ status: 'failed', code: 'DRAINING' })
  await draining
  await scheduler.drain()
  expect(completions.map(({ runId }) => runId).toSorted()).toEqual([first.id, late.id].toSorted())
})

test('closing ends what waits, whatever it waits for', async () => {
  const runner = await testRunner({ admission: { maxExecuting: 1 } })
  const first = runner.run({ role: 'wait' })
  await firstData(first, 'pid')
  const queued = runner.run({ role: 'echo', task: 'x' })
  const delayed = runner.run({ role: 'echo', task: 'x', delayMs: 60_000 })
  await until(() => queued.status().phase === 'queued' && delayed.status().phase === 'delayed')
  await runner.close()
  for (const run of [first, queued, delayed]) expect(await run.outcome).toMatchObject({ status: 'cancelled' })
  expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, processes: 0, runs: [] })
})

test.each(['drain', 'close'] as const)('%s of the runner ends the streams of its schedulers', async (how) => {
  const runner = await testRunner()
  const scheduler = runner.scheduler({ parent })
  const reading = readStream(scheduler)
  const run = await scheduler.enqueue({ role: 'echo', task: 'x' })
  await run.outcome
  await runner[how]()
  expect((await reading).at(-1)).toMatchObject({ type: 'child-completed' })
  await expect(scheduler.enqueue({ role: 'echo' })).rejects.toMatchObject({ code: 'CLOSED' })
})

test('a job that was enqueued before a drain is run before it, also when nobody waited for that', async () => {
  await using runner = await testRunner()
  const told: string[] = []
  const scheduler = runner.scheduler({ parent, onCompletion: ({ runId }) => void told.push(runId) })
  const enqueued = scheduler.enqueue({ role: 'echo', task: 'x' })
  await scheduler.drain()
  expect(told).toEqual([(await enqueued).id])
})

test('a drain with a grace does not wait for a handler that never comes back', async () => {
  const runner = await testRunner()
  const scheduler = runner.scheduler({ parent, onCompletion: () => new Promise(() => undefined) })
  await (
    await scheduler.enqueue({ role: 'echo', task: 'x' })
  ).outcome
  const before = performance.now()
  await runner.drain({ graceMs: 100 })
  expect(performance.now() - before).toBeLessThan(3 * 1_100)
})

test('a handler that never comes back keeps neither the runner from closing nor the stream from ending', async () => {
  const runner = await testRunner()
  const called = Promise.withResolvers<void>()
  const scheduler = runner.scheduler({
    parent,
    onCompletion() {
      called.resolve()
      return new Promise(() => undefined)
    },
  })
  const reading = readStream(scheduler)
  await scheduler.enqueue({ role: 'echo', task: 'x' })
  await called.promise
  await runner.close()
  expect((await reading).at(-1)).toMatchObject({ type: 'child-completed' })
})

test('what is no option is refused by name', async () => {
  await using runner = await testRunner()
  expect(() => runner.scheduler({ parent: 'a/b' })).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
  expect(() => runner.scheduler({ parent, queue: -1 })).toThrow('queue')
})
