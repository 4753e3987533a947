import { expect, test } from 'vitest'
import { decodeMessage, type Limits } from '@greenroom/proto'
import { assignment, openAttempt, ref } from './fixtures/attempt.ts'
import { until } from './fixtures/setup.ts'

type Options = Parameters<typeof openAttempt>[0]

/** An attempt that its worker has accepted. */
async function executing(limits: Limits, options: Options = {}, seams: Parameters<typeof openAttempt>[1] = {}) {
  const it = await openAttempt({ run: { ...assignment, limits }, ...options }, seams)
  await it.claim()
  it.publish('accepted', ref)
  await until(() => it.attempt.isAccepted)
  const told = async (): Promise<string> => {
    const { payload } = await until(() => it.inbox.find(({ kind }) => kind === 'cancel'), 'a cancel')
    return decodeMessage('cancel', payload).reason
  }
  return { ...it, told, [Symbol.asyncDispose]: () => it[Symbol.asyncDispose]() }
}

const usage = (rounds: number) => ({ type: 'usage', usage: { rounds } })
const delta = { type: 'text-delta', text: 'x' }
const turns = (count = 50): Promise<void> =>
  new Promise((resolve) => {
    const next = (left: number): void => void setImmediate(() => (left === 0 ? resolve() : next(left - 1)))
    next(count)
  })

test.for([
  [{ firstEventMs: 1_000 }, 'first-event', 'timeout: first-event (1000 ms)'],
  [{ noProgressMs: 1_000 }, 'no-progress', 'timeout: no-progress (1000 ms)'],
  [{ totalMs: 1_000 }, 'total', 'timeout: total (1000 ms)'],
] as const)(
  'with %j a silent worker is cancelled, told why, and whatever it says the watchdog decides: %s',
  async ([limits, which, reason]) => {
    await using it = await executing(limits)
    it.clock.jump(1_000)
    expect(await it.told()).toBe(reason)
    await until(() => it.heard.some(({ kind }) => kind === 'cancel'))
    await it.send('terminal', { ...ref, status: 'completed', lastSeq: 0, text: 'done', usage: { rounds: 5 } })
    expect(await it.attempt.ended).toMatchObject({
      how: 'terminal',
      tripped: { which },
      terminal: { usage: { rounds: 5 } },
    })
    expect(it.attempt.spent.ms).toBe(1_000)
  },
)

test('a tool that takes too long is a reason of its own', async () => {
  await using it = await executing({ toolMs: 1_000 })
  it.publish('events', { ...ref, first: 1, events: [{ type: 'tool-call', id: 'a', tool: 't', input: null }] })
  await until(() => it.events.length === 1)
  it.clock.jump(1_000)
  expect(await it.told()).toBe('timeout: tool (1000 ms)')
})

test('a worker that ignores its watchdog is ended by force after the grace and a second', async () => {
  await using it = await executing({ noProgressMs: 1_000 })
  it.publish('events', { ...ref, first: 1, events: [delta] })
  it.publish('heartbeat', { ...ref, lastSentSeq: 4, progressSeq: 4, loopLagMs: 0 })
  await until(() => it.events.length === 1)
  it.clock.jump(1_000)
  await it.told()
  it.clock.jump(5_999)
  expect(it.killed).toEqual([])
  it.clock.jump(1)
  expect(await it.attempt.ended).toEqual({
    how: 'lost',
    mayStillRun: false,
    eventsLost: { first: 2, last: 4 },
    tripped: { which: 'no-progress' },
  })
})

test('heartbeats are no progress', async () => {
  await using it = await executing({ noProgressMs: 10_000, firstEventMs: 20_000 })
  for (let n = 0; n < 5; n += 1) {
    it.publish('heartbeat', { ...ref, lastSentSeq: 0, progressSeq: n, loopLagMs: 0 })
    it.clock.jump(2_000)
    await turns()
  }
  expect(await it.told()).toBe('timeout: no-progress (10000 ms)')
})

test('what a heartbeat of a detached worker says of its deltas is progress when it is new', async () => {
  const limits = { noProgressMs: 10_000, firstEventMs: 20_000 }
  await using it = await executing(limits, { run: { ...assignment, limits, detached: true } })
  const beats = async (...progress: number[]): Promise<void> => {
    for (const progressSeq of progress) {
      it.publish('heartbeat', { ...ref, lastSentSeq: 0, progressSeq, loopLagMs: 0 })
      it.clock.jump(2_000)
      await turns()
    }
  }
  await beats(0, 1, 2, 3, 3, 3, 3, 3)
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  await beats(3)
  expect(await it.told()).toBe('timeout: no-progress (10000 ms)')
})

test('a caller who cancelled before decides; a terminal that is there before, too', async () => {
  await using cancelled = await executing({ totalMs: 1_000 })
  cancelled.cancel.abort('stop')
  await cancelled.told()
  await cancelled.send('terminal', { ...ref, status: 'cancelled', lastSeq: 0, reason: 'stop' })
  expect(await cancelled.attempt.ended).not.toHaveProperty('tripped')

  await using ended = await executing({ totalMs: 1_000 })
  await ended.send('terminal', { ...ref, status: 'completed', lastSeq: 1, text: 'done' })
  await turns()
  ended.clock.jump(10_000)
  await turns()
  ended.publish('events', { ...ref, first: 1, events: [delta] })
  expect(await ended.attempt.ended).toMatchObject({ how: 'terminal' })
  expect(await ended.attempt.ended).not.toHaveProperty('tripped')
  expect(ended.clock.timers).toHaveLength(0)
})

test('what arrives after its last word trips nothing any more', async () => {
  await using it = await executing({ rounds: 1 })
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1, text: 'done' })
  await turns()
  it.publish('events', { ...ref, first: 1, events: [usage(2)] })
  const end = await it.attempt.ended
  expect(end).toMatchObject({ how: 'terminal', terminal: { text: 'done' } })
  expect(end).not.toHaveProperty('tripped')
  expect(it.attempt.spent.usage).toEqual({ rounds: 2 })
})

test('of a worker that is gone nothing is watched any more', async () => {
  await using it = await executing({ firstEventMs: 1_000, noProgressMs: 2_000, totalMs: 3_000 })
  it.kill()
  expect(await it.attempt.ended).toEqual({ how: 'lost', mayStillRun: false })
  it.clock.jump(10_000)
  await turns()
  expect(it.clock.timers).toHaveLength(0)
  expect(it.attempt.spent.ms).toBe(0)
})

test('what trips first decides, whatever else is exceeded before the end', async () => {
  await using it = await executing({ rounds: 1, memoryMb: 100 })
  it.publish('events', { ...ref, first: 1, events: [usage(2)] })
  await it.told()
  it.publish('heartbeat', { ...ref, lastSentSeq: 1, progressSeq: 1, loopLagMs: 0, rssMb: 101 })
  await turns()
  await it.send('terminal', { ...ref, status: 'cancelled', lastSeq: 1, reason: 'as told' })
  expect(await it.attempt.ended).toMatchObject({ tripped: { code: 'LIMIT_ROUNDS' } })
})

test('while the runner is not attached only the total counts', async () => {
  await using it = await executing({ firstEventMs: 60_000, noProgressMs: 60_000 })
  it.bus.cut('runner.1')
  await until(() => it.drive.peer.state === 'lost')
  it.clock.jump(20_000)
  it.clock.jump(200_000)
  await turns()
  it.bus.restore('runner.1')
  await until(() => it.drive.peer.state === 'attached')
  it.clock.jump(59_000)
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.clock.jump(1_000)
  expect(await it.told()).toBe('timeout: first-event (60000 ms)')

  await using total = await executing({ totalMs: 60_000 })
  total.bus.cut('runner.1')
  await until(() => total.drive.peer.state === 'lost')
  total.clock.jump(60_000)
  await turns()
  total.bus.restore('runner.1')
  expect(await total.told()).toBe('timeout: total (60000 ms)')
})

test('while its worker waits for decisions, however many, only the total time passes; then all times go on', async () => {
  await using it = await executing({ firstEventMs: 60_000, noProgressMs: 60_000 })
  for (const decided of [it.attempt.waits('approval'), it.attempt.waits('approval')]) {
    it.clock.jump(600_000)
    await turns()
    decided()
  }
  it.clock.jump(59_000)
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.clock.jump(1_000)
  expect(await it.told()).toBe('timeout: first-event (60000 ms)')

  await using total = await executing({ totalMs: 60_000 })
  total.attempt.waits('approval')
  total.clock.jump(60_000)
  expect(await total.told()).toBe('timeout: total (60000 ms)')
})

test('a reader who is behind is no excuse for a worker that has room', async () => {
  await using it = await executing({ noProgressMs: 60_000 }, { record: () => undefined })
  const heartbeat = { ...ref, lastSentSeq: 1, progressSeq: 1, loopLagMs: 0 }
  it.publish('events', { ...ref, first: 1, events: [delta] })
  await until(() => it.attempt.received === 1)
  it.publish('heartbeat', { ...heartbeat, waiting: 1 })
  await turns()
  it.clock.jump(600_000)
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.publish('heartbeat', { ...heartbeat, waiting: 0 })
  await turns()
  it.clock.jump(59_000)
  it.publish('heartbeat', { ...heartbeat, waiting: 1 })
  await turns()
  it.clock.jump(600_000)
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.publish('heartbeat', { ...heartbeat, waiting: 0 })
  await turns()
  it.clock.jump(1_000)
  expect(await it.told()).toBe('timeout: no-progress (60000 ms)')
})

test('while a reader is slow silence does not count: the worker may wait for room', async () => {
  await using it = await executing({ noProgressMs: 60_000 }, { record: () => undefined })
  it.publish('events', { ...ref, first: 1, events: [delta] })
  await until(() => it.attempt.received === 1)
  it.clock.jump(1_000_000)
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.attempt.ack(1)
  it.clock.jump(60_000)
  expect(await it.told()).toBe('timeout: no-progress (60000 ms)')
})

test('an event that waits in the inbox when a deadline passes saves the run', async () => {
  await using it = await executing({ noProgressMs: 60_000 })
  it.publish('events', { ...ref, first: 1, events: [delta] })
  it.clock.jump(60_000)
  await turns()
  expect(it.events).toEqual(['1text-delta'])
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
})

test('an hour in which the runner did not run ends nothing', async () => {
  await using it = await executing({ firstEventMs: 60_000, noProgressMs: 900_000, totalMs: 3_600_000 })
  it.clock.jump(30_000)
  it.clock.suspend(3_600_000)
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.publish('events', { ...ref, first: 1, events: [delta] })
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1 })
  expect(await it.attempt.ended).not.toHaveProperty('tripped')
  expect(it.attempt.spent.ms).toBe(30_000)
})

test('an hour in which the runner did not run is no silence of a worker that has not accepted', async () => {
  await using it = await openAttempt()
  it.clock.jump(5_000)
  it.clock.suspend(3_600_000)
  await turns()
  await it.claim()
  it.publish('accepted', ref)
  await until(() => it.attempt.isAccepted)
  expect(it.killed).toEqual([])
})

test('what is used is summed up and bounded, whatever the worker makes of it', async () => {
  await using it = await executing({ rounds: 3 })
  it.publish('events', { ...ref, first: 1, events: [usage(1), usage(2)] })
  await until(() => it.events.length === 2)
  expect(it.attempt.spent.usage).toEqual({ rounds: 3 })
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.publish('events', { ...ref, first: 3, events: [usage(1)] })
  expect(await it.told()).toBe('LIMIT_ROUNDS: it used {"rounds":4}')
  it.clock.jump(6_000)
  expect(await it.attempt.ended).toMatchObject({ how: 'lost', tripped: { code: 'LIMIT_ROUNDS' } })
})

test.for([
  [{ rounds: 3 }, { rounds: 3 }, undefined],
  [{ rounds: 3 }, { rounds: 4 }, 'LIMIT_ROUNDS'],
  // Two of what was told, and nine of what was not.
  [{ tokens: 10 }, { outputTokens: 9 }, 'LIMIT_TOKENS'],
  [{ costUsd: 0.5 }, { costUsd: 0.6 }, 'LIMIT_COST'],
] as const)(
  'with %j what its last words say that it used counts as well: %j ends as %s',
  async ([limits, said, code]) => {
    await using it = await executing(limits)
    it.publish('events', { ...ref, first: 1, events: [{ type: 'usage', usage: { inputTokens: 2 } }] })
    await until(() => it.events.length === 1)
    await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1, usage: said })
    const { tripped } = await it.attempt.ended
    expect(tripped?.code).toBe(code)
  },
)

test('what its last words say that it used after a cancel does not make a failure of it', async () => {
  const stop = new AbortController()
  await using it = await executing({ rounds: 3 }, { signal: stop.signal })
  stop.abort('enough')
  await it.told()
  await it.send('terminal', { ...ref, status: 'cancelled', reason: 'enough', lastSeq: 0, usage: { rounds: 4 } })
  expect(await it.attempt.ended).not.toHaveProperty('tripped')
})

test('what is told is bounded, the last words included', async () => {
  const { length } = JSON.stringify(delta)
  await using it = await executing({ outputBytes: 2 * length })
  it.publish('events', { ...ref, first: 1, events: [delta, delta] })
  await until(() => it.events.length === 2)
  it.publish('events', { ...ref, first: 3, events: [delta] })
  expect(await it.told()).toMatch(/^LIMIT_OUTPUT: /)

  await using last = await executing({ outputBytes: 10 })
  await last.send('terminal', { ...ref, status: 'completed', lastSeq: 0, output: 'much too long' })
  expect(await last.attempt.ended).toMatchObject({ how: 'terminal', tripped: { code: 'LIMIT_OUTPUT' } })

  for (const nothing of [{}, { text: '' }, { output: null, text: '' }]) {
    await using silent = await executing({ outputBytes: 0 })
    await silent.send('terminal', { ...ref, status: 'completed', lastSeq: 0, ...nothing })
    expect(await silent.attempt.ended).not.toHaveProperty('tripped')
  }

  await using enough = await executing({ outputBytes: 15 })
  await enough.send('terminal', { ...ref, status: 'completed', lastSeq: 0, output: 'short' })
  expect(await enough.attempt.ended).not.toHaveProperty('tripped')
})

test("a heartbeat's memory is bounded", async () => {
  await using it = await executing({ memoryMb: 100 })
  const beat = { ...ref, lastSentSeq: 0, progressSeq: 0, loopLagMs: 0 }
  it.publish('heartbeat', { ...beat, rssMb: 100 })
  await turns()
  expect(it.inbox.some(({ kind }) => kind === 'cancel')).toBe(false)
  it.publish('heartbeat', { ...beat, rssMb: 101 })
  expect(await it.told()).toBe('LIMIT_MEMORY: it used 101 MiB of 100 MiB')
  expect(it.killed).toEqual([])
})

test('the memory of a deaf worker is looked at from outside, every second; at twice its limit it is ended at once', async () => {
  let rss: number | undefined = 90
  const looked: number[] = []
  const residentMb = (pid: number): Promise<number | undefined> => {
    looked.push(pid)
    return Promise.resolve(rss)
  }
  await using it = await executing({ memoryMb: 100 }, { pid: 77 }, { residentMb })
  await turns()
  it.clock.jump(1_000)
  await turns()
  expect(looked).toEqual([77, 77])
  rss = undefined
  it.clock.jump(1_000)
  await turns()
  rss = 150
  it.clock.jump(1_000)
  await turns()
  expect(await it.told()).toBe('LIMIT_MEMORY: it used 150 MiB of 100 MiB')
  expect(it.killed).toEqual([])
  rss = 201
  it.clock.jump(1_000)
  expect(await it.attempt.ended).toMatchObject({ how: 'lost', tripped: { code: 'LIMIT_MEMORY' } })
  expect(it.clock.timers).toHaveLength(0)
})

test('nobody looks at the memory of a worker that is not bounded, or is not on this machine', async () => {
  let looks = 0
  const residentMb = (): Promise<number> => Promise.resolve((looks += 1))
  await using unbounded = await executing({}, { pid: 77 }, { residentMb })
  await using elsewhere = await executing({ memoryMb: 1 }, {}, { residentMb })
  await turns()
  expect([looks, unbounded.killed.length + elsewhere.killed.length]).toEqual([0, 0])
})
