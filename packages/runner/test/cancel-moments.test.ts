/**
 * Cancelling a run at each moment of its life: it ends once, within its bound, and nothing is left of it: no process, no
 * permit, no message, no timer.
 */
import { createBroker, type Broker } from '@greenroom/broker'
import { codeOf, systemClock, type Clock, type Outcome, type Timer } from '@greenroom/proto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  createMemorySessions,
  createRunner,
  type Launcher,
  type Run,
  type Runner,
  type SessionStore,
} from '../src/index.ts'
import { entryLauncher } from '../src/platform/process-launcher.ts'
import { firstData, isAlive, roles, temporaryFolder, until, worker, type TestExecutors } from './fixtures/setup.ts'

const graceMs = 300
const partitionGraceMs = 1_000
const token = 'a-token-of-some-length'
/** A machine that does something else meanwhile. */
const slack = 3

type TestRunner = Runner<TestExecutors, typeof roles>

/** The system's time, with every timer that is set counted. */
class CountingClock implements Clock {
  readonly #pending = new Set<object>()

  get pending(): number {
    return this.#pending.size
  }

  now(): number {
    return systemClock.now()
  }

  monotonic(): number {
    return systemClock.monotonic()
  }

  timer(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer {
    const entry = {}
    this.#pending.add(entry)
    const timer = systemClock.timer(
      delayMs,
      () => {
        this.#pending.delete(entry)
        fire()
      },
      options,
    )
    return {
      cancel: () => {
        this.#pending.delete(entry)
        timer.cancel()
      },
    }
  }
}

/** A runner at a broker that can be looked into, and be down for a while. */
class Stage implements AsyncDisposable {
  readonly runner: TestRunner
  readonly clock: CountingClock
  readonly #folder: ReturnType<typeof temporaryFolder>
  #broker: Broker

  private constructor(
    folder: ReturnType<typeof temporaryFolder>,
    broker: Broker,
    runner: TestRunner,
    clock: CountingClock,
  ) {
    this.#folder = folder
    this.#broker = broker
    this.runner = runner
    this.clock = clock
  }

  static async open(
    options: { readonly launcher?: Launcher; readonly maxIdle?: number; readonly sessions?: SessionStore } = {},
  ): Promise<Stage> {
    const folder = temporaryFolder()
    const broker = await startBroker(folder.path)
    const clock = new CountingClock()
    const runner = await createRunner<TestExecutors, typeof roles>({
      worker: options.launcher ?? worker,
      roles,
      bus: { url: broker.url ?? '', token },
      dataDir: null,
      quiet: true,
      logger: { warn: () => undefined, output: () => undefined },
      admission: { maxExecuting: 1 },
      pool: { maxIdle: options.maxIdle ?? 0 },
      cancelGraceMs: graceMs,
      partitionGraceMs,
      clock,
      ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
    })
    const stage = new Stage(folder, broker, runner, clock)
    // What stays for good is there after the first run.
    await runner.run({ role: 'echo', task: 'first' }).outcome
    await stage.isQuiet()
    return stage
  }

  /** Messages at the broker. */
  get messages(): number {
    return this.#broker.stats().messages
  }

  async brokerDown(): Promise<void> {
    await this.#broker.close()
  }

  async brokerUp(): Promise<void> {
    this.#broker = await startBroker(this.#folder.path)
  }

  /** How many timers there are when nothing goes on. */
  async isQuiet(): Promise<number> {
    const { runner } = this
    const idle = (): number => runner.stats().pool.idle
    await until(() => runner.stats().processes === idle(), 'the end of every process')
    await until(() => this.#broker.stats().messages === 0, 'an empty bus')
    const { runs, executing, queued, pool } = runner.stats()
    if (runs.length + executing + queued + pool.busy > 0)
      throw new Error(`a run is left: ${JSON.stringify(runner.stats())}`)
    await until(() => this.#broker.stats().mailboxes === 1 + idle(), 'the end of every mailbox')
    return this.clock.pending
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner.close()
    await this.#broker.close()
    this.#folder[Symbol.dispose]()
  }
}

function startBroker(folder: string): Promise<Broker> {
  return createBroker({
    dir: join(folder, 'data'),
    listen: { socket: join(folder, 'bus.sock') },
    token,
    partitionGraceMs,
  })
}

/** Cancels a run and holds it to its bound, in milliseconds. */
async function cancelWithin(run: Run<unknown>, bound: number, reason: string): Promise<Outcome<unknown>> {
  const before = performance.now()
  const outcome = await run.cancel(reason)
  const ms = Math.round(performance.now() - before)
  console.log(`cancelled after ${ms} ms (bound ${bound})`)
  expect(ms).toBeLessThan(slack * bound)
  return outcome
}

/** Cancels a run and holds it to everything that a cancel promises. */
async function expectClean(
  stage: Stage,
  run: Run<unknown>,
  {
    within,
    timers,
    reason = 'not any more',
  }: { readonly within: number; readonly timers: number; readonly reason?: string },
): Promise<Outcome<unknown>> {
  const settled: unknown[] = []
  void run.outcome.then((outcome) => settled.push(outcome))
  const pid = run.status().worker?.pid
  const outcome = await cancelWithin(run, within, reason)
  if (stage.runner.stats().pool.idle === 0 && pid !== undefined)
    await until(() => !isAlive(pid), 'the end of the worker')
  await until(async () => (await stage.isQuiet()) === timers, 'the end of every timer')
  expect(await run.cancel('again')).toEqual(outcome)
  expect(settled).toEqual([outcome])
  return outcome
}

const cancelled = { status: 'cancelled', reason: 'not any more' }

test('queued: with a scheduler, before it is its turn', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  await using scheduler = stage.runner.scheduler({ parent: 'p', heartbeatMs: 3_600_000 })
  const first = await scheduler.enqueue({ role: 'wait' })
  await firstData(first, 'pid')
  const second = await scheduler.enqueue({ role: 'echo', task: 'x' })
  expect(await cancelWithin(second, 100, 'not any more')).toEqual(cancelled)
  expect(second.status().attempts).toBe(0)
  await first.cancel()
  await scheduler.drain()
  await until(async () => (await stage.isQuiet()) === timers, 'the end of every timer')
})

test('waiting for a permit', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const first = stage.runner.run({ role: 'wait' })
  await firstData(first, 'pid')
  const second = stage.runner.run({ role: 'echo', task: 'x' })
  await until(() => second.status().phase === 'queued')
  expect(await cancelWithin(second, 100, 'not any more')).toEqual(cancelled)
  expect(second.status()).toMatchObject({ attempts: 0, events: 0 })
  await expectClean(stage, first, { within: graceMs, timers })
})

test('spawning', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'echo', task: 'x' })
  await until(() => run.status().worker?.pid)
  expect(await expectClean(stage, run, { within: 100, timers })).toEqual(cancelled)
  expect(run.status().events).toBe(0)
})

test('attaching: its process is there and never says a word', async () => {
  const standard = entryLauncher(worker.url)
  let stop = false
  const launcher: Launcher = {
    launch(spec) {
      const launched = standard.launch(spec)
      if (stop) process.kill(launched.pid ?? 0, 'SIGSTOP')
      return launched
    },
  }
  await using stage = await Stage.open({ launcher })
  const timers = stage.clock.pending
  stop = true
  const run = stage.runner.run({ role: 'echo', task: 'x' })
  await until(() => run.status().worker?.pid)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(await expectClean(stage, run, { within: 100, timers })).toEqual(cancelled)
})

test('before the claim: a warm worker that stands still has the assignment, and is as warm as before', async () => {
  await using stage = await Stage.open({ maxIdle: 1 })
  const warm = stage.runner.run({ role: 'echo', task: 'warm' })
  await warm.outcome
  const pid = warm.status().worker?.pid ?? 0
  const timers = await stage.isQuiet()
  process.kill(pid, 'SIGSTOP')
  const run = stage.runner.run({ role: 'echo', task: 'x' })
  await until(() => stage.messages === 1, 'the assignment at the broker')
  expect(run.status().worker).toMatchObject({ pid, warm: true })
  expect(await expectClean(stage, run, { within: 100, timers })).toEqual(cancelled)
  process.kill(pid, 'SIGCONT')
  const next = stage.runner.run({ role: 'echo', task: 'y' })
  expect(await next.outcome).toMatchObject({ status: 'completed', text: 'y' })
  expect(next.status().worker).toMatchObject({ pid, warm: true })
})

test('after the claim, with an executor that hears it', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'wait' })
  await firstData(run, 'pid')
  expect(await expectClean(stage, run, { within: graceMs, timers })).toEqual(cancelled)
})

test('in a tool: the program that it started is gone too', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'tool' })
  const program = Number(await firstData(run, 'pid'))
  expect(isAlive(program)).toBe(true)
  expect(await expectClean(stage, run, { within: graceMs, timers })).toEqual(cancelled)
  await until(() => !isAlive(program), 'the end of the program', 2_000)
})

test('in a synchronous loop: ended by force after the grace', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'spin' })
  const pids = await firstData(run, 'pids')
  expect(await expectClean(stage, run, { within: graceMs + 1_000, timers })).toMatchObject(cancelled)
  for (const pid of Array.isArray(pids) ? pids : []) await until(() => !isAlive(Number(pid)))
})

test('while the broker is down', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'wait' })
  await firstData(run, 'pid')
  await stage.brokerDown()
  const pid = run.status().worker?.pid ?? 0
  expect(await cancelWithin(run, graceMs + 1_000 + partitionGraceMs, 'not any more')).toMatchObject(cancelled)
  await until(() => !isAlive(pid), 'the end of the worker')
  await stage.brokerUp()
  await until(async () => {
    try {
      return (await stage.isQuiet()) <= timers
    } catch (error) {
      if (codeOf(error) !== undefined) throw error
      return false
    }
  }, 'the end of every timer and message')
})

test('at the terminal: the run was faster, and is completed', async () => {
  const store = createMemorySessions()
  const held = Promise.withResolvers<void>()
  const sessions: SessionStore = {
    ...store,
    append: async (id, entries) => {
      if (entries.some(({ epoch }) => epoch > 0) && id === 'slow') await held.promise
      return store.append(id, entries)
    },
  }
  await using stage = await Stage.open({ sessions })
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'echo', task: 'x', session: 'slow' })
  await until(() => run.status().phase === 'ending')
  const cancelling = cancelWithin(run, 100, 'too late')
  held.resolve()
  expect(await cancelling).toMatchObject({ status: 'completed', text: 'x' })
  await until(async () => (await stage.isQuiet()) === timers, 'the end of every timer')
})

test('after it: nothing happens', async () => {
  await using stage = await Stage.open()
  const timers = stage.clock.pending
  const run = stage.runner.run({ role: 'echo', task: 'x' })
  const outcome = await run.outcome
  expect(await expectClean(stage, run, { within: 100, timers })).toEqual(outcome)
  expect(outcome).toMatchObject({ status: 'completed' })
})
