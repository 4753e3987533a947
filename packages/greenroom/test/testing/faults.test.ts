import type { Outcome, ReadEvent } from 'greenroom'
import {
  createGate,
  createManualClock,
  createTestRunner,
  scripted,
  type Faults,
  type LiveKind,
  type Moment,
} from 'greenroom/testing'
import { defineExecutor } from 'greenroom/worker'
import { describe, expect, test } from 'vitest'

/** Says ten things, a second after the other, and counts how often it was begun. */
function counting() {
  const begun: number[] = []
  const work = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      begun.push(ctx.attempt)
      for (let n = 1; n <= 10; n += 1) {
        await ctx.emit({ type: 'data', name: 'n', data: n })
        await new Promise<void>((resolve) => void ctx.clock.timer(1_000, resolve))
      }
      return { output: 'done' }
    },
  })
  return { begun, executors: { work } }
}

/** Runs it once under faults, with time going on as long as it takes. */
async function suffer(order: (faults: Faults) => void, seed = 1) {
  const clock = createManualClock()
  const { begun, executors } = counting()
  await using runner = await createTestRunner({ executors, clock, seed })
  order(runner.faults)
  const run = runner.run({ role: 'work' })
  const events: ReadEvent[] = []
  const reading = (async () => {
    for await (const event of run) events.push(event)
  })()
  await clock.advance(120_000)
  const outcome = await run.outcome
  await reading
  const { attempts, ms } = run.status()
  return { id: run.id, begun, outcome, attempts, ms, events, happened: runner.faults.happened, log: runner.log }
}

const all = Array.from({ length: 10 }, (_, index) => ({ type: 'data', name: 'n', data: index + 1, seq: index + 1 }))

describe('live messages that are lost, doubled or late are not noticed by the reader', () => {
  const harm: readonly [string, (faults: Faults) => void, string][] = [
    ['lost events', (faults) => faults.drop('events', { times: 3, after: 2 }), 'dropped events'],
    ['doubled events', (faults) => faults.duplicate('events', { times: 4 }), 'duplicated events'],
    ['late events', (faults) => faults.delay('events', 1_500, { times: 3 }), 'delayed events'],
    ['lost acknowledgements', (faults) => faults.drop('ack', { times: Infinity }), 'dropped ack'],
    ['a lost acceptance', (faults) => faults.drop('accepted'), 'dropped accepted'],
    ['lost heartbeats', (faults) => faults.drop('heartbeat', { times: 2 }), 'dropped heartbeat'],
  ]
  test.each(harm)('%s', async (_name, order, what) => {
    const { outcome, events, begun, happened } = await suffer(order)
    expect(happened).toContain(what)
    expect(outcome).toMatchObject({ status: 'completed', output: 'done' })
    expect(events).toMatchObject(all)
    expect(begun).toEqual([1])
  })
})

test('a delayed message arrives after its delay, and those behind it with it, in order', async () => {
  const clock = createManualClock()
  const { executors } = counting()
  await using runner = await createTestRunner({ executors, clock })
  runner.faults.delay('events', 2_500)
  const run = runner.run({ role: 'work' })
  await clock.advance(2_400)
  expect(run.status().events).toBe(0)
  await clock.advance(100)
  expect(run.status().events).toBe(3)
  expect(runner.faults.happened).toEqual(['delayed events'])
})

test.each([
  [1_500, 5_000, 6_000],
  [5_000, 1_500, 2_500],
])('of two delays, %d ms and a second later %d ms, the last one decides', async (one, two, releasedMs) => {
  const clock = createManualClock()
  const { executors } = counting()
  await using runner = await createTestRunner({ executors, clock })
  runner.faults.delay('events', one)
  runner.faults.delay('events', two)
  const run = runner.run({ role: 'work' })
  await clock.advance(releasedMs - 100)
  expect(run.status().events).toBe(0)
  await clock.advance(100)
  expect(run.status().events).toBe(Math.floor(releasedMs / 1_000) + 1)
})

describe('a worker killed at a moment', () => {
  const moments: readonly [Moment, string, number[]][] = [
    ['start', 'completed', [2]],
    ['before claim', 'completed', [2]],
    ['after claim', 'WORKER_LOST', []],
    ['before terminal', 'WORKER_LOST', [1]],
    ['after terminal', 'completed', [1]],
  ]
  test.each(moments)('%s: %s', async (moment, end, begun) => {
    const seen = await suffer((faults) => faults.kill(moment))
    expect(seen.happened).toEqual([`killed ${moment}`])
    expect(seen.outcome.status === 'failed' ? seen.outcome.code : seen.outcome.status).toBe(end)
    expect(seen.begun).toEqual(begun)
  })

  test('twice before the claim: there is no third attempt', async () => {
    const seen = await suffer((faults) => faults.kill('before claim', { times: 2 }))
    expect(seen.outcome).toMatchObject({ code: 'WORKER_LOST', mayStillRun: false })
    expect(seen.attempts).toBe(2)
    expect(seen.begun).toEqual([])
  })
})

test('a worker that cannot be started ends the run, and the next one starts', async () => {
  await using runner = await createTestRunner({ executors: { work: scripted([{ return: 1 }]) } })
  runner.faults.refuseSpawn()
  expect(await runner.run({ role: 'work' }).outcome).toMatchObject({
    code: 'WORKER_SPAWN_FAILED',
    message: expect.stringContaining('no worker can be started: injected fault'),
  })
  expect(await runner.run({ role: 'work' }).outcome).toMatchObject({ status: 'completed' })
})

test('every order counts each occasion from when it was given, also one at which another springs', async () => {
  await using runner = await createTestRunner({ executors: { work: scripted([{ return: 1 }]) } })
  runner.faults.kill('after claim')
  runner.faults.kill('after claim', { after: 1 })
  runner.faults.kill('after claim', { after: 3 })
  const statuses: string[] = []
  for (let n = 1; n <= 5; n += 1) statuses.push((await runner.run({ role: 'work' }).outcome).status)
  expect(statuses).toEqual(['failed', 'failed', 'completed', 'failed', 'completed'])
})

test('of two orders that are due at once the first springs, the other at the next occasion', async () => {
  await using runner = await createTestRunner({ executors: { work: scripted([{ return: 1 }]) } })
  runner.faults.kill('after claim', { after: 1 })
  runner.faults.kill('after claim', { after: 1 })
  const statuses: string[] = []
  for (let n = 1; n <= 4; n += 1) statuses.push((await runner.run({ role: 'work' }).outcome).status)
  expect(statuses).toEqual(['completed', 'failed', 'failed', 'completed'])
})

test('orders of different kinds count the same occasions: a message that is lost, a commit that fails', async () => {
  const messages = await suffer((faults) => {
    faults.drop('events', { times: 2 })
    faults.duplicate('events', { after: 1 })
    faults.drop('events', { after: 3 })
  })
  expect(messages.happened).toEqual(['dropped events', 'dropped events', 'duplicated events', 'dropped events'])
  const commits = await suffer((faults) => {
    faults.commit('lies', { after: 5 })
    faults.commit('full', { after: 4 })
    faults.commit('fails', { after: 4 })
  })
  // At the fifth two are due, at the sixth the one that was given first.
  expect(commits.happened).toEqual(['commit full', 'commit lies', 'commit fails'])
})

test("the runner's own connection may be lost for a while", async () => {
  const clock = createManualClock()
  const { executors } = counting()
  await using runner = await createTestRunner({ executors, clock })
  const run = runner.run({ role: 'work' })
  await clock.advance(1_500)
  runner.faults.cutRunner(4_000)
  await clock.advance(3_999)
  expect(run.status().events).toBe(2)
  await clock.advance(6_000)
  expect(await run.outcome).toMatchObject({ output: 'done' })
  expect(runner.log).toEqual([
    'the connection to the bus was lost; runs wait until it is back',
    'the connection to the bus is back',
  ])
})

describe('commits that go wrong', () => {
  test('and are to be made again later do not hold up the end of the test, with a clock that stands still', async () => {
    const clock = createManualClock()
    const gate = createGate()
    let outcome: Promise<Outcome> | undefined
    {
      await using runner = await createTestRunner({
        executors: { work: scripted([{ wait: gate }, { say: 'hello' }, { return: 1 }]) },
        clock,
      })
      outcome = runner.run({ role: 'work' }).outcome
      await clock.settle()
      runner.faults.commit('fails', { times: Infinity })
      gate.open()
      await clock.settle()
      expect(runner.faults.happened).toEqual(['commit fails'])
    }
    // Its executor had ended before: closing only had to wait until that could be recorded.
    expect(await outcome).toMatchObject({ status: 'completed', output: 1 })
    expect(clock.timers).toEqual([])
  })

  test.each(['fails', 'lies', 'full'] as const)('one of an entry that %s is made again', async (how) => {
    const seen = await suffer((faults) => faults.commit(how, { after: 4, times: 2 }))
    expect(seen.happened).toEqual([`commit ${how}`, `commit ${how}`])
    expect(seen.outcome).toMatchObject({ output: 'done' })
    expect(seen.events).toMatchObject(all)
  })

  test.each(['fails', 'lies'] as const)(
    'one at the beginning of a run that %s is made again: it is begun once',
    async (how) => {
      const seen = await suffer((faults) => faults.commit(how))
      expect(seen.happened).toEqual([`commit ${how}`])
      expect(seen.outcome).toMatchObject({ output: 'done' })
      expect(seen.begun).toEqual([1])
    },
  )

  test('one at the beginning of a run that finds no room refuses it: nothing is sent', async () => {
    const seen = await suffer((faults) => faults.commit('full'))
    expect(seen.outcome).toMatchObject({ status: 'failed', code: 'STORAGE_FULL', retry: 'later' })
    expect(seen.begun).toEqual([])
  })
})

describe('chance', () => {
  const kinds: readonly LiveKind[] = ['events', 'ack', 'heartbeat', 'accepted', 'resume', 'terminal-ack']
  const storm = (faults: Faults): void => {
    for (const kind of kinds) {
      faults.drop(kind, { chance: 0.3, times: Infinity })
      faults.delay(kind, 700, { chance: 0.2, times: Infinity })
      faults.duplicate(kind, { chance: 0.3, times: Infinity })
    }
  }

  test('the same seed has the same ids, faults, events and times', async () => {
    const first = await suffer(storm, 3)
    expect(await suffer(storm, 3)).toEqual(first)
    const other = await suffer(storm, 4)
    expect(other.id).not.toBe(first.id)
    expect(other.happened).not.toEqual(first.happened)
  })

  test('whatever the seed, every event arrives once and in order', async () => {
    for (let seed = 1; seed <= 25; seed += 1) {
      const { outcome, events, begun } = await suffer(storm, seed)
      expect(outcome).toMatchObject({ output: 'done' })
      expect(events).toMatchObject(all)
      expect(begun).toEqual([1])
    }
  })
})

test('what is taken back does not happen any more', async () => {
  const seen = await suffer((faults) => {
    faults.kill('before claim')
    faults.drop('events')
    faults.refuseSpawn()
    faults.commit('fails')
    faults.clear()
  })
  expect(seen).toMatchObject({ happened: [], attempts: 1, outcome: { output: 'done' } })
})
