import { chmodSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createMemoryBus } from '@greenroom/bus'
import type { Clock, Outcome } from '@greenroom/proto'
import { createMemoryStore, storeWith, type Store } from '@greenroom/store'
import { createRunner, type Run, type Runner } from '../src/index.ts'
import { runnerSchema } from '../src/runner-schema.ts'
import { FabricStage, type FabricMember } from './fixtures/fabric-stage.ts'
import { counted, outputOf, outputs } from './fixtures/resident-stage.ts'
import { until } from './fixtures/setup.ts'
import { openWire } from './fixtures/wire.ts'

/** How many runners are connected to a member. */
async function runnersAt({ broker }: FabricMember): Promise<number> {
  const mailboxes = await broker.operator.mailboxes()
  return mailboxes.filter(({ address, state }) => address.startsWith('runner.') && state === 'attached').length
}

describe('a run in a fabric', { timeout: 30_000 }, () => {
  test('reaches every worker in turn while all are equally busy, and knows where it runs', async () => {
    await using stage = new FabricStage()
    for (const name of ['a', 'b', 'c']) await stage.member(name)
    const runner = await stage.runner()
    const runs: Run<unknown>[] = []
    for (let index = 0; index < 9; index += 1) {
      const run = runner.run({ role: 'who' })
      await run.outcome
      runs.push(run)
    }
    expect(counted(await outputs(runs))).toEqual({ a: 3, b: 3, c: 3 })
    expect(runs[0]?.status().placement).toEqual({ kind: 'fabric', host: expect.stringMatching(/^host-of-[abc]$/) })
    expect(runs[0]?.status().worker).toMatchObject({ warm: true })
    expect(stage.warnings).toEqual([])
  })

  test('goes to who has a slot: two workers share what comes at once', async () => {
    await using stage = new FabricStage()
    await stage.member('a', { slots: 2 })
    await stage.member('b', { slots: 2 })
    const runner = await stage.runner()
    const runs = Array.from({ length: 4 }, () => runner.run({ role: 'hold' }))
    await until(() => stage.held.length === 4)
    expect(counted(stage.held.map(({ member }) => member))).toEqual({ a: 2, b: 2 })
    for (const { end } of stage.held) end()
    expect(await outputs(runs)).toEqual(stage.held.map(({ member }) => member))
  })

  test('is reached by one connection under whichever name its folder has', async () => {
    await using stage = new FabricStage()
    await stage.member('a', { slots: 4 })
    const link = `${stage.folder.path}-link`
    symlinkSync(stage.folder.path, link)
    const place = (fabric: string) => ({ pool: 'crew', fabric, maxWaitMs: 3_000 })
    await using runner = await createRunner({
      worker: { launch: () => expect.fail('started here') },
      roles: {
        hold: { executor: 'hold', placement: place(stage.folder.path) },
        who: { executor: 'who', placement: place(link) },
        other: { executor: 'who', placement: { pool: 'others', fabric: link } },
      },
      dataDir: null,
      quiet: true,
      logger: stage.logger,
    })
    const held = runner.run({ role: 'hold' })
    await until(() => stage.held.length === 1)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
    // Another pool in it is another one.
    expect(await runner.run({ role: 'other' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
    for (const { end } of stage.held) end()
    expect(await held.outcome).toMatchObject({ status: 'completed' })
    expect(held.status().attempts).toBe(1)
    expect(stage.warnings).toEqual([])
    rmSync(link)
  })

  test('fails by name where nobody is, and starts nothing here instead; it says where it was to go', async () => {
    await using stage = new FabricStage()
    const runner = await stage.runner({}, { worker: { launch: () => expect.fail('started here') } })
    const run = runner.run({ role: 'who' })
    await until(() => run.status().placement !== undefined)
    expect(run.status().placement).toEqual({ kind: 'fabric', host: hostname() })
    expect(await run.outcome).toEqual({
      status: 'failed',
      code: 'POOL_EMPTY',
      retry: 'later',
      message: `pool "crew" in ${stage.folder.path}: no worker is there`,
    })
    expect(runner.stats()).toMatchObject({ processes: 0, executing: 0 })
  })

  test('fails by name where all are busy, or waits as long as it may', async () => {
    await using stage = new FabricStage()
    await stage.member('a')
    const runner = await stage.runner()
    const patient = await stage.runner({ maxWaitMs: 60_000 })
    const first = runner.run({ role: 'hold' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_FULL', retry: 'later' })
    const waiting = patient.run({ role: 'who' })
    await until(() => waiting.status().phase === 'queued' && patient.stats().executing === 1)
    held?.end()
    expect(await outputs([first, waiting])).toEqual(['a', 'a'])
  })

  test('that waits has whoever joins, at once; one that is cancelled meanwhile asks nobody', async () => {
    await using stage = new FabricStage()
    const runner = await stage.runner({ maxWaitMs: 60_000 })
    const [waiting, cancelled] = [runner.run({ role: 'who' }), runner.run({ role: 'who' })]
    await until(() => runner.stats().executing === 2)
    expect(await cancelled.cancel('no more')).toEqual({ status: 'cancelled', reason: 'no more' })
    await stage.member('b')
    expect(outputOf(await waiting.outcome)).toBe('b')
  })

  test('has a worker of its pool, with its labels and version, and is told what nobody has', async () => {
    await using stage = new FabricStage()
    await stage.member('a', { labels: { gpu: 'none' } })
    await stage.member('b', { labels: { gpu: 'big' }, version: '2' })
    const outcome = async (placement: object): Promise<Outcome<unknown>> => {
      const runner = await stage.runner(placement)
      return runner.run({ role: 'who' }).outcome
    }
    expect(outputOf(await outcome({ labels: { gpu: 'big' } }))).toBe('b')
    expect(outputOf(await outcome({ version: '1' }))).toBe('a')
    expect(await outcome({ labels: { gpu: 'big' }, version: '1' })).toMatchObject({
      code: 'POOL_EMPTY',
      message: expect.stringMatching(/of 2 that are there none serves "who" in version 1 and has gpu=big$/),
    })
    expect(await outcome({ pool: 'others' })).toMatchObject({ code: 'POOL_EMPTY' })
  })

  test('may ask for an approval', async () => {
    await using stage = new FabricStage()
    await stage.member('a')
    const runner = await stage.runner({}, { approvals: { policy: () => ({ allow: true, reason: 'fine' }) } })
    expect(outputOf(await runner.run({ role: 'ask' }).outcome)).toBe(true)
  })
})

test('a run at a remote says where it is to go before anybody there is asked', async () => {
  await using stage = new FabricStage()
  const { record } = await stage.member('a')
  const stamps: unknown[] = []
  const token = (): string => {
    stamps.push(run.status().placement)
    return record.token
  }
  await using runner = await createRunner({
    roles: { who: { executor: 'who', placement: { remote: record.url, token } } },
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'who' })
  expect(outputOf(await run.outcome)).toBe('a')
  expect(stamps[0]).toEqual({ kind: 'remote', host: hostname() })
})

test('what a remote had stored is the outcome, though it was not reached for longer than half of the grace', async () => {
  await using stage = new FabricStage()
  const { broker, record } = await stage.member('a', { partitionGraceMs: 60_000 })
  using wire = await openWire(`${stage.folder.path}/wire.sock`, stage.folder.socketOf('a'))
  const halfMs = 500_000
  const halves: (() => void)[] = []
  const timer: Clock['timer'] = (ms, fire, ...more) => {
    if (ms !== halfMs) return stage.clock.timer(ms, fire, ...more)
    halves.push(fire)
    return { cancel: () => undefined }
  }
  const clock = { ...stage.clock, timer }
  const runner = await stage.runner({ ...record, url: wire.url }, { partitionGraceMs: 2 * halfMs, clock })
  const run = runner.run({ role: 'hold' })
  const [held] = await until(() => stage.held.length === 1 && stage.held)
  wire.cut()
  held?.end()
  await until(() => broker.stats().messages > 0, 'its last word at the remote')
  const [miss] = await until(() => halves.length > 0 && halves)
  miss?.()
  // From here on the other half of the grace is waited for.
  await until(() => halves.length === 2)
  wire.mend()
  expect(outputOf(await run.outcome)).toBe('a')
})

describe('a worker of a fabric', { timeout: 30_000 }, () => {
  test('whose lease is over is not there, though it answers; what it has goes on, and with a new lease it is there again', async () => {
    await using stage = new FabricStage()
    const member = await stage.member('a', { slots: 2 })
    const runner = await stage.runner()
    const run = runner.run({ role: 'hold' })
    // Its slot is shown a moment after a run has ended, whatever this clock says.
    const isThere = async (): Promise<boolean> => outputOf(await runner.run({ role: 'who' }).outcome) === 'a'
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    stage.pass(59_000)
    await until(isThere)
    stage.pass(1_001)
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
    member.publish()
    await until(isThere)
    member.publish({ expiresAt: stage.clock.now() })
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
    held?.end()
    expect(outputOf(await run.outcome)).toBe('a')
  })

  test('that is not there any more is passed over for another one, and named in a warning once', async () => {
    await using stage = new FabricStage()
    stage.ghost('dead')
    await stage.member('a')
    const runner = await stage.runner()
    for (let index = 0; index < 4; index += 1) expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    await until(() => stage.warnings.length > 0)
    expect(stage.warnings).toEqual([
      {
        message: 'a worker of a fabric was passed over',
        fields: {
          fabric: stage.folder.path,
          about: `ws+unix://${stage.folder.socketOf('dead')}`,
          reason: expect.stringMatching(/CONNECT_FAILED|ECONNREFUSED|ENOENT/),
        },
      },
    ])
  })

  test.each([
    ['accepts connections and says nothing', () => undefined],
    ['hangs up', (socket: Socket) => socket.destroy()],
    ['says what nobody understands', (socket: Socket) => socket.end('nonsense\r\n\r\n')],
  ])('that %s is passed over for another one, and alone it is as good as nobody', async (_, answer) => {
    await using stage = new FabricStage()
    const open = new Set<Socket>()
    const server = createServer((socket) => {
      open.add(socket.on('error', () => undefined))
      answer(socket)
    })
    await new Promise<void>((resolve) => server.listen(stage.folder.socketOf('odd'), resolve))
    stage.ghost('odd')
    try {
      const runner = await stage.runner()
      expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
      await stage.member('a')
      for (let index = 0; index < 3; index += 1) expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    } finally {
      for (const socket of open) socket.destroy()
      server.close()
    }
  })

  test('whose record has a wrong token is passed over, and has runs when that is put right', async () => {
    await using stage = new FabricStage()
    const member = await stage.member('a')
    member.publish({ token: 'another-token-of-enough-length' })
    const runner = await stage.runner()
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
    expect(stage.warnings).toEqual([
      expect.objectContaining({
        fields: expect.objectContaining({ reason: expect.stringMatching(/does not know this token/) }),
      }),
    ])
    expect(JSON.stringify(stage.warnings)).not.toContain('another-token')
    member.publish()
    const patient = await stage.runner({ maxWaitMs: 20_000 })
    expect(outputOf(await patient.run({ role: 'who' }).outcome)).toBe('a')
    const late = await until(async () => (await runner.run({ role: 'who' }).outcome).status === 'completed')
    expect(late).toBe(true)
  })

  test('that withdraws gets no more runs, ends those that it has, and is left then', async () => {
    await using stage = new FabricStage()
    const member = await stage.member('a', { slots: 2 })
    const runner = await stage.runner()
    const run = runner.run({ role: 'hold' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    stage.folder.withdraw('a')
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_EMPTY' })
    expect(await runnersAt(member)).toBe(1)
    held?.end()
    expect(outputOf(await run.outcome)).toBe('a')
    await member.worker.close()
    await until(async () => (await runnersAt(member)) === 0)
    expect(stage.warnings).toEqual([])
  })

  test('that is lost in mid-run ends it when half of the grace is over; it may still run, and is not tried again', async () => {
    await using stage = new FabricStage()
    const member = await stage.member('a')
    const runner = await stage.runner({ maxWaitMs: 5_000 }, { partitionGraceMs: 1_000 })
    const run = runner.run({ role: 'hold' })
    await until(() => stage.held.length === 1)
    await member.broker.close()
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST', mayStillRun: true })
    expect(run.status().attempts).toBe(1)
    await stage.member('b')
    expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('b')
  })

  test.each(['fabric', 'remote'] as const)(
    'that has a run of an earlier life is asked by the connection of its place: %s',
    async (kind) => {
      await using stage = new FabricStage()
      const { record } = await stage.member('a')
      const store = createMemoryStore({ schema: runnerSchema })
      let hasCrashed = false
      const over = Promise.withResolvers<void>()
      const life = (commit: Store['commit']): Promise<Runner> => {
        const openStore = (): Store => storeWith(store, { close: () => Promise.resolve(), commit })
        return stage.runner(kind === 'remote' ? record : {}, { openStore, bus: createMemoryBus().client() })
      }
      const first = await life((...batch) => (hasCrashed ? over.promise : store.commit(...batch)))
      const { id } = first.run({ role: 'hold' })
      const [held] = await until(() => stage.held.length === 1 && stage.held)
      hasCrashed = true
      const second = await life((...batch) => store.commit(...batch))
      const outcome = await (await second.attach(id)).outcome
      over.resolve()
      expect(outcome).toMatchObject({ code: 'WORKER_LOST', mayStillRun: false })
      expect(held?.signal.aborted).toBe(true)
    },
  )

  test('that comes back under its name, with another token, has the next run', async () => {
    await using stage = new FabricStage()
    const member = await stage.member('a')
    const runner = await stage.runner({ maxWaitMs: 20_000 }, { partitionGraceMs: 1_000 })
    expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    await member.worker.close()
    await member.broker.close()
    await stage.member('a')
    expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
  })
})

describe('a fabric', { timeout: 30_000 }, () => {
  test('passes over what is no record, and names each such file in one warning', async () => {
    await using stage = new FabricStage()
    await stage.member('a')
    writeFileSync(join(stage.folder.path, 'half.json'), '{"fabric":1,"token":"secret-of-mine', { mode: 0o600 })
    writeFileSync(join(stage.folder.path, 'package.json'), '{"name":"foreign"}', { mode: 0o600 })
    const runner = await stage.runner()
    const runs = [1, 2, 3].map(() => runner.run({ role: 'who' }).outcome)
    await Promise.all(runs)
    for (let index = 0; index < 2; index += 1) expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    expect(stage.warnings.map(({ fields }) => fields)).toEqual([
      { fabric: stage.folder.path, about: 'half.json', reason: 'it is not JSON' },
      { fabric: stage.folder.path, about: 'package.json', reason: expect.stringMatching(/not valid at fabric/) },
    ])
    expect(JSON.stringify(stage.warnings)).not.toContain('secret-of-mine')
  })

  test('whose folder is taken away and made anew is found again by whoever waits', async () => {
    await using stage = new FabricStage()
    const runner = await stage.runner({ maxWaitMs: 20_000 })
    rmSync(stage.folder.path, { recursive: true })
    const waiting = runner.run({ role: 'who' })
    await until(() => runner.stats().executing === 1)
    const { FabricFolder } = await import('../src/placement/index.ts')
    expect(new FabricFolder(stage.folder.path).path).toBe(stage.folder.path)
    await stage.member('a')
    expect(outputOf(await waiting.outcome)).toBe('a')
  })

  test('is connected to whoever joins before anybody needs a worker', async () => {
    await using stage = new FabricStage()
    const due: number[] = []
    const timer: Clock['timer'] = (ms, ...more) => {
      due.push(ms)
      return stage.clock.timer(ms, ...more)
    }
    await stage.runner({}, { clock: { ...stage.clock, timer } })
    expect(due).not.toContain(1_000)
    // Nobody waits, and no lease ends within a minute: it is the folder that tells.
    for (const name of ['a', 'b']) {
      const member = await stage.member(name)
      await until(async () => (await runnersAt(member)) === 1)
    }
    expect(stage.warnings).toEqual([])
  })

  test('that others may reach keeps the runner from starting', async () => {
    await using stage = new FabricStage()
    chmodSync(stage.folder.path, 0o755)
    await expect(stage.runner()).rejects.toMatchObject({
      code: 'BAD_OPTIONS',
      message: expect.stringMatching(/other users may reach .*: chmod 700 it$/),
    })
    chmodSync(stage.folder.path, 0o700)
  })

  test('is shared by runners, which leave it as it was', async () => {
    await using stage = new FabricStage()
    await stage.member('a')
    await stage.member('b')
    const runners = await Promise.all(Array.from({ length: 5 }, () => stage.runner({ maxWaitMs: 60_000 })))
    const done = await outputs(runners.flatMap((runner) => [1, 2, 3].map(() => runner.run({ role: 'who' }))))
    expect(Object.keys(counted(done)).toSorted()).toEqual(['a', 'b'])
    await Promise.all(runners.map((runner) => runner.drain()))
    expect(stage.folder.read().records.map(({ id }) => id)).toEqual(['a', 'b'])
    expect(stage.warnings).toEqual([])
  })
})
