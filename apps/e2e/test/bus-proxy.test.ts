/** The bus and the link over connections that fail all the time: delayed, cut, answers swallowed. */
import { createBroker, type Broker } from '@greenroom/broker'
import { connectBus, createLinkReceiver, createLinkSender, type LinkReceiver, type LinkSender } from '@greenroom/bus'
import { createFaultyProxy, type FaultyProxy } from '@greenroom/bus/testing'
import { codeOf, decodeMessage, type Bus, type LiveMessage, type Peer } from '@greenroom/proto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const token = 'a-token-of-enough-length'

/** A broker on a Unix socket, and clients that each reach it through a faulty proxy of their own. */
class Net implements AsyncDisposable {
  readonly broker: Broker
  readonly proxies: FaultyProxy[] = []
  readonly #folder: string
  readonly #buses: Bus[] = []
  readonly #seed: number

  private constructor(broker: Broker, folder: string, seed: number) {
    this.broker = broker
    this.#folder = folder
    this.#seed = seed
  }

  static async open(seed: number, pingMs = 10_000): Promise<Net> {
    const folder = await mkdtemp(join(tmpdir(), 'greenroom-proxy-'))
    const broker = await createBroker({
      dir: join(folder, 'data'),
      listen: { socket: join(folder, 'bus.sock') },
      token,
      limits: { pingMs },
    })
    return new Net(broker, folder, seed)
  }

  async bus(failBytes: number): Promise<Bus> {
    const { url = '' } = this.broker
    const proxy = await createFaultyProxy({ target: url, seed: this.#seed + this.proxies.length, failBytes })
    this.proxies.push(proxy)
    const bus = connectBus({ url: proxy.url, token, backoff: { minMs: 1, maxMs: 10 } })
    this.#buses.push(bus)
    return bus
  }

  /** How many connections failed. */
  get faults(): number {
    return this.proxies.reduce((sum, { faults }) => sum + faults, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const bus of this.#buses) await bus.close()
    for (const proxy of this.proxies) await proxy.close()
    await this.broker.close()
    await rm(this.#folder, { recursive: true })
  }
}

describe.each([1, 2, 3])('with faults of seed %i', (seed) => {
  test('every durable message arrives exactly once, those of each sender in order, with attempt 1', async () => {
    await using net = await Net.open(seed)
    const arrived: string[] = []
    const attempts = new Set<number>()
    const all = Promise.withResolvers<void>()
    const inbox = await (
      await net.bus(20_000)
    ).attach({
      address: 'inbox',
      incarnation: 'inbox-1',
      lifetime: 'named',
      credit: 16,
      onMessage: (message) => {
        arrived.push(message.id)
        attempts.add(message.attempt)
        void message.ack()
        if (arrived.length === 5 * 200) all.resolve()
      },
    })
    const payload = new Uint8Array(500)
    const sending = Array.from({ length: 5 }, async (_, sender) => {
      const bus = await net.bus(20_000)
      const peer = await bus.attach({ address: `s${sender}`, incarnation: 'x', lifetime: 'named' })
      for (let index = 0; index < 200; index += 10) {
        const sends = Array.from({ length: 10 }, (_, offset) =>
          peer.send({ to: 'inbox', id: `s${sender}-${index + offset}`, kind: 'note', payload }),
        )
        await Promise.all(sends)
      }
    })
    await Promise.all(sending)
    await all.promise
    for (const proxy of net.proxies) proxy.calm()
    await inbox.drain()
    expect(new Set(arrived).size).toBe(arrived.length)
    for (let sender = 0; sender < 5; sender += 1)
      expect(arrived.filter((id) => id.startsWith(`s${sender}-`))).toEqual(
        Array.from({ length: 200 }, (_, index) => `s${sender}-${index}`),
      )
    expect([...attempts]).toEqual([1])
    expect(net.broker.stats().messages).toBe(0)
    expect(net.faults).toBeGreaterThan(20)
    console.log(`seed ${seed}: ${arrived.length} messages over ${net.faults} failed connections`)
  })

  test('of a claim and a revocation exactly one wins, and both sides learn which', async () => {
    await using net = await Net.open(seed)
    const claims = new Map<string, Promise<string>>()
    const worker = await (
      await net.bus(3000)
    ).attach({
      address: 'worker',
      incarnation: 'w1',
      lifetime: 'incarnation',
      onMessage: (message) => {
        const claim = message.claim().then(
          () => 'claimed',
          (error: unknown) => codeOf(error) ?? String(error),
        )
        claims.set(message.id, claim)
      },
    })
    const runner = await (await net.bus(3000)).attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
    const answers = new Map<string, string>()
    const race = async (id: string): Promise<void> => {
      await runner.send({ to: 'worker', id, kind: 'run', payload: new Uint8Array(100) })
      answers.set(id, await runner.revoke({ to: 'worker', id }))
      // What is unanswered is said again on every connection: it must stay less than a connection carries.
      await claims.get(id)
    }
    for (let first = 0; first < 100; first += 10)
      await Promise.all(Array.from({ length: 10 }, (_, index) => race(`run-${first + index}`)))
    for (const [id, answer] of answers) {
      expect(['claimed', 'withdrawn']).toContain(answer)
      const claim = await claims.get(id)
      if (answer === 'claimed' || claim !== undefined) expect(claim).toBe(answer === 'claimed' ? 'claimed' : 'REVOKED')
    }
    for (const proxy of net.proxies) proxy.calm()
    await Promise.all([worker.drain(), runner.drain()])
    expect(net.faults).toBeGreaterThan(5)
  })

  test('a link hands over every event exactly once and in order', async () => {
    await using net = await Net.open(seed)
    const link: { sender?: LinkSender; receiver?: LinkReceiver } = {}
    const received: unknown[] = []
    const onLive = ({ kind, payload }: LiveMessage): void => {
      if (kind === 'events') link.receiver?.receive(decodeMessage('events', payload))
      else if (kind === 'heartbeat') link.receiver?.heartbeat(decodeMessage('heartbeat', payload))
      else if (kind === 'ack') link.sender?.ack(decodeMessage('ack', payload).upTo)
      else if (kind === 'resume') link.sender?.resume(decodeMessage('resume', payload).ack)
    }
    const attach = async (address: string, onAttached: () => void): Promise<Peer> => {
      const bus = await net.bus(100_000)
      const onState = (state: string): void => {
        if (state === 'attached') onAttached()
      }
      return bus.attach({
        address,
        incarnation: `${address}-1`,
        lifetime: 'named',
        presence: { role: address },
        onLive,
        onState,
      })
    }
    const worker = await attach('worker', () => link.sender?.attached())
    const runner = await attach('runner', () => link.receiver?.attached())
    runner.watch('worker', ({ state }) => {
      if (state === 'attached') link.receiver?.attached()
    })
    const ref = { runId: 'r1', epoch: 1 }
    const receiver = createLinkReceiver({
      peer: runner,
      to: 'worker',
      ref,
      deliver: (first, events) => {
        for (const { n } of events) received.push(n)
        receiver.ack(first + events.length - 1)
      },
    })
    link.receiver = receiver
    const sender = createLinkSender({ peer: worker, to: 'runner', ref, heartbeatMs: 50 })
    link.sender = sender
    const text = 'x'.repeat(150)
    for (let n = 1; n <= 10_000; n += 1) await sender.emit({ type: 'data', n, text })
    await sender.flushed()
    expect(received).toEqual(Array.from({ length: 10_000 }, (_, index) => index + 1))
    expect(net.faults).toBeGreaterThan(5)
    console.log(`seed ${seed}: 10,000 events over ${net.faults} failed connections`, receiver.counters)
    sender.close()
  })
})

test('connections that hang, or that are cut when somebody says so, come back and lose nothing', async () => {
  await using net = await Net.open(1, 50)
  const states: string[] = []
  const arrived: string[] = []
  const inbox = await (
    await net.bus(Infinity)
  ).attach({
    address: 'inbox',
    incarnation: 'inbox-1',
    lifetime: 'named',
    onState: (state) => void states.push(state),
    onMessage: (message) => {
      arrived.push(message.id)
      void message.ack()
    },
  })
  const sender = await (await net.bus(Infinity)).attach({ address: 's', incarnation: 's1', lifetime: 'named' })
  const [proxy] = net.proxies
  const payload = new Uint8Array(1)
  const lost = async (from: number): Promise<void> => {
    while (states.slice(from).join() !== 'lost,attached') await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(proxy?.hang(0)).toBe(0)
  expect(proxy?.hang()).toBe(1)
  await sender.send({ to: 'inbox', id: 'm1', kind: 'note', payload })
  // Nobody was told: both find out by silence.
  await lost(0)
  expect(proxy?.cut(0)).toBe(0)
  expect(proxy?.cut()).toBe(1)
  await sender.send({ to: 'inbox', id: 'm2', kind: 'note', payload })
  await lost(2)
  await inbox.drain()
  expect(arrived).toEqual(['m1', 'm2'])
  expect(net.faults).toBe(0)
})
