import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { settle } from '@greenroom/bus/testing'
import type { JsonValue, Outcome, ReadEvent } from 'greenroom'
import { createGate, createManualClock, createTestRunner, scripted } from 'greenroom/testing'
import { defineExecutor, echo } from 'greenroom/worker'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'

const release = defineExecutor({
  version: '1',
  input: z.object({ tag: z.string() }),
  output: z.object({ sha: z.string() }),
  secrets: ['TOKEN'],
  async run({ input }, ctx) {
    await ctx.emit({ type: 'text-delta', text: `tagging ${input.tag}` })
    await ctx.message(`tagged ${input.tag}`)
    return { output: { sha: ctx.secret('TOKEN') } }
  },
})

/** The first events of a run; all of them, by default. */
async function take(run: AsyncIterable<ReadEvent>, count = Infinity): Promise<ReadEvent[]> {
  const events: ReadEvent[] = []
  for await (const event of run) if (events.push(event) === count) break
  return events
}

test("a real executor runs as in a process: events, transcript, schemas, secrets of its role's", async () => {
  await using runner = await createTestRunner({
    executors: { release },
    roles: { releaser: { executor: 'release', secrets: ['TOKEN'] } },
    secrets: { TOKEN: 'abc' },
  })
  const run = runner.run({ role: 'releaser', task: 'Tag it', session: 's', input: { tag: 'v1' } })
  expect(await take(run)).toMatchObject([
    { type: 'text-delta', text: 'tagging v1', seq: 1 },
    { type: 'message', seq: 2 },
  ])
  expect(await run.outcome).toMatchObject({ status: 'completed', output: { sha: 'abc' } })
  expect(await runner.sessions.messages('s')).toEqual([
    { role: 'user', content: 'Tag it' },
    { role: 'assistant', content: 'tagged v1' },
  ])
})

test('what does not fit the schema is refused, as in a process', async () => {
  await using runner = await createTestRunner({ executors: { release } })
  const input: { tag: string } = JSON.parse('{ "tag": 1 }')
  expect(await runner.run({ role: 'release', input }).outcome).toMatchObject({ code: 'INPUT_INVALID' })
  expect(await runner.run({ role: 'release', input: { tag: 'v1' } }).outcome).toMatchObject({ code: 'SECRET_MISSING' })
})

test('roles are one for each executor, and inputs and outputs are inferred', async () => {
  await using runner = await createTestRunner({ executors: { release, echo, script: scripted([{ return: 1 }]) } })
  type Spec<Role extends 'release' | 'echo'> = Parameters<typeof runner.run<Role>>[0]
  expectTypeOf<Parameters<typeof runner.run>[0]['role']>().toEqualTypeOf<'release' | 'echo' | 'script'>()
  expectTypeOf<{ role: 'release'; input: { tag: string } }>().toExtend<Spec<'release'>>()
  expectTypeOf<{ role: 'release'; input: { tag: number } }>().not.toExtend<Spec<'release'>>()
  expectTypeOf<{ role: 'release' }>().not.toExtend<Spec<'release'>>()
  expectTypeOf<{ role: 'echo' }>().toExtend<Spec<'echo'>>()
  type Ending<Role extends 'release' | 'script'> = Awaited<ReturnType<typeof runner.run<Role>>['outcome']>
  expectTypeOf<Ending<'release'>>().toEqualTypeOf<Outcome<{ sha: string }>>()
  expectTypeOf<Ending<'script'>>().toEqualTypeOf<Outcome<JsonValue>>()
  expect(await runner.run({ role: 'echo', task: 'hello' }).outcome).toMatchObject({ text: 'echo: hello' })
  expect(await runner.run({ role: 'script' }).outcome).toMatchObject({ output: 1 })
})

test('roles of its own are inferred, and only they are there', async () => {
  await using runner = await createTestRunner({
    executors: { release, echo },
    roles: { shouter: { executor: 'echo' } },
  })
  expectTypeOf<Parameters<typeof runner.run>[0]['role']>().toEqualTypeOf<'shouter'>()
  expect(await runner.run({ role: 'shouter', task: 'hi' }).outcome).toMatchObject({ text: 'echo: hi' })
})

test('options of a runner are checked as a runner checks them', async () => {
  await expect(createTestRunner({ executors: { echo }, cancelGraceMs: -1 })).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
  })
})

test('twenty minutes of work take no time, and a test can prove that no timer is left', async () => {
  const clock = createManualClock()
  await using runner = await createTestRunner({
    executors: {
      slow: scripted([
        { say: 'begun' },
        { wait: 600_000 },
        { say: 'half of it' },
        { wait: 600_000 },
        { return: 'done' },
      ]),
    },
    clock,
  })
  const run = runner.run({ role: 'slow' })
  await clock.advance(1_199_999)
  expect(run.status()).toMatchObject({ phase: 'running', ms: 1_199_999 })
  await clock.advance(1)
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 'done' })
  await runner.close()
  expect(runner.workers).toEqual([])
  expect(clock.timers).toEqual([])
})

test('what hangs runs into its limits, in no time', async () => {
  const clock = createManualClock()
  await using runner = await createTestRunner({ executors: { stuck: scripted([{ say: 'hello' }, 'block']) }, clock })
  const run = runner.run({ role: 'stuck' })
  await clock.advance(1_000_000)
  expect(await run.outcome).toMatchObject({ status: 'timeout', which: 'no-progress' })
})

test('leaving the block ends what is still running, whatever it waits for, and leaves no timer', async () => {
  const clock = createManualClock()
  const gate = createGate()
  let outcome: Promise<Outcome> | undefined
  {
    await using runner = await createTestRunner({
      executors: { deaf: scripted(['ignore cancel', { wait: gate }]) },
      clock,
    })
    outcome = runner.run({ role: 'deaf' }).outcome
    await gate.reached
    runner.faults.cutRunner(600_000)
  }
  expect(await outcome).toMatchObject({ status: 'cancelled', reason: 'the runner was closed' })
  expect(clock.timers).toEqual([])
})

test('a worker can be killed, and its transcript so far is kept', async () => {
  const gate = createGate()
  await using runner = await createTestRunner({
    executors: { work: scripted([{ say: 'half of it' }, { wait: gate }, { say: 'never' }]) },
  })
  const run = runner.run({ role: 'work', session: 's' })
  const [first] = await take(run, 1)
  expect(first).toMatchObject({ type: 'message' })
  expect(runner.workers).toMatchObject([{ role: 'work', state: 'running', address: run.status().worker?.address }])
  runner.workers[0]?.kill()
  expect(await run.outcome).toMatchObject({
    status: 'failed',
    code: 'WORKER_LOST',
    message: 'the worker was ended by SIGKILL',
    mayStillRun: false,
  })
  gate.open()
  await settle()
  expect(await runner.sessions.messages('s')).toEqual([{ role: 'assistant', content: 'half of it' }])
})

test('a worker that is suspended for less than the partition grace goes on where it was', async () => {
  const clock = createManualClock()
  await using runner = await createTestRunner({
    executors: { work: scripted([{ wait: 1_000 }, { say: 'one' }, { wait: 1_000 }, { return: 2 }]) },
    partitionGraceMs: 30_000,
    clock,
  })
  const run = runner.run({ role: 'work' })
  await clock.advance(500)
  runner.workers[0]?.suspend()
  await clock.advance(29_000)
  expect(run.status()).toMatchObject({ phase: 'running', events: 0 })
  runner.workers[0]?.resume()
  await clock.advance(1_500)
  expect(await run.outcome).toMatchObject({ status: 'completed', output: 2 })
  expect(run.status().attempts).toBe(1)
})

test('a worker that is suspended for longer is given up and ended', async () => {
  const clock = createManualClock()
  const gate = createGate()
  await using runner = await createTestRunner({
    executors: { work: scripted([{ wait: gate }]) },
    partitionGraceMs: 30_000,
    clock,
  })
  const run = runner.run({ role: 'work' })
  await gate.reached
  runner.workers[0]?.suspend()
  await clock.advance(29_999)
  expect(run.status().phase).toBe('running')
  await clock.advance(1)
  expect(await run.outcome).toMatchObject({ code: 'WORKER_LOST' })
  expect(runner.workers).toEqual([])
})

test('a worker whose connection is lost for a while is not missed', async () => {
  const clock = createManualClock()
  await using runner = await createTestRunner({
    executors: { work: scripted([{ wait: 1_000 }, { say: 'meanwhile' }, { return: 'done' }]) },
    clock,
  })
  const run = runner.run({ role: 'work', session: 's' })
  await clock.settle()
  runner.workers[0]?.cut(5_000)
  await clock.advance(4_999)
  expect(run.status().events).toBe(0)
  await clock.advance(1)
  expect(await run.outcome).toMatchObject({ output: 'done' })
  expect(await runner.sessions.messages('s')).toHaveLength(1)
})

test('what workers log and the runner warns of is kept, and passed on', async () => {
  const passedOn: string[] = []
  await using runner = await createTestRunner({
    executors: { bad: scripted([{ throw: new Error('it broke') }]) },
    logger: { warn: (message) => void passedOn.push(message), output: (_source, line) => void passedOn.push(line) },
  })
  const run = runner.run({ role: 'bad' })
  expect(await run.outcome).toMatchObject({ code: 'EXECUTOR_ERROR', message: 'it broke' })
  expect(runner.log.join('\n')).toContain('it broke')
  expect(passedOn.join('\n')).toContain('it broke')
})

test('a data folder is real: what a session said is there for the next runner', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'greenroom-testing-'))
  try {
    const talk = scripted(({ messages }) => [{ say: `${messages.length}` }, { return: messages.length }])
    for (const count of [1, 3]) {
      await using runner = await createTestRunner({ executors: { talk }, dataDir: folder })
      expect(await runner.run({ role: 'talk', task: 'count', session: 's' }).outcome).toMatchObject({ output: count })
      expect(() => runner.faults.commit('fails')).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('drain lets runs end', async () => {
  const gate = createGate()
  await using runner = await createTestRunner({ executors: { work: scripted([{ wait: gate }, { return: 1 }]) } })
  const run = runner.run({ role: 'work' })
  await gate.reached
  const drained = runner.drain()
  expect(await runner.run({ role: 'work' }).outcome).toMatchObject({ code: 'DRAINING' })
  gate.open()
  await drained
  await runner.closed
  expect(await run.outcome).toMatchObject({ status: 'completed' })
})
