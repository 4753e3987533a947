import { createBroker } from '@greenroom/broker'
import { connectBus } from '@greenroom/bus'
import { describe, expect, test, vi } from 'vitest'
import {
  decodeMessage,
  encodeMessage,
  GreenroomError,
  residentRole,
  systemClock,
  type Delivery,
  type Outcome,
  type Peer,
} from '@greenroom/proto'
import { createDrive } from '../src/drive/index.ts'
import { createRunner } from '../src/index.ts'
import { PoolStage, refuse } from './fixtures/pool-stage.ts'
import { counted, outputOf, outputs } from './fixtures/resident-stage.ts'
import { keepingLogger, until, worker } from './fixtures/setup.ts'

/** Says that a run is done, without a word more. */
function complete(run: Delivery, peer: Peer): void {
  const { runId, epoch, replyTo: to } = decodeMessage('run', run.payload)
  const payload = encodeMessage('terminal', { runId, epoch, status: 'completed', lastSeq: 0 })
  void run.claim().then(() => peer.send({ to, id: 'terminal', kind: 'terminal', control: true, payload }))
}

describe('a run in a pool', () => {
  test('reaches every member in turn while all are equally busy', async () => {
    await using stage = new PoolStage()
    for (const name of ['a', 'b', 'c']) await stage.member(name)
    const runner = await stage.runner()
    const answers: unknown[] = []
    for (let index = 0; index < 9; index += 1) answers.push(outputOf(await runner.run({ role: 'who' }).outcome))
    expect(counted(answers)).toEqual({ a: 3, b: 3, c: 3 })
  })

  test('goes to who has a slot: two members share what comes at once', async () => {
    await using stage = new PoolStage()
    await stage.member('a', { slots: 2 })
    await stage.member('b', { slots: 2 })
    const runner = await stage.runner()
    const runs = Array.from({ length: 4 }, () => runner.run({ role: 'hold' }))
    await until(() => stage.held.length === 4)
    expect(counted(stage.held.map(({ member }) => member))).toEqual({ a: 2, b: 2 })
    expect(runs[0]?.status().placement).toEqual({ kind: 'pool', host: expect.stringMatching(/^host-of-[ab]$/) })
    expect(runs[0]?.status().worker).toMatchObject({ warm: true })
    for (const { end } of stage.held) end()
    expect(await outputs(runs)).toEqual(stage.held.map(({ member }) => member))
  })

  test('has the slot that is left where a member has a run already', async () => {
    await using stage = new PoolStage()
    await stage.member('a', { slots: 2 })
    const runner = await stage.runner()
    const first = runner.run({ role: 'hold' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    await until(() => first.status().phase === 'running')
    expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    held?.end()
    expect(outputOf(await first.outcome)).toBe('a')
  })

  test('fails by name where nobody is, and starts nothing here instead; it says where it was to go', async () => {
    await using stage = new PoolStage()
    const runner = await stage.runner({}, { worker: { launch: () => expect.fail('started here') } })
    const run = runner.run({ role: 'who' })
    await until(() => run.status().placement !== undefined)
    expect(run.status().placement).toEqual({ kind: 'pool', host: 'crew' })
    expect(await run.outcome).toEqual({
      status: 'failed',
      code: 'POOL_EMPTY',
      retry: 'later',
      message: 'pool "crew": no worker is there',
    })
    expect(run.status()).toMatchObject({ placement: { kind: 'pool', host: 'crew' } })
    expect(runner.stats()).toMatchObject({ processes: 0, executing: 0 })
  })

  test('is shown at its pool where its member does not say its machine', async () => {
    await using stage = new PoolStage()
    await stage.impostor('silent', complete)
    const runner = await stage.runner()
    const run = runner.run({ role: 'who' })
    expect(await run.outcome).toMatchObject({ status: 'completed' })
    expect(run.status()).toMatchObject({
      placement: { kind: 'pool', host: 'crew' },
      worker: { address: 'worker.silent' },
    })
  })

  test('goes to a member of its role’s pool, and to nobody of another', async () => {
    await using stage = new PoolStage()
    await stage.member('a')
    await using runner = await createRunner({
      worker: { launch: () => expect.fail('started here') },
      roles: {
        who: { executor: 'who', placement: { pool: 'crew' } },
        other: { executor: 'who', placement: { pool: 'others' } },
      },
      bus: stage.bus.client(),
      dataDir: null,
      quiet: true,
    })
    expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    expect(await runner.run({ role: 'other' }).outcome).toMatchObject({
      code: 'POOL_EMPTY',
      message: 'pool "others": no worker is there',
    })
  })

  test('fails by name where all are busy, or waits as long as it may', async () => {
    await using stage = new PoolStage()
    await stage.member('a')
    const runner = await stage.runner()
    const patient = await stage.runner({ maxWaitMs: 60_000 })
    const brief = await stage.runner({ maxWaitMs: 100 })
    const first = runner.run({ role: 'hold' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    expect(await brief.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_FULL' })
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({
      code: 'POOL_FULL',
      retry: 'later',
      message: 'pool "crew": whoever serves "who" is busy',
    })
    const waiting = patient.run({ role: 'who' })
    await until(() => waiting.status().phase === 'queued' && patient.stats().executing === 1)
    held?.end()
    expect(await outputs([first, waiting])).toEqual(['a', 'a'])
  })

  test('may ask for an approval', async () => {
    await using stage = new PoolStage()
    await stage.member('a')
    const runner = await stage.runner({}, { approvals: { policy: () => ({ allow: true, reason: 'fine' }) } })
    expect(outputOf(await runner.run({ role: 'ask' }).outcome)).toBe(true)
  })

  test('that waits has whoever joins; one that is cancelled meanwhile asks nobody', async () => {
    await using stage = new PoolStage()
    const last = await stage.member('a')
    const runner = await stage.runner({ maxWaitMs: 60_000 })
    const busy = runner.run({ role: 'hold' })
    await until(() => stage.held.length === 1)
    const [waiting, cancelled] = [runner.run({ role: 'who' }), runner.run({ role: 'who' })]
    await until(() => runner.stats().executing === 3)
    expect(waiting.status()).toMatchObject({ phase: 'queued', placement: { kind: 'pool', host: 'crew' } })
    // The pool is emptied while they wait.
    await last.close()
    expect(await busy.outcome).toMatchObject({ status: 'cancelled', reason: 'the worker is closing' })
    expect(await cancelled.cancel('no more')).toEqual({ status: 'cancelled', reason: 'no more' })
    await stage.member('b')
    expect(outputOf(await waiting.outcome)).toBe('b')
  })

  test('that waits in a pool that is emptied meanwhile fails as in an empty one, when its time is over', async () => {
    await using stage = new PoolStage()
    const last = await stage.member('a')
    const runner = await stage.runner({ maxWaitMs: 300 })
    const busy = runner.run({ role: 'hold' })
    await until(() => stage.held.length === 1)
    const waiting = runner.run({ role: 'who' })
    await until(() => runner.stats().executing === 2)
    await last.close()
    expect(await waiting.outcome).toMatchObject({ code: 'POOL_EMPTY', retry: 'later' })
    expect((await busy.outcome).status).toBe('cancelled')
  })

  test('has a member with its labels and version, and is told what nobody has', async () => {
    await using stage = new PoolStage()
    await stage.member('a', { labels: { gpu: 'none', zone: 'x' } })
    await stage.member('b', { labels: { gpu: 'big', zone: 'x' }, version: '2' })
    const outcome = async (placement: object): Promise<Outcome<unknown>> => {
      const runner = await stage.runner(placement)
      return runner.run({ role: 'who' }).outcome
    }
    expect(outputOf(await outcome({ labels: { gpu: 'big' } }))).toBe('b')
    expect(outputOf(await outcome({ labels: { zone: 'x' }, version: '1' }))).toBe('a')
    expect(await outcome({ labels: { gpu: 'big', zone: 'y' } })).toMatchObject({ code: 'POOL_EMPTY' })
    expect(await outcome({ labels: { gpu: 'big' }, version: '1' })).toMatchObject({
      code: 'POOL_EMPTY',
      message: 'pool "crew": of 2 that are there none serves "who" in version 1 and has gpu=big',
    })
    expect(await outcome({ labels: { gpu: 'big', zone: 'y' } })).toMatchObject({
      message: 'pool "crew": of 2 that are there none serves "who" and has gpu=big and has zone=y',
    })
  })

  test('passes over a member whose connection is lost', async () => {
    await using stage = new PoolStage()
    for (const name of ['a', 'b']) await stage.member(name)
    const runner = await stage.runner({}, { limits: { acceptWarmMs: 2_000 } })
    await runner.run({ role: 'who' }).outcome
    await stage.cut('worker.a')
    for (let index = 0; index < 4; index += 1) {
      const run = runner.run({ role: 'who' })
      expect(outputOf(await run.outcome)).toBe('b')
      expect(run.status().attempts).toBe(1)
    }
  })

  test('of ten runners at one pool is done, where they wait; where they do not it is done or told that all are busy', async () => {
    await using stage = new PoolStage()
    await stage.member('a')
    await stage.member('b')
    const patient = await Promise.all(Array.from({ length: 10 }, () => stage.runner({ maxWaitMs: 60_000 })))
    const done = await outputs(patient.flatMap((runner) => [1, 2, 3].map(() => runner.run({ role: 'who' }))))
    expect(Object.keys(counted(done)).toSorted()).toEqual(['a', 'b'])
    const hasty = await Promise.all(Array.from({ length: 10 }, () => stage.runner()))
    const told = counted(await outputs(hasty.map((runner) => runner.run({ role: 'who' }))))
    const { a = 0, b = 0, 'failed POOL_FULL': full = 0 } = told
    expect(a + b + full).toBe(10)
    expect(a + b).toBeGreaterThan(0)
  })
})

test('a run at an endpoint is shown at its name, without scheme and port, where its worker does not say its machine', async () => {
  await using broker = await createBroker({ dir: null, listen: { port: 0 }, token: 'a-token-of-some-length' })
  const endpoint = { remote: broker.url ?? '', token: 'a-token-of-some-length' }
  await using bus = connectBus({ url: endpoint.remote, token: endpoint.token })
  const peer = await bus.attach({
    address: 'worker.silent',
    incarnation: 'silent-1',
    lifetime: 'incarnation',
    presence: { role: residentRole, slots: 1, load: 0, serves: [{ name: 'who', version: '1' }] },
    onMessage: (delivery) => void (delivery.kind === 'run' && complete(delivery, peer)),
  })
  await using runner = await createRunner({
    roles: { who: { executor: 'who', placement: endpoint } },
    dataDir: null,
    quiet: true,
  })
  const run = runner.run({ role: 'who' })
  expect(await run.outcome).toMatchObject({ status: 'completed' })
  expect(run.status()).toMatchObject({
    placement: { kind: 'remote', host: '127.0.0.1' },
    worker: { address: 'worker.silent' },
  })
})

describe('a member', () => {
  test('that refuses is asked again only when it shows something new; another one has the run', async () => {
    await using stage = new PoolStage()
    let asked = 0
    await stage.impostor('full', (run, peer) => {
      asked += 1
      refuse(run, peer)
    })
    const alone = await stage.runner()
    expect(await alone.run({ role: 'who' }).outcome).toMatchObject({ code: 'POOL_FULL' })
    expect(asked).toBe(1)
    await stage.member('a')
    const runner = await stage.runner()
    for (let index = 0; index < 4; index += 1) expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
  })

  test('that refuses is asked again after a moment by a run that may wait', async () => {
    await using stage = new PoolStage()
    let asked = 0
    await stage.impostor('moody', (run, peer) => {
      asked += 1
      if (asked === 1) refuse(run, peer)
      else complete(run, peer)
    })
    const runner = await stage.runner({ maxWaitMs: 60_000 })
    expect(await runner.run({ role: 'who' }).outcome).toMatchObject({ status: 'completed' })
    expect(asked).toBe(2)
  })

  test('that does not answer has the run taken back, and is not asked for it again', async () => {
    await using stage = new PoolStage()
    let asked = 0
    await stage.impostor('mute', () => (asked += 1))
    const runner = await stage.runner({}, { limits: { acceptWarmMs: 100 } })
    const alone = runner.run({ role: 'who' })
    expect(await alone.outcome).toMatchObject({
      code: 'POOL_EMPTY',
      message: 'pool "crew": of 1 that are there none serves "who", but for 1 that did not answer',
    })
    expect(alone.status().attempts).toBe(1)
    expect(asked).toBe(1)
    await stage.member('a')
    const patient = await stage.runner({ maxWaitMs: 10_000 }, { limits: { acceptWarmMs: 100 } })
    const runs = [1, 2, 3].map(() => patient.run({ role: 'who' }))
    expect(counted(await outputs(runs))).toEqual({ a: 3 })
  })

  test('that claimed and says nothing is given up, not ended: it may still run', async () => {
    await using stage = new PoolStage()
    const peer = await stage.impostor('mute', (run) => void run.claim())
    const runner = await stage.runner({}, { limits: { acceptWarmMs: 100 }, partitionGraceMs: 200 })
    expect(await runner.run({ role: 'who' }).outcome).toEqual({
      status: 'failed',
      code: 'WORKER_LOST',
      retry: 'later',
      mayStillRun: true,
      message: expect.stringMatching(/worker\.mute .* was given up/),
    })
    expect(peer.state).toBe('attached')
  })

  test('that has begun and says nothing is stopped at the bound of its first event, and has the next run', async () => {
    await using stage = new PoolStage()
    await stage.member('a')
    const runner = await stage.runner()
    const silent = runner.run({ role: 'hold', limits: { firstEventMs: 200 } })
    expect(await silent.outcome).toMatchObject({ status: 'timeout', which: 'first-event' })
    expect(await outputs([runner.run({ role: 'who' })])).toEqual(['a'])
  })

  test('that is gone before it claimed costs one new attempt, after it the run, which may still run', async () => {
    await using stage = new PoolStage()
    const gone = await stage.impostor('gone', (_, peer) => void peer.drain())
    const runner = await stage.runner()
    const first = runner.run({ role: 'who' })
    await gone.closed
    expect(await first.outcome).toMatchObject({ code: 'POOL_EMPTY' })
    await stage.impostor('late', (run, peer) => void run.claim().then(() => peer.drain()))
    const patient = await stage.runner({ maxWaitMs: 10_000 }, { role: { retry: { attempts: 3 }, idempotent: true } })
    const second = patient.run({ role: 'who' })
    expect(await second.outcome).toMatchObject({ code: 'WORKER_LOST', mayStillRun: true })
    expect(second.status().attempts).toBe(1)
  })

  test.each([
    ['completed', {}],
    ['failed', { code: 'WORKER_LOST' }],
    ['cancelled', { reason: 'enough' }],
    ['timeout', { which: 'first-event' }],
  ])('that leaves before its events have come: %s, with what never came', async (status, more) => {
    await using stage = new PoolStage()
    const begun = Promise.withResolvers<void>()
    const brief = async (delivery: Delivery, peer: Peer): Promise<void> => {
      const { runId, epoch, replyTo: to } = decodeMessage('run', delivery.payload)
      const ref = { runId, epoch }
      await delivery.claim()
      const beat = { ...ref, lastSentSeq: 4, progressSeq: 0, loopLagMs: 0 }
      peer.publish({ to, kind: 'heartbeat', payload: encodeMessage('heartbeat', beat) })
      const payload = encodeMessage('terminal', { ...ref, status: 'completed', lastSeq: 4 })
      if (status === 'completed') await peer.send({ to, id: 'terminal', kind: 'terminal', control: true, payload })
      begun.resolve()
      if (status === 'completed' || status === 'failed') await peer.drain()
    }
    await stage.impostor(
      'brief',
      (delivery, peer) => void brief(delivery, peer),
      ({ kind }, peer) => void (kind === 'cancel' && peer.drain()),
    )
    const runner = await stage.runner({}, { limits: { firstEventMs: status === 'timeout' ? 100 : null } })
    const run = runner.run({ role: 'who' })
    await begun.promise
    if (status === 'cancelled') void run.cancel('enough')
    expect(await run.outcome).toMatchObject({ status, ...more, eventsLost: { first: 1, last: 4 } })
  })

  test('is cancelled by messages only, and has the next run', async () => {
    await using stage = new PoolStage()
    const member = await stage.member('a')
    const runner = await stage.runner()
    const run = runner.run({ role: 'hold' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    expect(await run.cancel('enough')).toEqual({ status: 'cancelled', reason: 'enough' })
    expect(String(held?.signal.reason)).toContain('enough')
    await until(() => member.freeSlots === 1)
    expect(outputOf(await runner.run({ role: 'who' }).outcome)).toBe('a')
    await runner.close()
    expect(member.freeSlots).toBe(1)
  })

  test('that has a run of an earlier life is asked to stop, and not ended: its last word is the end', async () => {
    await using stage = new PoolStage()
    const ref = { runId: 'r1', epoch: 1 }
    let isTelling = true
    const claimed = Promise.withResolvers<void>()
    const peer = await stage.impostor(
      'old',
      (run) => void run.claim().then(claimed.resolve),
      ({ kind }, it) => {
        if (kind !== 'cancel' || !isTelling) return
        const payload = encodeMessage('terminal', { ...ref, status: 'cancelled', reason: 'stopped', lastSeq: 0 })
        void it.send({ to: 'runner.1', id: 'terminal-r1-1', kind: 'terminal', control: true, payload })
      },
    )
    const facts = { bus: stage.bus.client(), address: 'runner.1', clock: systemClock, onError: () => undefined }
    const drive = await createDrive({ ...facts, incarnation: 'i1' })
    const run = {
      ...ref,
      replyTo: 'runner.1',
      role: 'who',
      executor: 'who',
      path: ['r1'],
      depth: 0,
      task: '',
      workspace: '/',
    }
    await drive.peer.send({ to: peer.address, id: 'run-r1-1', kind: 'run', payload: encodeMessage('run', run) })
    await claimed.promise
    const settle = (signal: AbortSignal) =>
      drive.settle({
        ref,
        worker: { ...peer, address: peer.address, incarnation: peer.incarnation, gone: () => Promise.resolve(false) },
        startedAt: systemClock.now(),
        isDetached: false,
        isResident: true,
        lastSeq: () => 0,
        kept: () => undefined,
        signal,
        cancelled: new AbortController().signal,
      })
    expect(await settle(new AbortController().signal)).toMatchObject({
      how: 'terminal',
      terminal: { reason: 'stopped' },
    })
    isTelling = false
    await expect(settle(AbortSignal.timeout(100))).rejects.toMatchObject({ code: 'ABORTED' })
    expect(peer.state).toBe('attached')
    await drive.drain()
  })

  test.each([
    ['was seen dead is tried again elsewhere: nothing of it can run any more', true, true, 'b', 2],
    ['was given up is not tried again: it may still run', false, true, 'failed WORKER_LOST', 1],
    ['was seen dead is not tried again where it may not have its effects twice', true, false, 'failed WORKER_LOST', 1],
  ])('whose idempotent run had begun and that %s', async (_, seenDead, idempotent, ends, attempts) => {
    await using stage = new PoolStage()
    await stage.member('a')
    const role = { idempotent, retry: { attempts: 2, backoffMs: 1 } }
    const runner = await stage.runner({ maxWaitMs: 60_000 }, { role })
    const run = runner.run({ role: 'hold' })
    await until(() => stage.held.length === 1)
    await stage.member('b')
    await stage.fence('worker.a', seenDead)
    if (attempts === 2) (await until(() => stage.held[1]))?.end()
    const outcome = await run.outcome
    expect(outputOf(outcome)).toBe(ends)
    expect(run.status().attempts).toBe(attempts)
    if (outcome.status === 'failed') expect(outcome.mayStillRun).toBe(!seenDead)
  })

  test('whose idempotent run had begun, and of which the bus cannot say what became of that, is the last to be asked', async () => {
    await using stage = new PoolStage()
    await stage.impostor('brief', (run, peer) => void run.claim().then(() => peer.drain()))
    const bus = stage.bus.client()
    const attach = bus.attach.bind(bus)
    vi.spyOn(bus, 'attach').mockImplementation(async (options) => {
      const peer = await attach(options)
      vi.spyOn(peer, 'revoke').mockRejectedValue(new GreenroomError('TIMEOUT'))
      return peer
    })
    const role = { idempotent: true, retry: { attempts: 2, backoffMs: 1 } }
    const runner = await stage.runner({ maxWaitMs: 60_000 }, { bus, role })
    const run = runner.run({ role: 'who' })
    await until(() => run.status().attempts === 1)
    await stage.member('b')
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'TIMEOUT', retry: 'later' })
    expect(run.status().attempts).toBe(1)
  })

  test('gives up what it has from a runner that is gone', async () => {
    await using stage = new PoolStage()
    const member = await stage.member('a')
    const runner = await stage.runner({}, { logger: keepingLogger() })
    void runner.run({ role: 'hold', task: 'lost' })
    const [held] = await until(() => stage.held.length === 1 && stage.held)
    await stage.fence('runner.')
    await until(() => held?.signal.aborted)
    expect(String(held?.signal.reason)).toContain('its runner is gone')
    await until(() => member.freeSlots === 1)
    const other = await stage.runner()
    expect(outputOf(await other.run({ role: 'who' }).outcome)).toBe('a')
  })
})

/** Expects that there is no runner with these roles, and why. */
async function refused(roles: unknown, message: string): Promise<void> {
  const bus = { url: 'ws://127.0.0.1:1', token: 'none' }
  const options = { roles, bus, dataDir: null } as unknown as Parameters<typeof createRunner>[0]
  await expect(createRunner(options)).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringContaining(message),
  })
}

const remote = { remote: 'wss://far.example', token: 'a-token' }

test.each([
  ['placement', { placement: 'elsewhere' }, "roles.r.placement must be 'local' or an object"],
  ['placement.pool', { placement: { pool: 'no name' } }, 'roles.r.placement.pool must be a name'],
  ['placement.labels', { placement: { pool: 'p', labels: { a: 1 } } }, 'roles.r.placement.labels must be an object'],
  ['placement.version', { placement: { pool: 'p', version: 2 } }, 'roles.r.placement.version must be a text'],
  ['placement.maxWaitMs', { placement: { pool: 'p', maxWaitMs: -1 } }, 'roles.r.placement.maxWaitMs must be a number'],
  ['placement.fabric', { placement: { pool: 'p', fabric: '' } }, 'roles.r.placement.fabric must be a path'],
  [
    'placement.remote',
    { placement: { ...remote, remote: 'http://far.example' } },
    'roles.r.placement.remote must be a ws, wss or ws+unix URL',
  ],
  ['no token', { placement: { ...remote, token: undefined } }, 'roles.r.placement.token must be a token'],
  ['an empty token', { placement: { ...remote, token: '' } }, 'roles.r.placement.token must be a token'],
  ['placement.ca', { placement: { ...remote, ca: 1 } }, 'roles.r.placement.ca must be a certificate'],
  ['placement.insecure', { placement: { ...remote, insecure: 'yes' } }, 'roles.r.placement.insecure must be true or'],
  [
    'misspelt',
    { placement: { pool: 'p', lables: {} } },
    'roles.r.placement: "lables" must be one of remote, token, ca, insecure, pool',
  ],
  ['secrets', { placement: { pool: 'p' }, secrets: [] }, 'roles.r.secrets must be left out'],
  ['env', { placement: remote, env: [] }, 'roles.r.env must be left out'],
  ['env', { placement: { pool: 'p' }, env: [] }, 'roles.r.env must be left out'],
  ['detached', { placement: { pool: 'p' }, detached: true }, 'roles.r.detached must be left out'],
])('a role whose place is wrong is refused by name: %s', (_, role, message) =>
  refused({ r: { executor: 'x', ...role } }, message),
)

test.each([
  ['token', { token: 'another' }],
  ['ca', { ca: 'PEM' }],
  ['insecure', { insecure: true }],
])('a role at the endpoint of another is refused when it has another %s for it', (_, other) => {
  const [one, two] = [remote, { ...remote, ...other }].map((placement) => ({ executor: 'x', placement }))
  const why = 'roles.two.placement must be with the token, ca and insecure that other roles have for wss://far.example'
  return refused({ one, two }, why)
})

test('a pool needs a bus that others reach, a local role a worker', async () => {
  const pooled = { executor: 'x', placement: { pool: 'p' } } as const
  await expect(createRunner({ roles: { pooled }, dataDir: null })).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message:
      'roles.pooled.placement.pool must be on a bus that others reach, createRunner({ bus }), or in a folder: fabric',
  })
  const roles = { pooled, here: { executor: 'x' } }
  const bus = { url: 'ws://127.0.0.1:1', token: 'none' }
  await expect(createRunner({ roles, bus, dataDir: null })).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringMatching(/^worker must be/),
  })
  await expect(
    createRunner({
      worker,
      roles: { echo: { ...pooled, executor: 'echo' } },
      bus,
      dataDir: null,
      pool: { prewarm: { echo: 1 } },
    }),
  ).rejects.toMatchObject({ code: 'BAD_OPTIONS', message: expect.stringContaining('pool.prewarm.echo') })
})
