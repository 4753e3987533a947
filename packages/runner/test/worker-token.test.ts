/** A worker's own token: what it opens, and for how long. The broker and its sockets are real, the process is a pipe. */
import { createBroker, readToken, type Broker } from '@greenroom/broker'
import { connectBus } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import {
  codeOf,
  decodeMessage,
  GreenroomError,
  parseProvision,
  systemRandom,
  type Peer,
  type Provision,
} from '@greenroom/proto'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import type { WorkerExit } from '../src/index.ts'
import { createLocalPlacement, type PlacedWorker, type TokenIssuer, type WorkerNeed } from '../src/placement/index.ts'
import { until } from './fixtures/setup.ts'

const shared = 'a-token-of-enough-length'
const minute = 60_000
const day = 1_440 * minute
const need: WorkerNeed = { role: 'tester', executor: 'test', secrets: {}, env: [], detached: false, fixed: {} }

interface Stage extends AsyncDisposable {
  readonly clock: ReturnType<typeof createManualClock>
  readonly broker: Broker
  readonly runner: Peer
  readonly warned: unknown[]
  /** Places a worker, and returns what it was told, once it was. */
  place(more?: Partial<WorkerNeed>): { readonly worker: PlacedWorker; readonly told: Promise<Provision> }
}

async function stage(issue?: TokenIssuer): Promise<Stage> {
  const clock = createManualClock()
  // Sockets have a time of their own: no ping is to be late when this one leaps.
  const broker = await createBroker({ listen: { port: 0 }, token: shared, limits: { pingMs: 9 * day }, clock })
  const runner = await broker.bus.attach({ address: 'runner.r', incarnation: 'r1', lifetime: 'named' })
  const stdins: PassThrough[] = []
  const warned: unknown[] = []
  const placement = createLocalPlacement({
    launcher: {
      launch() {
        const stdin = new PassThrough()
        stdins.push(stdin)
        const { promise: exited, resolve } = Promise.withResolvers<WorkerExit>()
        const kill = (signal: string): void => resolve({ code: null, signal })
        return { stdin, stderr: new PassThrough().end(), exited, kill }
      },
    },
    peer: runner,
    bus: { url: broker.url ?? '', token: '' },
    issue: issue ?? ((request) => broker.issue(request)),
    workerNames: 'worker.r.',
    presenceRole: 'worker-of.r',
    environment: () => ({}),
    cancelGraceMs: 1_000,
    partitionGraceMs: 30_000,
    host: 'here',
    outputOf: () => '/nowhere',
    clock,
    random: systemRandom,
    logger: { warn: (...said) => void warned.push(said), output: () => {} },
  })
  return {
    clock,
    broker,
    runner,
    warned,
    place(more) {
      const worker = placement.acquire({ ...need, ...more })
      const told = text(stdins.at(-1) ?? new PassThrough().end()).then((document) =>
        parseProvision(JSON.parse(document)),
      )
      return { worker, told }
    },
    async [Symbol.asyncDispose]() {
      await placement.close()
      await broker.close()
    },
  }
}

test('reaches its own mailbox and its runner’s, with what workers say, and nothing else', async () => {
  await using at = await stage()
  const [one, two] = [await at.place().told, await at.place().told]
  const claims = readToken(one.bus.token)
  expect(claims).toMatchObject({ sub: one.address, exp: (at.clock.now() + 60 * minute) / 1_000 })
  expect(Object.keys(claims.grants).toSorted()).toEqual(['consume', 'present', 'send'])
  expect(one.bus.token).not.toBe(two.bus.token)
  await using bus = connectBus(one.bus)
  const { address, incarnation, role } = one
  const sibling = { address: two.address, incarnation: two.incarnation, lifetime: 'incarnation' } as const
  await expect(bus.attach(sibling)).rejects.toMatchObject({ code: 'FORBIDDEN' })
  await using peer = await bus.attach({ address, incarnation, lifetime: 'incarnation', presence: { role } })
  const send = (to: string, kind: string): Promise<unknown> =>
    peer.send({ to, id: `${to}-${kind}`, kind, payload: new Uint8Array(1) }).catch(codeOf)
  expect(await send('runner.r', 'terminal')).toMatchObject({ duplicate: false })
  expect(await send('runner.r', 'run')).toBe('FORBIDDEN')
  expect(await send('runner.other', 'terminal')).toBe('FORBIDDEN')
  // What it has itself it may read, not fill.
  for (const to of [address, two.address]) expect(await send(to, 'terminal')).toBe('FORBIDDEN')
  expect(await peer.revoke({ to: two.address, id: 'run' }).catch(codeOf)).toBe('FORBIDDEN')
  expect(await peer.fence(sibling).catch(codeOf)).toBe('FORBIDDEN')
  expect(at.broker.stats().forbidden).toBe(7)
})

test('is renewed over its link, as long as its worker is there', async () => {
  await using at = await stage()
  const { worker, told } = at.place()
  const { bus: where, address, incarnation, role } = await told
  await using bus = connectBus(where)
  const tokens: string[] = []
  let came = Promise.withResolvers<void>()
  const onLive = ({ kind, payload }: { readonly kind: string; readonly payload: Uint8Array }): void => {
    if (kind === 'token') tokens.push(decodeMessage(kind, payload).token)
    came.resolve()
  }
  await using peer = await bus.attach({ address, incarnation, lifetime: 'incarnation', presence: { role }, onLive })
  for (let round = 0; round < 6; round += 1) {
    at.clock.jump(20 * minute)
    await came.promise
    came = Promise.withResolvers()
    await bus.renew(tokens.at(-1) ?? '')
  }
  // Two hours, with tokens of one.
  expect(new Set([where.token, ...tokens]).size).toBe(7)
  await peer.send({ to: 'runner.r', id: 't', kind: 'terminal', payload: new Uint8Array(1) })
  worker.kill()
  await at.clock.settle()
  await worker.gone
  at.clock.jump(20 * minute)
  await at.clock.settle()
  expect(tokens).toHaveLength(6)
  expect(at.warned).toEqual([])
})

test('is renewed once more when it could not be', async () => {
  let fails = false
  const issue: TokenIssuer = async (request) => {
    if (fails) throw new GreenroomError('COMMIT_UNKNOWN', 'not now')
    return at.broker.issue(request)
  }
  await using at: Stage = await stage(issue)
  const { worker, told } = at.place()
  const { bus: where, address, incarnation, role } = await told
  await using bus = connectBus(where)
  const came = Promise.withResolvers<void>()
  const onLive = (): void => came.resolve()
  await using _peer = await bus.attach({ address, incarnation, lifetime: 'incarnation', presence: { role }, onLive })
  fails = true
  at.clock.jump(20 * minute)
  await at.clock.settle()
  expect(at.warned).toEqual([['a worker has no newer token', { address, error: 'not now' }]])
  fails = false
  at.clock.jump(20 * minute)
  await came.promise
  worker.kill()
})

test('is told once more when its worker was away, and is back', async () => {
  const issued: string[] = []
  const issue: TokenIssuer = async (request) => {
    const made = await at.broker.issue(request)
    issued.push(made.token)
    return made
  }
  await using at: Stage = await stage(issue)
  const { worker, told } = at.place()
  const { bus: where, address, incarnation, role } = await told
  await using bus = connectBus(where)
  const seat = { address, incarnation, lifetime: 'incarnation', presence: { role } } as const
  const states: string[] = []
  at.runner.watch(role, ({ state }) => states.push(state))
  const away = await bus.attach(seat)
  at.clock.jump(20 * minute - 10_000)
  await away.close()
  await until(() => states.at(-1) === 'suspect')
  at.clock.jump(10_000)
  await until(() => issued.length === 2)
  await at.clock.settle()
  const came = Promise.withResolvers<string>()
  const onLive = ({ payload }: { readonly payload: Uint8Array }): void =>
    came.resolve(decodeMessage('token', payload).token)
  await using _back = await bus.attach({ ...seat, onLive })
  expect(await came.promise).toBe(issued[1])
  worker.kill()
})

test('of a detached worker lasts as long as its run may and what it tells is kept', async () => {
  await using at = await stage()
  const ends = async (more: Partial<WorkerNeed>): Promise<number> =>
    readToken((await at.place({ detached: true, ...more }).told).bus.token).exp * 1_000 - at.clock.now()
  expect(await ends({ totalMs: 60 * minute })).toBe(7 * day + 62 * minute)
  expect(await ends({})).toBe(372 * day)
  expect(at.clock.timers.filter(({ inMs }) => inMs === 20 * minute)).toEqual([])
})

test('that is not to be had ends its worker, with the reason', async () => {
  await using at = await stage(() => Promise.reject(new GreenroomError('FORBIDDEN')))
  const { worker, told } = at.place()
  told.catch(() => {})
  await at.clock.settle()
  await at.clock.advance(1_000)
  expect(await worker.gone).toMatchObject({ attached: false, error: { code: 'FORBIDDEN' } })
})
