/** Exactly one outcome, and nothing executed twice, whatever happens at whichever moment. */
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import type { Outcome, ReadEvent } from '@greenroom/proto'
import { defineExecutor } from '@greenroom/worker'
import { openTheatre, type OnStep, type Theatre } from './fixtures/threadless.ts'
import { readAll, until } from './fixtures/setup.ts'

/** Says something in every way, and counts how often it was begun. */
function counting() {
  const begun: string[] = []
  const work = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      begun.push(`${ctx.attempt}`)
      await ctx.message('first')
      for (let n = 1; n <= 5; n += 1) {
        await ctx.emit({ type: 'data', name: 'n', data: n })
        await ctx.emit({ type: 'text-delta', text: String(n) })
        await sleep(1)
      }
      await ctx.message('last')
      return { output: 'done' }
    },
  })
  return { begun, executors: { work } }
}

/** No rejection that nobody handles, in the whole test. */
function expectNoStrayRejections(): void {
  const stray: unknown[] = []
  const onStray = (error: unknown): void => void stray.push(error)
  process.on('unhandledRejection', onStray)
  onTestFinished(async () => {
    await sleep(10)
    process.off('unhandledRejection', onStray)
    expect(stray).toEqual([])
  })
}

function expectOrder(events: readonly ReadEvent[]): void {
  let at = { epoch: 0, seq: 0 }
  for (const event of events) {
    const [first, last] = event.type === 'skipped' ? [event.first, event.last] : [event.seq, event.seq]
    expect(first).toBe(event.epoch === at.epoch ? at.seq + 1 : 1)
    expect(event.epoch).toBeGreaterThanOrEqual(at.epoch)
    at = { epoch: event.epoch, seq: last }
  }
}

/** What is left when all runs have ended: the mailboxes of the runner and of idle workers, empty. */
async function expectNothingLeft({ runner, bus }: Theatre): Promise<void> {
  expect(runner.stats()).toMatchObject({ runs: [], executing: 0, queued: 0, pool: { busy: 0 } })
  const idle = (): number => runner.stats().pool.idle
  await until(() => runner.stats().processes === idle(), 'the end of every worker that is not idle')
  await until(() => bus.stats().peers === 1 + idle() && bus.stats().messages === 0, 'an empty bus')
  expect(bus.stats()).toMatchObject({ mailboxes: 1 + idle(), messages: 0, held: 0, peers: 1 + idle() })
}

test('a worker killed at each of its steps: one outcome, at most one execution', { timeout: 60_000 }, async () => {
  expectNoStrayRejections()
  const statuses = new Map<string, number>()
  for (let n = 1, isOver = false; !isOver; n += 1) {
    const { begun, executors } = counting()
    let steps = 0
    let name = ''
    const onStep: OnStep = (step) => {
      if (step.worker !== 1) return
      steps += 1
      if (steps !== n) return
      name = step.name
      step.kill()
    }
    await using theatre = await openTheatre(executors, onStep)
    const run = theatre.runner.run({ role: 'work', task: 'do it', session: 's' })
    const reading = readAll(run)
    const outcome = await run.outcome
    expectOrder(await reading)
    expect(begun.length, name).toBeLessThanOrEqual(1)
    if (outcome.status === 'failed') expect(outcome, name).toMatchObject({ code: 'WORKER_LOST', mayStillRun: false })
    else expect(outcome, name).toMatchObject({ status: 'completed', output: 'done' })
    const said = (await theatre.runner.sessions.messages('s')).map(({ content }) => content)
    if (outcome.status === 'completed' && outcome.eventsLost === undefined)
      expect(said, name).toEqual(['do it', 'first', 'last'])
    expect(said[0]).toBe('do it')
    await expectNothingLeft(theatre)
    const key = `${outcome.status}, attempts: ${run.status().attempts}`
    statuses.set(key, (statuses.get(key) ?? 0) + 1)
    isOver = steps < n
  }
  console.log('killed at each step:', Object.fromEntries(statuses))
  // Killed before its claim, after it, and after its terminal was stored.
  expect([...statuses.keys()].toSorted()).toEqual([
    'completed, attempts: 1',
    'completed, attempts: 2',
    'failed, attempts: 1',
  ])
})

test(
  'kills, cancels, lost connections and closing at random moments: one outcome each',
  { timeout: 120_000 },
  async () => {
    expectNoStrayRejections()
    const deed = fc.record({
      at: fc.integer({ min: 1, max: 18 }),
      what: fc.constantFrom('kill', 'cancel', 'cut the worker', 'cut the runner', 'drain', 'close'),
    })
    const seen = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 1, maxLength: 4, size: 'max' }), async (deeds) => {
        const { begun, executors } = counting()
        let steps = 0
        const onStep: OnStep = ({ kill }) => {
          steps += 1
          for (const { at, what } of deeds) if (at === steps) act[what](kill)
        }
        await using theatre = await openTheatre(executors, onStep)
        const { runner } = theatre
        const act: Record<(typeof deeds)[number]['what'], (kill: () => void) => void> = {
          kill: (kill) => kill(),
          cancel: () => void run.cancel('enough'),
          'cut the worker': () => theatre.blink('worker'),
          'cut the runner': () => theatre.blink('runner'),
          drain: () => void runner.drain({ graceMs: 20 }),
          close: () => void runner.close(),
        }
        const run = runner.run({ role: 'work', task: 'do it' })
        const reading = readAll(run)
        const settled: Outcome[] = []
        void run.outcome.then((outcome) => settled.push(outcome))
        const outcome = await Promise.race([run.outcome, sleep(5_000, undefined)])
        expect(outcome, 'an outcome within five seconds').toBeDefined()
        expectOrder(await reading)
        expect(begun.length).toBeLessThanOrEqual(1)
        const key = outcome?.status === 'failed' ? outcome.code : String(outcome?.status)
        seen.set(key, (seen.get(key) ?? 0) + 1)
        expect(['completed', 'cancelled', 'WORKER_LOST']).toContain(key)
        if (outcome?.status === 'completed' && outcome.eventsLost === undefined)
          expect((await reading).filter(({ type }) => type === 'data')).toHaveLength(5)
        await runner.close()
        expect(runner.stats()).toMatchObject({ runs: [], processes: 0 })
        expect(settled).toEqual([outcome])
      }),
      { numRuns: 400 },
    )
    console.log('outcomes:', Object.fromEntries(seen))
  },
)

test('five hundred runs leave nothing behind but what is recorded of them', { timeout: 60_000 }, async () => {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  const heap = (): number => {
    if (typeof collect === 'function') collect()
    return process.memoryUsage().heapUsed
  }
  const quick = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      await ctx.emit({ type: 'text-delta', text: 'x'.repeat(10_000) })
      return { output: 1 }
    },
  })
  await using theatre = await openTheatre({ quick })
  const runMany = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += 10) {
      const runs = Array.from({ length: 10 }, () => theatre.runner.run({ role: 'quick', task: 'x' }))
      await Promise.all(runs.map(readAll))
    }
    await expectNothingLeft(theatre)
  }
  await runMany(200)
  const before = heap()
  await runMany(500)
  const perRun = Math.round((heap() - before) / 500)
  console.log(`memory kept per finished run: ${perRun} B, the records of a database in memory included`)
  expect(perRun).toBeLessThan(8 * 1024)
  expect(theatre.runner.stats()).toMatchObject({ started: 700, ended: 700, strayMessages: 0 })
})
