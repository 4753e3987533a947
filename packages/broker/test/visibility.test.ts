/** Visibility timeouts where the contract of the bus does not reach: failing commits, machines that sleep, raw frames. */
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import type { BrokerHeader, Delivery, Peer, PeerOptions } from '@greenroom/proto'
import { createMemoryStore, type CommitFault } from '@greenroom/store'
import { expect, test } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import { RawClient } from './raw-client.ts'

const token = 'a-token-of-enough-length'
const visibilityMs = 10_000
const note = (id: string) => ({ to: 'inbox', id, kind: 'note', payload: new Uint8Array([1]) })

interface World extends AsyncDisposable {
  readonly broker: Broker
  readonly clock: ManualClock
  /** How the next commits end. */
  readonly faults: CommitFault['outcome'][]
  readonly peer: Peer
  readonly came: readonly Delivery[]
}

/** A broker under a clock of its own, and a consumer whose deliveries time out. */
async function world(options: Partial<PeerOptions> = {}): Promise<World> {
  const clock = createManualClock()
  const faults: CommitFault['outcome'][] = []
  const faultOf = () => {
    const outcome = faults.shift()
    return outcome && { outcome }
  }
  const store = createMemoryStore({ schema: brokerSchema, defer: clock.defer, faults: faultOf })
  const listen = { port: 0 }
  const limits = { pingMs: 1_000_000_000 }
  const broker = await createBroker({ store, clock, listen, token, limits, maxAttempts: 3 })
  const came: Delivery[] = []
  const onMessage = (delivery: Delivery): void => void came.push(delivery)
  const own: PeerOptions = { address: 'inbox', incarnation: 'i1', lifetime: 'named', visibilityMs, onMessage }
  const peer = await broker.bus.attach({ ...own, ...options })
  const dispose = () => broker[Symbol.asyncDispose]().then(() => store.close())
  return { broker, clock, faults, peer, came, [Symbol.asyncDispose]: dispose }
}

const attempts = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.map(({ id, attempt }) => `${id}/${attempt}`)

test('a machine that slept lets nothing time out: everybody has the whole time again', async () => {
  await using it = await world()
  const { clock, peer, came } = it
  await peer.send(note('m1'))
  await clock.advance(5_000)
  await peer.send(note('m2'))
  await clock.settle()
  clock.suspend(3_600_000)
  await clock.advance(visibilityMs - 1)
  expect(attempts(came)).toEqual(['m1/1', 'm2/1'])
  await came[0]?.touch()
  await clock.advance(1)
  expect(attempts(came)).toEqual(['m1/1', 'm2/1', 'm2/2'])
})

test.for(['fails', 'lies', 'limbo'] as const)(
  'a timeout whose commit fails is stored later, and counts once (%s)',
  async (fault) => {
    await using it = await world()
    const { broker, clock, faults, peer, came } = it
    await peer.send(note('m1'))
    await clock.settle()
    faults.push(fault, fault)
    await clock.advance(visibilityMs)
    expect(attempts(came)).toEqual(['m1/1'])
    expect(broker.stats().failedCommits).toBe(1)
    await clock.advance(1_000)
    expect(broker.stats().failedCommits).toBe(2)
    await clock.advance(1_000)
    expect(attempts(came)).toEqual(['m1/1', 'm1/2'])
    await expect(came[0]?.ack()).rejects.toMatchObject({ code: 'NOT_HOLDER' })
    await came[1]?.ack()
    expect(broker.stats()).toMatchObject({ messages: 0, deadLetters: 0, failedCommits: 2 })
  },
)

test('who settles it while the timeout cannot be stored has it', async () => {
  await using it = await world()
  const { clock, faults, peer, came } = it
  await peer.send(note('m1'))
  await clock.settle()
  faults.push('fails')
  await clock.advance(visibilityMs)
  await came[0]?.claim()
  await clock.advance(5 * visibilityMs)
  expect(attempts(came)).toEqual(['m1/1'])
  expect(await peer.revoke({ to: 'inbox', id: 'm1' })).toBe('claimed')
})

test('of many that are held, settled and touched in any order each has its own time, and no alarm stays', async () => {
  await using it = await world({ credit: 1_000 })
  const { clock, peer, came } = it
  const before = clock.timers.length
  for (let index = 0; index < 100; index += 1) {
    await peer.send(note(`m${index}`))
    await clock.advance(100)
  }
  // All are due within the second 10: those that can be divided by 3 are settled, of the others the even ones are touched.
  expect(attempts(came).filter((one) => !one.endsWith('/1'))).toEqual(['m0/2'])
  const first = came.slice(0, 100)
  await came[100]?.ack()
  for (const [index, delivery] of first.entries()) {
    if (index === 0) continue
    if (index % 3 === 0) await delivery.ack()
    else if (index % 2 === 0) await delivery.touch()
  }
  await clock.advance(visibilityMs - 100)
  const returned = attempts(came.slice(101))
  const expected = first.map((_, index) => index).filter((index) => index % 3 !== 0 && index % 2 === 1)
  expect(returned).toEqual(expected.map((index) => `m${index}/2`))
  for (const delivery of came) await delivery.ack().catch(() => {})
  await clock.advance(visibilityMs)
  expect(clock.timers.length).toBe(before)
  expect(it.broker.stats().messages).toBe(0)
})

test('over the wire a delivery is named by its attempt, and without one the present delivery is meant', async () => {
  await using it = await world()
  const { broker, clock, peer } = it
  using client = await RawClient.attached(broker.url ?? '', token, 'raw', { visibilityMs, credit: 1_000 })
  const delivered = (id: string, attempt: number): Promise<BrokerHeader> =>
    client.heard((header) => header.t === 'deliver' && header.id === id && header.attempt === attempt)
  const ids = ['m1', 'm2', 'm3', 'm4']
  for (const id of ids) await peer.send({ ...note(id), to: 'raw' })
  for (const id of ids) await delivered(id, 1)
  await clock.advance(visibilityMs)
  for (const id of ids) await delivered(id, 2)
  let req = 10
  const answer = async (header: object): Promise<string> => {
    req += 1
    client.say({ ...header, req })
    const said = await client.answer(req)
    return said.t === 'error' ? said.code : said.t
  }
  expect(await answer({ t: 'ack', ids: ['m1', 'm2'], attempts: [1, 2] })).toBe('NOT_HOLDER')
  expect(await answer({ t: 'claim', id: 'm1', attempt: 1 })).toBe('NOT_HOLDER')
  expect(await answer({ t: 'nack', id: 'm1', attempt: 1 })).toBe('NOT_HOLDER')
  expect(await answer({ t: 'touch', id: 'm1', attempt: 1 })).toBe('NOT_HOLDER')
  expect(await answer({ t: 'touch', id: 'm1', attempt: 2 })).toBe('ok')
  expect(await answer({ t: 'touch', id: 'm1' })).toBe('ok')
  expect(await answer({ t: 'touch', id: 'm2' })).toBe('NOT_HOLDER')
  expect(await answer({ t: 'claim', id: 'm1', attempt: 2 })).toBe('ok')
  // As after a lost answer: the claim of a delivery that timed out is not granted by the one that was.
  expect(await answer({ t: 'claim', id: 'm1', attempt: 1 })).toBe('NOT_HOLDER')
  expect(await answer({ t: 'claim', id: 'm1', attempt: 2 })).toBe('ok')
  expect(await answer({ t: 'claim', id: 'm1' })).toBe('ok')
  expect(await answer({ t: 'ack', ids: ['m3'] })).toBe('ok')
  expect(await answer({ t: 'ack', ids: ['m4'], attempts: [2] })).toBe('ok')
  expect(broker.stats().messages).toBe(0)
})

test('what a consumer lists as an earlier delivery is not held, but delivered again, and counts no attempt for that', async () => {
  await using it = await world()
  const { broker, clock, peer } = it
  const url = broker.url ?? ''
  {
    using client = await RawClient.attached(url, token, 'raw', { visibilityMs })
    for (const id of ['m1', 'm2']) await peer.send({ ...note(id), to: 'raw' })
    await client.heard((header) => header.t === 'deliver' && header.id === 'm2')
    await clock.advance(visibilityMs)
    await client.heard((header) => header.t === 'deliver' && header.id === 'm2' && header.attempt === 2)
  }
  const again = { visibilityMs, again: true, held: ['m1', 'm2'], attempts: [1, 2] }
  using client = await RawClient.attached(url, token, 'raw', again)
  expect(await client.heard(({ t }) => t === 'deliver')).toMatchObject({ id: 'm1', attempt: 2 })
  client.say({ t: 'ack', req: 9, ids: ['m1', 'm2'], attempts: [2, 2] })
  expect(await client.answer(9)).toEqual({ t: 'ok', req: 9 })
  expect(client.headers.filter(({ t }) => t === 'deliver').length).toBe(1)
})

test('who settled it first has it, although its time is over before that is stored', async () => {
  await using it = await world()
  const { clock, peer, came } = it
  for (const id of ['m1', 'm2', 'm3']) await peer.send(note(id))
  await clock.advance(visibilityMs - 1)
  const said = Promise.all(
    came.map((delivery) =>
      delivery.id === 'm1' ? delivery.claim() : delivery.id === 'm2' ? delivery.nack() : delivery.touch(),
    ),
  )
  clock.jump(1)
  await clock.settle()
  await said
  await clock.advance(visibilityMs - 2)
  expect(attempts(came)).toEqual(['m1/1', 'm2/1', 'm3/1', 'm2/2'])
  for (const delivery of came.slice(2)) await delivery.ack()
  expect(it.broker.stats().messages).toBe(0)
})

test('nothing times out while its consumer is away', async () => {
  await using it = await world()
  const { broker, clock, peer } = it
  {
    using client = await RawClient.attached(broker.url ?? '', token, 'raw', { visibilityMs })
    await peer.send({ ...note('m1'), to: 'raw' })
    await client.heard(({ t }) => t === 'deliver')
  }
  await expect.poll(() => broker.stats().suspect).toBe(1)
  await clock.advance(2 * visibilityMs)
  const again = { visibilityMs, again: true, held: ['m1'], attempts: [1] }
  using client = await RawClient.attached(broker.url ?? '', token, 'raw', again)
  client.say({ t: 'ack', req: 9, ids: ['m1'], attempts: [1] })
  expect(await client.answer(9)).toEqual({ t: 'ok', req: 9 })
  expect(broker.stats().messages).toBe(0)
})
