/** A runner that is killed with runs in flight, and its next life. */
import { createBroker } from '@greenroom/broker'
import type { Outcome, ReadEvent } from '@greenroom/proto'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createRunner, type Completion } from '../src/index.ts'
import { crashRoles } from './fixtures/crash-roles.ts'
import { isAlive, readAll, temporaryFolder, testRunner, until, worker } from './fixtures/setup.ts'

const token = 'a-token-of-some-length'

interface Told {
  readonly ids: Readonly<Record<string, readonly string[]>>
  readonly pids: readonly number[]
}

/** Starts the program, and waits until all its runs are where they are to be. */
async function crashing(folder: string, url?: string): Promise<Told & AsyncDisposable & { kill(): Promise<void> }> {
  const program = fork(
    new URL('fixtures/crashing-program.ts', import.meta.url),
    [join(folder, 'data'), folder, ...(url === undefined ? [] : [url])],
    { execArgv: ['--conditions=@greenroom/source'] },
  )
  const exited = once(program, 'exit')
  const [told]: unknown[] = await Promise.race([
    once(program, 'message'),
    exited.then(() => Promise.reject(new Error('the program ended by itself'))),
  ])
  const kill = async (): Promise<void> => {
    program.kill('SIGKILL')
    await exited
  }
  return { ...(told as Told), kill, [Symbol.asyncDispose]: kill }
}

/** The next life, and how each kind of run ended in it. */
async function nextLife(folder: string, { ids }: Told, url?: string) {
  await using runner = await createRunner({
    worker,
    roles: crashRoles,
    dataDir: join(folder, 'data'),
    quiet: true,
    logger: { warn: () => undefined, output: () => undefined },
    ...(url === undefined ? {} : { bus: { url, token } }),
  })
  const completions: Completion[] = []
  const scheduler = runner.scheduler({ parent: 'p', onCompletion: (one) => void completions.push(one) })
  await runner.resume()
  expect(await runner.resume()).toEqual([])
  const outcomes: Record<string, Outcome<unknown>[]> = {}
  const events: Record<string, ReadEvent[][]> = {}
  for (const [name, some] of Object.entries(ids)) {
    const runs = await Promise.all(some.map((id) => runner.attach(id)))
    outcomes[name] = await Promise.all(runs.map((run) => run.outcome))
    events[name] = await Promise.all(runs.map(readAll))
  }
  await scheduler.drain()
  expect(await runner.resume()).toEqual([])
  const { stats } = { stats: runner.stats() }
  expect(stats).toMatchObject({ executing: 0, queued: 0, runs: [] })
  return { outcomes, events, completions }
}

const all = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one)
const shown = (events: readonly ReadEvent[]): string[] =>
  events.map((event) => (event.type === 'skipped' ? 'skipped' : `${event.epoch}/${event.seq} ${event.type}`))

/** What is read of each kind of run, in full; what is skipped is a delta. */
const shownOf = ({ events }: Awaited<ReturnType<typeof nextLife>>) =>
  Object.fromEntries(Object.entries(events).map(([kind, some]) => [kind, some.map(shown)]))
const begun = ['1/1 message', '1/2 data']
const triedAgain = [...begun, '2/1 message', '2/2 data', '2/3 message']
/** The same at whichever broker. A detached run needs one that outlives its runner: at an embedded one there is none. */
const entries = {
  terminal: all(4, begun),
  again: all(3, triedAgain),
  repeatable: all(2, triedAgain),
  waiting: all(4, begun),
  tool: all(3, ['1/1 tool-call', '1/2 data']),
  unclaimed: all(2, ['skipped', '2/2 message']),
  queued: all(3, ['skipped', '1/2 message']),
  child: [['skipped', '1/2 message']],
}
/** Those that end in the same way at whichever broker. */
const outcomesAnywhere = {
  again: all(3, { status: 'completed', output: 2 }),
  repeatable: all(2, { status: 'completed', output: 2 }),
  unclaimed: [0, 1].map((n) => ({ status: 'completed', text: `unclaimed ${n}` })),
  queued: [0, 1, 2].map((n) => ({ status: 'completed', text: `queued ${n}` })),
  child: [{ status: 'completed', text: 'child' }],
}
const told = ({ ids }: Told) => [{ runId: ids['child']?.[0], parent: 'p', outcome: { status: 'completed' } }]

test(
  'a runner killed with two dozen runs in flight: each has its one right outcome in the next life',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    await using program = await crashing(folder.path)
    await program.kill()
    writeFileSync(join(folder.path, 'start'), '')
    const life = await nextLife(folder.path, program)
    const unknown = { status: 'failed', code: 'OUTCOME_UNKNOWN', mayStillRun: false, retry: 'never' }
    expect(life.outcomes).toMatchObject({
      ...outcomesAnywhere,
      // Its embedded broker died with it: no worker could leave a word.
      terminal: all(4, unknown),
      waiting: all(4, unknown),
      tool: all(3, unknown),
    })
    expect(program.pids.filter(isAlive)).toEqual([])
    expect(shownOf(life)).toEqual(entries)
    expect(life.completions).toMatchObject(told(program))
  },
)

test(
  'at a broker of its own a worker\u2019s last word waits for the next life, and is its outcome',
  { timeout: 60_000 },
  async () => {
    using folder = temporaryFolder()
    await using broker = await createBroker({
      dir: join(folder.path, 'broker'),
      listen: { socket: join(folder.path, 'bus.sock') },
      token,
      partitionGraceMs: 30_000,
    })
    const { url = '' } = broker
    await using program = await crashing(folder.path, url)
    // What the program acknowledged before it stood still may not have come yet.
    let fewest = Infinity
    const added = (): number => {
      const { messages } = broker.stats()
      fewest = Math.min(fewest, messages)
      return messages - fewest
    }
    added()
    writeFileSync(join(folder.path, 'terminal'), '')
    await until(() => added() >= 4, 'the terminals at the broker')
    await program.kill()
    await until(() => !program.pids.some(isAlive), 'the end of its workers')
    writeFileSync(join(folder.path, 'start'), '')
    const life = await nextLife(folder.path, program, url)
    const stopped = { status: 'failed', code: 'WORKER_LOST', mayStillRun: false }
    expect(life.outcomes).toMatchObject({
      ...outcomesAnywhere,
      // It said one thing more, which it kept for the runner that had ended.
      terminal: all(4, { status: 'completed', output: 1, text: 'done', eventsLost: { first: 3, last: 3 } }),
      waiting: all(4, stopped),
      tool: all(3, stopped),
      detached: all(3, { status: 'completed', output: 1, text: 'done' }),
    })
    expect(shownOf(life)).toEqual({ ...entries, detached: all(3, [...begun, '1/3 message']) })
    expect(life.completions).toMatchObject(told(program))
    await until(() => broker.stats().messages === 0, 'an empty bus')
  },
)

test('a run is attached to by its id, from any event on, while it runs and after', async () => {
  using folder = temporaryFolder()
  let id = ''
  {
    await using runner = await testRunner({ dataDir: folder.path })
    const run = await runner.start({ role: 'count', input: { count: 5, kind: 'entries' } })
    id = run.id
    await run.outcome
    const again = await runner.attach(id, { after: { epoch: 1, seq: 3 } })
    expect(shown(await readAll(again))).toEqual(['1/4 data', '1/5 data'])
    const live = await runner.start({ role: 'wait' })
    const attached = await runner.attach(live.id, { after: { epoch: 1, seq: 1 } })
    for await (const event of attached) {
      expect(event).toMatchObject({ type: 'data', name: 'pid', seq: 2 })
      break
    }
    expect(attached.status()).toMatchObject({ runId: live.id, phase: 'running' })
    expect(await attached.cancel('enough')).toMatchObject({ status: 'cancelled' })
  }
  await using runner = await testRunner({ dataDir: folder.path })
  const past = await runner.attach(id)
  expect(shown(await readAll(past))).toEqual([1, 2, 3, 4, 5].map((seq) => `1/${seq} data`))
  expect(await past.outcome).toMatchObject({ status: 'completed', output: 5 })
  expect(past.status()).toMatchObject({ runId: id, role: 'count', phase: 'ended', attempts: 1, status: 'completed' })
  expect(shown(await readAll(await runner.attach(id, { after: { epoch: 9, seq: 9 } })))).toEqual([])
  await expect(runner.attach('nobody')).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
  const after: never = JSON.parse('{ "epoch": 0, "seq": 1 }') as never
  await expect(runner.attach(id, { after })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
})

test('an idempotency key starts one run, in whichever life; with another order it is refused', async () => {
  using folder = temporaryFolder()
  const spec = { role: 'add', input: { a: 1, b: 2 } } as const
  const options = { idempotencyKey: 'order 17: \u00fc' }
  let id = ''
  {
    await using runner = await testRunner({ dataDir: folder.path })
    const [one, two] = await Promise.all([runner.start(spec, options), runner.start(spec, options)])
    id = one.id
    expect(two.id).toBe(id)
    expect(await one.outcome).toMatchObject({ status: 'completed', output: { sum: 3 } })
    expect((await runner.start(spec, { idempotencyKey: 'order 18' })).id).not.toBe(id)
  }
  await using runner = await testRunner({ dataDir: folder.path })
  const again = await runner.start(spec, options)
  expect([again.id, await again.outcome]).toMatchObject([id, { status: 'completed', output: { sum: 3 } }])
  await expect(runner.start({ role: 'add', input: { a: 1, b: 3 } }, options)).rejects.toMatchObject({
    code: 'ID_CONFLICT',
    message: expect.stringContaining(id),
  })
  const large = { role: 'echo', input: 'x'.repeat(9 * 2 ** 20) } as const
  await expect(runner.start(large, { idempotencyKey: 'large' })).rejects.toMatchObject({ code: 'SPEC_TOO_LARGE' })
  await expect(runner.start(spec, { idempotencyKey: '' })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await runner.close()
  await expect(runner.start(spec)).rejects.toMatchObject({ code: 'CLOSED' })
})
