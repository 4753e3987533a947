/** The three sequences of the reference (A28), end to end: a broker on a socket, and each run in a process of its own. */
import { createBroker, type Broker } from '@greenroom/broker'
import { join } from 'node:path'
import type { JsonValue } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { createApprovalHandler, createRunner, type Launcher, type Run, type RunnerOptions } from '../src/index.ts'
import { entryLauncher } from '../src/platform/process-launcher.ts'
import { familyRoles, familyWorker, type Family } from './fixtures/family-roles.ts'
import type { Step } from './fixtures/family.ts'
import { firstData, isAlive, readAll, temporaryFolder, until } from './fixtures/setup.ts'

const token = 'a-token-of-some-length'
/** Three processes start in that on a busy machine, in milliseconds. */
const patienceMs = 60_000

async function stage(options: Partial<RunnerOptions<Family, typeof familyRoles>> = {}) {
  const stack = new AsyncDisposableStack()
  const folder = stack.use(temporaryFolder())
  const listen = { socket: join(folder.path, 'bus.sock') }
  const broker: Broker = stack.use(await createBroker({ dir: join(folder.path, 'broker'), listen, token }))
  const runner = await createRunner({
    worker: familyWorker,
    roles: familyRoles,
    dataDir: join(folder.path, 'runner'),
    bus: { url: broker.url ?? '', token },
    quiet: true,
    ...options,
  })
  stack.defer(() => runner.close())
  /** The run of a child that its parent told of. */
  const childOf = async (run: Pick<Run<unknown>, typeof Symbol.asyncIterator>): Promise<Run> =>
    runner.attach(String(await firstData(run, 'child')))
  return { broker, runner, childOf, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const spawn = (name: string, input: JsonValue, role = 'child'): Step => ({ do: 'spawn', name, role, input, key: name })
const wait = (name: string): Step => ({ do: 'wait', names: [name] })
const say = { do: 'say' }

/** The children that a parent started, in order. */
async function childrenOf(run: Run<unknown>): Promise<string[]> {
  return (await readAll(run)).flatMap((event) =>
    event.type === 'data' && event.name === 'child' && typeof event.data === 'string' ? [event.data] : [],
  )
}

/** The process of each. */
async function processesOf(run: Run<unknown>, attach: (runId: string) => Promise<Run>): Promise<number[]> {
  return Promise.all((await childrenOf(run)).map(async (runId) => Number(await firstData(await attach(runId), 'pid'))))
}

test(
  '1: the next child with an equal fingerprint has the warm worker of the last one',
  { timeout: 120_000 },
  async () => {
    await using it = await stage()
    const { runner, broker } = it
    const steps = [
      spawn('c1', say),
      wait('c1'),
      spawn('c2', say),
      wait('c2'),
      spawn('c3', say, 'impatient'),
      wait('c3'),
    ]
    const run = runner.run({ role: 'parent', input: steps })
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    const [c1, c2, c3] = await processesOf(run, (runId) => runner.attach(runId))
    expect(c2).toBe(c1)
    expect(c3).not.toBe(c1)
    expect(run.status().worker?.pid).not.toBe(c1)
    expect(runner.stats().pool).toMatchObject({ hits: 1 })
    // Its worker stays attached, and nothing waits for it: what it took is acked, what it said is taken.
    expect(isAlive(Number(c1))).toBe(true)
    await until(() => broker.stats().messages === 0, 'an empty broker', patienceMs)
    expect(broker.stats().attached).toBeGreaterThanOrEqual(4)
  },
)

test(
  '2: what is asked three levels deep goes up from process to process, to a person',
  { timeout: 120_000 },
  async () => {
    await using it = await stage({ approvals: { person: 'elsewhere' } })
    const { runner, childOf } = it
    const low: Step[] = [{ do: 'pid' }, { do: 'approve', what: 'cut' }]
    const pass: Step[] = [{ do: 'pid' }, { do: 'decide', as: 'pass' }]
    const mid: Step[] = [...pass, spawn('low', low, 'parent'), wait('low')]
    const run = runner.run({ role: 'parent', input: [...pass, spawn('mid', mid, 'parent'), wait('mid')] })
    const middle = await childOf(run)
    const lowest = await childOf(middle)
    const path = [run.id, middle.id, lowest.id]

    const asked = await until(() => runner.approvals.list({ state: 'pending' })[0], 'the question', patienceMs)
    expect(asked).toMatchObject({ runId: lowest.id, path })
    const pids = await Promise.all([run, middle, lowest].map((one) => firstData(one, 'pid')))
    expect(new Set(pids).size).toBe(3)
    expect(pids.map(Number).every(isAlive)).toBe(true)
    // Each level above was asked, the nearest first, and handed on.
    for (const level of [middle, run]) expect(await firstData(level, 'asked')).toBe(lowest.id)
    expect(lowest.status()).toMatchObject({ phase: 'running', approvals: 1 })

    const handle = createApprovalHandler(runner.approvals)
    const post = (): Promise<Response> =>
      handle(
        new Request(`http://localhost/approvals/${asked.id}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ allow: true, reason: 'go on' }),
        }),
      )
    expect((await post()).status).toBe(200)
    expect(await lowest.outcome).toMatchObject({
      status: 'completed',
      output: [expect.any(Number), [true, 'person', 'go on', { what: 'cut', depth: 0 }]],
    })
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    expect(runner.approvals.list().map(({ decision }) => decision?.decider)).toEqual(['person'])
  },
)

/** Processes that end only when it is disposed of, as in a container that does not answer. */
function deaf(): Launcher & Disposable {
  const standard = entryLauncher(familyWorker.url)
  const launched: { kill(signal: 'SIGKILL'): void }[] = []
  return {
    launch(spec) {
      const process = standard.launch(spec)
      launched.push(process)
      return { ...process, kill: () => undefined }
    },
    [Symbol.dispose]() {
      for (const one of launched) one.kill('SIGKILL')
    },
  }
}

test(
  '3: a warm worker that is silent costs its child a second one, and does nothing when it comes to',
  { timeout: 120_000 },
  async () => {
    const launcher = deaf()
    await using it = await stage({ worker: launcher })
    using _ended = launcher
    const { runner, childOf, broker } = it
    const steps: Step[] = [
      spawn('c1', say, 'impatient'),
      wait('c1'),
      { do: 'hold' },
      spawn('c2', say, 'impatient'),
      wait('c2'),
      spawn('c3', say, 'impatient'),
      wait('c3'),
    ]
    const run = runner.run({ role: 'parent', input: steps })
    const first = Number(await firstData(await childOf(run), 'pid'))
    await until(() => runner.stats().pool.idle === 1, 'a warm worker', patienceMs)
    process.kill(first, 'SIGSTOP')
    await run.send('go on')
    // Without a claim in acceptWarmMs its assignment is withdrawn, and another worker is started.
    expect(await run.outcome).toMatchObject({
      status: 'completed',
      output: [
        expect.any(String),
        ['completed'],
        null,
        expect.any(String),
        ['completed'],
        expect.any(String),
        ['completed'],
      ],
    })
    const [c1, c2, c3] = await processesOf(run, (runId) => runner.attach(runId))
    expect(c1).toBe(first)
    expect(c2).not.toBe(first)
    expect(c3).toBe(c2)
    // It finds its assignment withdrawn: of its run there is one execution, and nothing is left for anybody.
    process.kill(first, 'SIGCONT')
    await until(() => broker.stats().messages === 0, 'an empty broker', patienceMs)
    const [, second = ''] = await childrenOf(run)
    const events = await readAll(await runner.attach(second))
    expect(events.map(({ epoch }) => epoch)).toEqual([2])
    expect(runner.stats()).toMatchObject({ executing: 0, queued: 0, runs: [] })
  },
)

test(
  'a grandchild that nobody waits for outlives its parents and their processes, and has its answer',
  { timeout: 120_000 },
  async () => {
    await using it = await stage({ approvals: { person: 'elsewhere' }, pool: { maxIdle: 0 } })
    const { runner, childOf } = it
    const low: Step[] = [{ do: 'hold' }, { do: 'approve', what: 'cut' }]
    const mid: Step[] = [{ do: 'pid' }, { do: 'decide', as: 'deny' }, spawn('low', low, 'parent')]
    const run = runner.run({ role: 'parent', input: [{ do: 'pid' }, spawn('mid', mid, 'parent'), wait('mid')] })
    const middle = await childOf(run)
    const lowest = await childOf(middle)
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    for (const one of [run, middle]) {
      const pid = Number(await firstData(one, 'pid'))
      await until(() => !isAlive(pid))
    }
    await lowest.send('now')
    const asked = await until(() => runner.approvals.list({ state: 'pending' })[0], 'the question', patienceMs)
    expect(asked.path).toEqual([run.id, middle.id, lowest.id])
    await runner.approvals.answer(asked.id, { allow: true, reason: 'late, but fine' })
    expect(await lowest.outcome).toMatchObject({
      status: 'completed',
      output: [null, [true, 'person', 'late, but fine', { what: 'cut', depth: 0 }]],
    })
  },
)
