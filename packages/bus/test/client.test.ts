import {
  connectBus,
  type ConnectedBus,
  type ConnectOptions,
  type SocketEvents,
  type SocketFactory,
} from '@greenroom/bus'
import {
  codeOf,
  decodeFrame,
  encodeFrame,
  parseClientHeader,
  type Clock,
  type Delivery,
  type PeerOptions,
  type PresenceChange,
  type Welcome,
} from '@greenroom/proto'
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { getEventListeners, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createNetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FakeBroker } from './fake-broker.ts'

const own = { address: 'me', incarnation: 'me-1', lifetime: 'named' } as const
const random = { fraction: () => 0, id: () => 'id' }
const payload = new Uint8Array([1, 2, 3])
const failure = (code: string): object => expect.objectContaining({ code })

/** A bus whose pauses are as short as they may be. */
function connect(broker: { readonly url: string }, options: Partial<ConnectOptions> = {}): ConnectedBus {
  return connectBus({ url: broker.url, token: 'secret', backoff: { minMs: 1, maxMs: 2 }, ...options })
}

/** How a call ends: its error's code, or what it gave. */
function endOf(call: Promise<unknown>): Promise<unknown> {
  return call.catch((error: unknown) => codeOf(error))
}

/** Waits until a condition holds, a turn of the loop at a time. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** Takes the client's hello, says nothing, and sees it cut after so many milliseconds, and about to come again. */
async function cutWhenSilentFor(ms: number, broker: FakeBroker, clock: ManualClock): Promise<void> {
  const silent = await broker.client()
  await silent.next('hello')
  // It may have come up to 10 ms ago.
  expect(clock.timers.some(({ inMs }) => inMs >= ms - 10 && inMs <= ms)).toBe(true)
  clock.jump(ms - 10)
  expect(clock.timers.some(({ inMs }) => inMs <= 10)).toBe(true)
  clock.jump(10)
  expect(await silent.closed).toBe(1006)
  clock.jump(10)
}

async function attached(
  options: Partial<PeerOptions> = {},
  more: Partial<ConnectOptions> = {},
  welcome: Partial<Welcome> = {},
) {
  const broker = await FakeBroker.listen()
  const bus = connect(broker, more)
  const attaching = bus.attach({ ...own, ...options })
  const client = await broker.client()
  await client.attach(welcome)
  const peer = await attaching
  return {
    broker,
    bus,
    client,
    peer,
    async [Symbol.asyncDispose]() {
      await bus.close()
      await broker[Symbol.asyncDispose]()
    },
  }
}

describe('the handshake', () => {
  test('shows the token at the upgrade, says hello first and attaches as it was told', async () => {
    await using broker = await FakeBroker.listen()
    await using bus = connect(broker, { agent: 'test/1', required: ['durable'] })
    const attaching = bus.attach({ ...own, credit: 3, controlCredit: 4, presence: { role: 'r', slots: 1 } })
    const client = await broker.client()
    expect(client.request.headers.authorization).toBe('Bearer secret')
    expect(client.request.headers['sec-websocket-protocol']).toBe('greenroom.1')
    expect(client.request.headers['sec-websocket-extensions']).toBeUndefined()
    const { header } = await client.next('hello')
    expect(header).toEqual({ t: 'hello', wire: 1, oldest: 1, capabilities: [], required: ['durable'], agent: 'test/1' })
    client.say({
      t: 'welcome',
      wire: 1,
      capabilities: ['durable', 'new'],
      broker: 'b',
      pingMs: 10_000,
      partitionGraceMs: 1,
      dedupeWindowMs: 1,
    })
    const attach = await client.next('attach')
    expect(attach.header).toEqual({
      t: 'attach',
      req: 0,
      ...own,
      credit: 3,
      controlCredit: 4,
      presence: { role: 'r', slots: 1 },
    })
    client.say({ t: 'ok', req: 0 })
    expect((await attaching).state).toBe('attached')
    expect([...bus.capabilities]).toEqual(['durable'])
  })

  test('what comes in one chunk with the answer to attach waits until its caller has the peer', async () => {
    await using broker = await FakeBroker.listen()
    await using bus = connect(broker)
    const told: string[] = []
    const wrapped = async () => {
      const peer = await bus.attach({
        ...own,
        onMessage: ({ id }) => told.push(id),
        onLive: ({ kind }) => told.push(kind),
      })
      await Promise.resolve()
      told.push('attached')
      return peer
    }
    const attaching = wrapped()
    const client = await broker.client()
    await client.welcome()
    await client.next('attach')
    client.request.socket.cork()
    client.say({ t: 'ok', req: 0 })
    client.deliver('m1')
    client.say({ t: 'live', to: 'me', kind: 'events', from: 'you' })
    client.deliver('m2')
    client.request.socket.uncork()
    await attaching
    await until(() => told.length === 4)
    expect(told).toEqual(['attached', 'm1', 'events', 'm2'])
  })

  test('works over a Unix socket whose path holds spaces and percent signs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bus '))
    try {
      await using broker = await FakeBroker.listen(join(folder, 'a %20 b.sock'))
      await using bus = connect(broker)
      const attaching = bus.attach(own)
      // As much as nobody said otherwise.
      expect(await (await broker.client()).attach()).toMatchObject({ credit: 64, controlCredit: 64 })
      expect((await attaching).state).toBe('attached')
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('a url of another sort is refused with BAD_OPTIONS, as are names that no broker takes', async () => {
    for (const url of ['http://127.0.0.1', 'ws+unix:relative', 'nonsense', 'ws://127.0.0.1/#x'])
      expect(() => connectBus({ url, token: '' })).toThrow(failure('BAD_OPTIONS'))
    await using bus = connectBus({ url: 'ws+unix:/tmp/x.sock:/', token: '' })
    await expect(bus.attach({ ...own, address: 'a/b' })).rejects.toThrow(failure('BAD_OPTIONS'))
  })

  test('a broker that lacks a required capability, or speaks another version, is refused by name', async () => {
    await using broker = await FakeBroker.listen()
    await using bus = connect(broker, { required: ['magic'] })
    const attaching = bus.attach(own)
    await (await broker.client()).welcome()
    await expect(attaching).rejects.toThrow(failure('MISSING_CAPABILITY'))
    const other = connect(broker).attach(own)
    await (await broker.client()).welcome({ wire: 9 })
    await expect(other).rejects.toThrow(failure('UNSUPPORTED_VERSION'))
    expect(broker.connections).toBe(2)
  })

  test('an attach that is refused ends with the code of its refusal, unless that may pass: then it is made again', async () => {
    await using broker = await FakeBroker.listen()
    await using bus = connect(broker)
    const attaching = endOf(bus.attach(own))
    for (const code of ['IO_FAILED', 'FENCED']) {
      const client = await broker.client()
      await client.welcome()
      const { header } = await client.next('attach')
      client.say({ t: 'error', req: header.req, code, message: 'refused' })
      await client.closed
    }
    expect(await attaching).toBe('FENCED')
    expect(broker.connections).toBe(2)
  })

  test('a wrong token is final: nobody connects again', async () => {
    let upgrades = 0
    const server = createServer()
    server.on('upgrade', (_request, socket) => {
      upgrades += 1
      socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const url = `ws://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
    await using bus = connect({ url })
    await expect(bus.attach(own)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      message: `${url} does not know this token: give one that its broker was started with, or that one of its keys has signed`,
    })
    expect(upgrades).toBe(1)
    server.close()
  })

  test('a token source is asked before every connection, and one that fails is asked again', async () => {
    await using broker = await FakeBroker.listen()
    const answers = [() => Promise.reject(new Error('no token yet')), () => Promise.resolve('one'), () => 'two']
    await using bus = connect(broker, { token: () => answers.shift()?.() ?? 'more' })
    const attaching = bus.attach(own)
    const first = await broker.client()
    expect(first.request.headers.authorization).toBe('Bearer one')
    await first.attach()
    await attaching
    first.cut()
    expect((await broker.client()).request.headers.authorization).toBe('Bearer two')
  })

  test('a connection that is not attached by the hello deadline is cut and tried again', async () => {
    const clock = createManualClock()
    await using broker = await FakeBroker.listen()
    await using bus = connect(broker, { clock, random, helloMs: 500 })
    const attaching = bus.attach(own)
    await cutWhenSilentFor(500, broker, clock)
    await (await broker.client()).attach()
    expect((await attaching).state).toBe('attached')
  })

  test('who was attached before is not held by a silent broker for longer than a third of its grace', async () => {
    // A second there is all the same, where more was not refused from the start.
    for (const [partitionGraceMs, helloMs, cutMs] of [
      [9_000, 10_000, 3_000],
      [300, 10_000, 1_000],
      [9_000, 500, 500],
    ] as const) {
      const clock = createManualClock()
      await using broker = await FakeBroker.listen()
      await using bus = connect(broker, { clock, random, helloMs })
      const attaching = bus.attach(own)
      const first = await broker.client()
      await first.attach({ partitionGraceMs })
      const peer = await attaching
      first.cut()
      await until(() => peer.state === 'lost')
      clock.jump(10)
      await cutWhenSilentFor(cutMs, broker, clock)
      await (await broker.client()).attach()
      await until(() => peer.state === 'attached')
    }
  })

  test('a server that accepts and says nothing at all does not hold the client for ever', async () => {
    const clock = createManualClock()
    const sockets: Socket[] = []
    const server = createNetServer((socket) => void sockets.push(socket))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const bus = connect({ url: `ws://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` }, { clock, random })
    const stop = new AbortController()
    const attaching = bus.attach({ ...own, signal: stop.signal })
    await until(() => sockets.length === 1)
    clock.jump(10_000)
    clock.jump(5)
    await until(() => sockets.length === 2)
    stop.abort()
    await expect(attaching).rejects.toThrow(/not attached within 10000 ms/)
    await expect(attaching).rejects.toThrow(failure('ABORTED'))
    expect(clock.timers.length).toBe(0)
    server.close()
    for (const socket of sockets) socket.destroy()
  })

  test('the first attach waits for the broker until its signal aborts; the error says what went wrong last', async () => {
    const stop = new AbortController()
    await using bus = connect({ url: 'ws://127.0.0.1:1' })
    const attaching = bus.attach({ ...own, signal: stop.signal })
    setTimeout(() => stop.abort(), 30)
    await expect(attaching).rejects.toThrow(/ECONNREFUSED/)
  })
})

describe('ends', () => {
  for (const [close, code] of [
    [4400, 'BAD_FRAME'],
    [4401, 'UNAUTHORIZED'],
    [4403, 'FORBIDDEN'],
    [4406, 'UNSUPPORTED_VERSION'],
    [4407, 'MISSING_CAPABILITY'],
    [4409, 'REPLACED'],
    [4410, 'FENCED'],
  ] as const)
    test(`close code ${close} is final: ${code}`, async () => {
      const states: string[] = []
      await using it = await attached({ onState: (state) => states.push(state) })
      const waiting = it.peer.send({ to: 'you', id: 'm1', kind: 'note', payload })
      const refused = endOf(waiting)
      await it.client.next('send')
      it.client.ws.close(close)
      expect((await it.peer.closed).code).toBe(code)
      expect(await refused).toBe(code)
      await expect(it.peer.send({ to: 'you', id: 'm2', kind: 'note', payload })).rejects.toThrow(failure(code))
      expect(it.peer.publish({ to: 'you', kind: 'note', payload })).toBe(false)
      expect(states).toEqual(['closed'])
      expect(it.broker.connections).toBe(1)
    })

  test('an error frame REPLACED ends the peer at once: what was queued in that tick is not written', async () => {
    await using it = await attached()
    it.client.say({ t: 'error', code: 'REPLACED', message: 'taken over' })
    const end = await it.peer.closed
    expect(end).toEqual({ code: 'REPLACED', message: 'taken over' })
    await it.client.closed
    expect(it.client.unread).toBe(0)
  })

  for (const close of [1001, 1011, 1012, 1013, 4408, 4429, 4430, 4503])
    test(`close code ${close} is not final: the client comes back and repeats what is unanswered`, async () => {
      await using it = await attached()
      const receipt = it.peer.send({ to: 'you', id: 'm1', kind: 'note', payload })
      const first = await it.client.next('send')
      it.client.ws.close(close)
      const client = await it.broker.client()
      expect((await client.attach()).again).toBe(true)
      const second = await client.next('send')
      expect(second).toEqual(first)
      client.say({ t: 'ok', req: second.header.req, seq: 7, duplicate: true })
      expect(await receipt).toEqual({ seq: 7, duplicate: true })
    })

  test('close rejects every call that waits, sets no timer and leaves nothing behind', async () => {
    const clock = createManualClock()
    await using it = await attached({}, { clock })
    const { peer } = it
    it.client.deliver('m1')
    const unknown = peer.send({ to: 'you', id: 'm0', kind: 'note', payload })
    const { header } = await it.client.next('send')
    const timers = clock.timers.length
    it.client.say({ t: 'error', req: header.req, code: 'COMMIT_UNKNOWN', message: '' })
    // It will be asked again.
    await until(() => clock.timers.length > timers)
    const calls = [
      unknown,
      peer.send({ to: 'you', id: 'm1', kind: 'note', payload }),
      peer.revoke({ to: 'you', id: 'm1' }),
      peer.fence({ address: 'you', incarnation: 'you-1' }),
    ]
    await peer.close()
    for (const end of await Promise.allSettled(calls))
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } })
    expect(await it.client.closed).toBe(1000)
    expect(clock.timers.length).toBe(0)
  })

  test('close between two connections, or before the first has its token, opens none any more', async () => {
    const clock = createManualClock()
    await using it = await attached({}, { clock })
    it.client.cut()
    await until(() => it.peer.state === 'lost')
    await it.peer.close()
    expect(clock.timers).toEqual([])
    const { promise: token, resolve } = Promise.withResolvers<string>()
    const opened: string[] = []
    const socket: SocketFactory = ({ url }) => {
      opened.push(url)
      return { write: () => {}, buffered: () => 0, close: () => {}, destroy: () => {} }
    }
    await using bus = connect(it.broker, { token: () => token, socket })
    const attaching = endOf(bus.attach(own))
    await bus.close()
    expect(await attaching).toBe('CLOSED')
    resolve('late')
    await new Promise((resolved) => setImmediate(resolved))
    expect(opened).toEqual([])
  })

  test('drain waits for the answers, sends the acks of this tick, leaves, and takes FENCED for the lost answer', async () => {
    const held: Delivery[] = []
    await using it = await attached({ onMessage: (message) => void held.push(message) })
    it.client.deliver('m1')
    await until(() => held.length === 1)
    void held[0]?.ack()
    const sent = it.peer.send({ to: 'you', id: 's1', kind: 'note', payload })
    const drained = it.peer.drain()
    const ack = await it.client.next('ack')
    const send = await it.client.next('send')
    it.client.deliver('m2')
    it.client.say({ t: 'ok', req: send.header.req, seq: 1 })
    it.client.say({ t: 'ok', req: ack.header.req ?? -1 })
    await it.client.next('leave')
    it.client.cut()
    const client = await it.broker.client()
    await client.welcome()
    await client.next('attach')
    client.say({ t: 'error', req: 0, code: 'FENCED', message: 'gone' })
    await drained
    expect((await it.peer.closed).code).toBe('CLOSED')
    expect(await sent).toEqual({ seq: 1, duplicate: false })
    expect(held.length).toBe(1)
  })

  test('drain sends the ack of this very tick before it leaves', async () => {
    const held: Delivery[] = []
    await using it = await attached({ onMessage: (message) => void held.push(message) })
    it.client.deliver('m1')
    await until(() => held.length === 1)
    void held[0]?.ack()
    const drained = it.peer.drain()
    const ack = await it.client.next('ack')
    it.client.say({ t: 'ok', req: ack.header.req ?? -1 })
    const leave = await it.client.next('leave')
    it.client.say({ t: 'ok', req: leave.header.req })
    await drained
    expect((await it.peer.closed).code).toBe('CLOSED')
  })

  test('a drain without a connection gives up after the partition grace', async () => {
    const clock = createManualClock()
    const it = await attached({}, { clock, random })
    const sent = endOf(it.peer.send({ to: 'you', id: 's1', kind: 'note', payload }))
    await it.broker[Symbol.asyncDispose]()
    await until(() => it.peer.state === 'lost')
    const drained = it.peer.drain()
    for (let second = 0; second < 30; second += 1) clock.jump(1000)
    await drained
    expect(await sent).toBe('CLOSED')
    expect(clock.timers.length).toBe(0)
  })

  test('a drain that has nothing to say gives a lost connection a moment, and no partition grace', async () => {
    const clock = createManualClock()
    const it = await attached({}, { clock, random })
    await it.broker[Symbol.asyncDispose]()
    await until(() => it.peer.state === 'lost')
    const drained = it.peer.drain()
    await clock.advance(1499)
    expect(it.peer.state).toBe('lost')
    await clock.advance(1)
    await drained
    expect((await it.peer.closed).code).toBe('CLOSED')
    expect(clock.timers.length).toBe(0)
  })
})

describe('a connection that goes bad', () => {
  for (const [what, bytes] of [
    ['too short', Uint8Array.of(0, 0)],
    ['no JSON', Uint8Array.of(0, 0, 0, 1, 0x7b)],
    ['an unknown frame', encodeFrame({ t: 'dance' })],
    ['a header that is cut short', Uint8Array.of(0, 0, 1, 0, 1, 2)],
  ] as const)
    test(`garbage (${what}) costs the connection, not the peer`, async () => {
      await using it = await attached()
      it.client.ws.send(bytes)
      await it.client.closed
      await (await it.broker.client()).attach()
      await until(() => it.peer.state === 'attached')
    })

  test('whatever else comes in place of the answer to attach costs the connection: nobody is attached by it', async () => {
    const welcome = { wire: 1, capabilities: [], broker: 'b', pingMs: 1e4, partitionGraceMs: 3e4, dedupeWindowMs: 1e8 }
    await using broker = await FakeBroker.listen()
    // It is not the deadline that ends it.
    await using bus = connect(broker, { helloMs: 3_600_000 })
    let isAttached = false
    const attaching = bus.attach(own).then(() => (isAttached = true))
    for (const frame of [
      { t: 'live', to: 'me', kind: 'x', from: 'you' },
      { t: 'welcome', ...welcome },
    ] as const) {
      const client = await broker.client()
      await client.welcome()
      await client.next('attach')
      client.say(frame)
      expect(await client.closed).toBe(1006)
    }
    const last = await broker.client()
    expect(isAttached).toBe(false)
    await last.attach()
    await attaching
  })

  test('a text message costs the connection, too', async () => {
    await using it = await attached()
    it.client.ws.send('hello')
    await it.client.closed
    await (await it.broker.client()).attach()
  })

  test('silence: nothing heard for more than three pings cuts the connection; pings alone keep it', async () => {
    const clock = createManualClock()
    const states: string[] = []
    await using it = await attached({ onState: (state) => states.push(state) }, { clock, random })
    for (let ping = 0; ping < 10; ping += 1) {
      clock.jump(10_000)
      const { promise, resolve } = Promise.withResolvers<void>()
      it.client.ws.once('pong', () => resolve())
      it.client.ws.ping()
      await promise
    }
    expect(states).toEqual([])
    clock.jump(30_000)
    expect(states).toEqual([])
    clock.jump(10_000)
    expect(states).toEqual(['lost'])
    clock.jump(10)
    await (await it.broker.client()).attach()
    await until(() => it.peer.state === 'attached')
    expect(states).toEqual(['lost', 'attached'])
  })

  test('who hears frames needs no pings', async () => {
    const clock = createManualClock()
    const states: string[] = []
    let heard = 0
    const own = { onState: (state: string) => void states.push(state), onLive: () => void (heard += 1) }
    await using it = await attached(own, { clock, random })
    for (let ping = 1; ping <= 10; ping += 1) {
      clock.jump(10_000)
      it.client.say({ t: 'live', to: 'me', kind: 'events', from: 'you' })
      await until(() => heard === ping)
    }
    expect(states).toEqual([])
  })

  test('pauses double with jitter up to the maximum, and are short again after a connection that stood', async () => {
    const clock = createManualClock()
    await using broker = await FakeBroker.listen()
    await using bus = connectBus({
      url: broker.url,
      token: 't',
      clock,
      random: { fraction: () => 0.5, id: () => 'x' },
      backoff: { minMs: 100, maxMs: 1000 },
    })
    const attaching = bus.attach(own)
    const pauses: number[] = []
    for (let round = 0; round < 6; round += 1) {
      ;(await broker.client()).cut()
      await until(() => clock.timers.length === 1 && clock.timers[0]?.inMs !== 10_000)
      pauses.push(clock.timers[0]?.inMs ?? 0)
      clock.jump(clock.timers[0]?.inMs ?? 0)
    }
    expect(pauses).toEqual([75, 150, 300, 600, 750, 750])
    const brief = await broker.client()
    await brief.attach()
    const peer = await attaching
    clock.jump(999)
    brief.cut()
    await until(() => peer.state === 'lost')
    expect(clock.timers[0]?.inMs).toBe(750)
    clock.jump(750)
    const client = await broker.client()
    await client.attach()
    await until(() => peer.state === 'attached')
    clock.jump(1000)
    client.cut()
    await until(() => peer.state === 'lost')
    expect(clock.timers[0]?.inMs).toBe(75)
  })

  /** The pauses of a client whose connections all fail, each after what `play` does to it. */
  async function pausesAt(url: string, play: (events: SocketEvents) => void): Promise<number[]> {
    const clock = createManualClock()
    const opened: SocketEvents[] = []
    const socket: SocketFactory = (_target, events) => {
      opened.push(events)
      return { write: () => {}, buffered: () => 0, close: () => {}, destroy: () => {} }
    }
    await using bus = connectBus({ url, token: 't', clock, socket, random: { fraction: () => 1, id: () => 'x' } })
    bus.attach(own).catch(() => {})
    const pauses: number[] = []
    for (let round = 0; round < 12; round += 1) {
      await until(() => opened.length === round + 1)
      play(opened[round] ?? expect.fail())
      const pauseMs = clock.timers[0]?.inMs ?? expect.fail()
      pauses.push(pauseMs)
      clock.jump(pauseMs)
    }
    return pauses
  }

  const welcome = { wire: 1, capabilities: [], broker: 'b', pingMs: 1e4, partitionGraceMs: 3e4, dedupeWindowMs: 1e8 }

  test.for(['ws+unix:///run/x.sock', 'ws://127.0.0.1:7440', 'ws://localhost:7440', 'wss://[::1]:7440'])(
    'a broker at %s that dies again and again is found within a second when it is back, and never hammered',
    async (url) => {
      const dying = await pausesAt(url, (events) => {
        events.opened()
        events.frame(encodeFrame({ t: 'welcome', ...welcome }))
        events.frame(encodeFrame({ t: 'ok', req: 0 }))
        events.closed(1006, 'killed')
      })
      const refusing = await pausesAt(url, (events) => events.closed(503, 'not now'))
      const expected = [50, 100, 200, 400, 800, ...Array.from({ length: 7 }, () => 1000)]
      expect({ dying, refusing }).toEqual({ dying: expected, refusing: expected })
    },
  )

  test('a broker on another machine, with many clients, is given more time', async () => {
    const pauses = await pausesAt('wss://broker.example:7440', (events) => events.closed(503, 'not now'))
    expect(pauses.slice(5)).toEqual([1600, 3200, 5000, 5000, 5000, 5000, 5000])
  })
})

describe('what is held', () => {
  test('is named at the next attach until the broker has confirmed, and comes to the handler once', async () => {
    const held: Delivery[] = []
    await using it = await attached({ onMessage: (message) => void held.push(message) })
    for (const id of ['m1', 'm2', 'm3', 'm4']) it.client.deliver(id)
    await until(() => held.length === 4)
    const [m1, m2, m3] = held
    const confirmed = m1?.ack()
    const first = await it.client.next('ack')
    it.client.say({ t: 'ok', req: first.header.req ?? -1 })
    await confirmed
    const [acked, claimed] = [m2?.ack(), m3?.claim()]
    await it.client.next('claim')
    await it.client.next('ack')
    it.client.cut()
    const client = await it.broker.client()
    expect((await client.attach()).held).toEqual(['m2', 'm3', 'm4'])
    client.deliver('m4')
    const claim = await client.next('claim')
    const ack = await client.next('ack')
    expect(ack.header.ids).toEqual(['m2'])
    client.say({ t: 'ok', req: claim.header.req })
    client.say({ t: 'ok', req: ack.header.req ?? -1 })
    await Promise.all([acked, claimed])
    client.deliver('m5')
    await until(() => held.length === 5)
    expect(held.map(({ id }) => id)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'])
  })

  test('comes to the handler again when its attempt has grown', async () => {
    const held: Delivery[] = []
    await using it = await attached({ onMessage: (message) => void held.push(message) })
    it.client.deliver('m1')
    await until(() => held.length === 1)
    void held[0]?.nack({ delayMs: 5 })
    expect((await it.client.next('nack')).header).toMatchObject({ id: 'm1', delayMs: 5 })
    it.client.cut()
    const client = await it.broker.client()
    await client.attach()
    client.deliver('m1', { attempt: 2 })
    await until(() => held.length === 2)
    expect(held[1]?.attempt).toBe(2)
  })

  test('what a handler of messages, live messages or states throws reaches onError, and stops nothing', async () => {
    const errors: string[] = []
    const fail = (what: string): never => {
      throw new Error(what)
    }
    await using it = await attached({
      onMessage: ({ id }) => fail(id),
      onLive: ({ kind }) => fail(kind),
      onState: fail,
      onError: (error) => errors.push(String(error)),
    })
    it.client.deliver('m1')
    it.client.say({ t: 'live', to: 'me', kind: 'events', from: 'you' })
    it.client.deliver('m2')
    await until(() => errors.length === 3)
    it.client.cut()
    // What was not settled is held all the same.
    expect((await (await it.broker.client()).attach()).held).toEqual(['m1', 'm2'])
    await until(() => errors.length === 5)
    expect(errors).toEqual(['m1', 'events', 'm2', 'lost', 'attached'].map((what) => `Error: ${what}`))
  })

  test('the acks of one tick are one request, and as many as a header holds', async () => {
    const held: Delivery[] = []
    await using it = await attached({ onMessage: (message) => void held.push(message) })
    for (let index = 0; index < 200; index += 1) it.client.deliver(`${index}`.padStart(120, 'x'))
    await until(() => held.length === 200)
    for (const message of held) void message.ack()
    const ids = [...(await it.client.next('ack')).header.ids]
    expect(ids.length).toBeGreaterThan(90)
    while (ids.length < 200) ids.push(...(await it.client.next('ack')).header.ids)
    expect(new Set(ids).size).toBe(200)
    it.client.cut()
    const client = await it.broker.client()
    expect((await client.attach()).held?.length).toBeGreaterThan(90)
  })
})

describe('calls', () => {
  test('are repeated in their order with their numbers; transient ones are not', async () => {
    await using it = await attached()
    const { peer } = it
    const ends = Promise.allSettled([
      peer.send({ to: 'you', id: 's1', kind: 'note', payload, control: true }),
      peer.revoke({ to: 'you', id: 's1' }),
      peer.fence({ address: 'you', incarnation: 'you-1' }),
    ])
    const stop = peer.watch('r', () => {})
    stop()
    for (const t of ['send', 'revoke', 'fence', 'watch', 'unwatch'] as const) await it.client.next(t)
    it.client.cut()
    const client = await it.broker.client()
    await client.attach()
    const send = await client.next('send')
    const revoke = await client.next('revoke')
    const fence = await client.next('fence')
    for (const { header } of [send, revoke, fence]) client.say({ t: 'ok', req: header.req, seq: 1, revoked: 'claimed' })
    expect((await ends).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
    expect(client.unread).toBe(0)
  })

  test('COMMIT_UNKNOWN is no answer: the same request is made again', async () => {
    await using it = await attached()
    const receipt = it.peer.send({ to: 'you', id: 's1', kind: 'note', payload })
    const fenced = it.peer.fence({ address: 'worker', incarnation: 'w1' })
    const said = async () => [await it.client.next('fence'), await it.client.next('send')] as const
    const first = await said()
    for (const { header } of first) it.client.say({ t: 'error', req: header.req, code: 'COMMIT_UNKNOWN', message: '' })
    const second = await said()
    expect(second).toEqual(first)
    for (const { header } of second) it.client.say({ t: 'ok', req: header.req, seq: 3 })
    expect(await receipt).toEqual({ seq: 3, duplicate: false })
    await fenced
  })

  test('a refusal rejects the call with its code; a code of a newer broker becomes INTERNAL and is named', async () => {
    await using it = await attached()
    const full = it.peer.send({ to: 'you', id: 's1', kind: 'note', payload })
    const odd = it.peer.revoke({ to: 'you', id: 's1' })
    const ends = Promise.allSettled([full, odd])
    // In another order than they were asked.
    it.client.say({
      t: 'error',
      req: (await it.client.next('revoke')).header.req,
      code: 'MOON_PHASE',
      message: 'wrong',
    })
    it.client.say({ t: 'error', req: (await it.client.next('send')).header.req, code: 'MAILBOX_FULL', message: 'full' })
    await ends
    await expect(full).rejects.toThrow(failure('MAILBOX_FULL'))
    await expect(odd).rejects.toThrow(/MOON_PHASE: wrong/)
  })

  test.for([86_400_000, 60_000])(
    'what is unanswered for half of the dedupe window ends as OUTCOME_UNKNOWN, when the broker says %s ms',
    async (dedupeWindowMs) => {
      const clock = createManualClock()
      // Time that is moved leaves none to answer pings.
      await using it = await attached({}, { clock }, { dedupeWindowMs, pingMs: 1e9 })
      const ends: string[] = []
      // It stands before them, and has no end of its own.
      it.peer.fence({ address: 'worker', incarnation: 'w1' }).catch(() => undefined)
      const send = (id: string): void =>
        void it.peer
          .send({ to: 'you', id, kind: 'note', payload })
          .catch((error: unknown) => ends.push(`${id} ${codeOf(error)}`))
      send('early')
      clock.jump(1_000)
      send('late')
      const pass = async (ms: number): Promise<readonly string[]> => {
        clock.jump(ms)
        await new Promise((resolve) => setImmediate(resolve))
        return ends
      }
      expect(await pass(dedupeWindowMs / 2 - 1_001)).toEqual([])
      expect(await pass(1)).toEqual(['early OUTCOME_UNKNOWN'])
      expect(await pass(999)).toHaveLength(1)
      expect(await pass(1)).toEqual(['early OUTCOME_UNKNOWN', 'late OUTCOME_UNKNOWN'])
    },
  )

  // In a suspended machine the monotonic clock of some systems stands still.
  test.each([
    ['reconnects', 'both clocks'],
    ['reconnects, and only its wall clock went on', 'the wall clock'],
  ])(
    'what is older than half of the dedupe window is not repeated by who wakes up while it %s',
    async (_while, which) => {
      const clock = createManualClock()
      let sleptMs = 0
      const own: Clock = {
        now: () => clock.now() + sleptMs,
        monotonic: () => clock.monotonic(),
        timer: (...set) => clock.timer(...set),
      }
      await using it = await attached({}, { clock: own })
      const old = it.peer.send({ to: 'you', id: 's1', kind: 'note', payload })
      old.catch(() => undefined)
      await it.client.next('send')
      it.client.cut()
      const reconnecting = it.broker.client()
      await until(() => it.peer.state === 'lost')
      clock.jump(5_000)
      const client = await reconnecting
      await client.welcome()
      const { header } = await client.next('attach')
      // It sleeps: nothing fires before what came meanwhile is read.
      if (which === 'both clocks') clock.suspend(48 * 3_600_000, { quietly: true })
      else sleptMs = 48 * 3_600_000
      client.say({ t: 'ok', req: header.req })
      await until(() => it.peer.state === 'attached')
      it.peer.send({ to: 'you', id: 's2', kind: 'note', payload }).catch(() => undefined)
      expect((await client.next('send')).header.id).toBe('s2')
      await expect(old).rejects.toThrow(failure('OUTCOME_UNKNOWN'))
    },
  )

  test('a fence is repeated however old it is: without it what waits for a dead worker would wait for ever', async () => {
    const clock = createManualClock()
    await using it = await attached({}, { clock })
    const fenced = it.peer.fence({ address: 'worker', incarnation: 'w1' })
    await it.client.next('fence')
    it.client.cut()
    const reconnecting = it.broker.client()
    await until(() => it.peer.state === 'lost')
    clock.suspend(48 * 3_600_000)
    const client = await reconnecting
    await client.attach()
    const { header } = await client.next('fence')
    client.say({ t: 'ok', req: header.req ?? -1 })
    await fenced
  })

  test('an ack is repeated however old it is: its message is held until it is confirmed', async () => {
    const clock = createManualClock()
    const delivered = Promise.withResolvers<Delivery>()
    await using it = await attached({ onMessage: delivered.resolve }, { clock })
    it.client.deliver('m1')
    const acked = (await delivered.promise).ack()
    acked.catch(() => undefined)
    await it.client.next('ack')
    it.client.cut()
    const reconnecting = it.broker.client()
    await until(() => it.peer.state === 'lost')
    clock.suspend(48 * 3_600_000)
    const client = await reconnecting
    expect((await client.attach()).held).toEqual(['m1'])
    const { header } = await client.next('ack')
    expect(await Promise.race([acked, Promise.resolve('waits')])).toBe('waits')
    client.say({ t: 'ok', req: header.req ?? -1 })
    await acked
  })

  test('a call that is given up keeps no drain waiting', async () => {
    await using it = await attached()
    const stop = new AbortController()
    const sent = it.peer.send({ to: 'you', id: 's0', kind: 'note', payload }, { signal: stop.signal })
    await it.client.next('send')
    const drained = it.peer.drain()
    stop.abort(new Error('enough'))
    await expect(sent).rejects.toThrow(failure('ABORTED'))
    const { header } = await it.client.next('leave')
    it.client.say({ t: 'ok', req: header.req })
    await drained
  })

  test('a call whose outcome nobody will know any more, or that went with its connection, keeps no drain waiting', async () => {
    const clock = createManualClock()
    await using it = await attached({}, { clock, random }, { dedupeWindowMs: 60_000, pingMs: 1e9 })
    const unknown = endOf(it.peer.send({ to: 'you', id: 's0', kind: 'note', payload }))
    await it.client.next('send')
    const drained = it.peer.drain()
    clock.jump(30_000)
    expect(await unknown).toBe('OUTCOME_UNKNOWN')
    const { header } = await it.client.next('leave')
    it.client.say({ t: 'ok', req: header.req })
    await drained

    await using other = await attached()
    const renewed = other.bus.renew('newer')
    await other.client.next('renew')
    const left = other.peer.drain()
    other.client.cut()
    await renewed
    const client = await other.broker.client()
    await client.attach()
    const leave = await client.next('leave')
    client.say({ t: 'ok', req: leave.header.req })
    await left
  })

  test('an answered call leaves nothing at its signal', async () => {
    await using it = await attached()
    const { signal } = new AbortController()
    const sent = ['s0', 's1'].map((id) => it.peer.send({ to: 'you', id, kind: 'note', payload }, { signal }))
    const [first, second] = [await it.client.next('send'), await it.client.next('send')]
    it.client.say({ t: 'ok', req: first.header.req, seq: 1 })
    it.client.say({ t: 'error', req: second.header.req, code: 'ID_CONFLICT', message: 'other' })
    expect(await Promise.allSettled(sent)).toMatchObject([{ status: 'fulfilled' }, { reason: { code: 'ID_CONFLICT' } }])
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('an attach that is through leaves nothing at its signal, and a call with one that has aborted is not made', async () => {
    const stop = new AbortController()
    await using it = await attached({ signal: stop.signal })
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    stop.abort()
    const late = it.peer.send({ to: 'you', id: 's0', kind: 'note', payload }, { signal: stop.signal })
    await expect(late).rejects.toThrow(failure('ABORTED'))
    void it.peer.revoke({ to: 'you', id: 's1' }).catch(() => undefined)
    await it.client.next('revoke')
  })

  test('an aborted call is forgotten: it is not repeated, and its late answer is ignored', async () => {
    await using it = await attached()
    const stop = new AbortController()
    const send = (id: string): Promise<unknown> =>
      it.peer.send({ to: 'you', id, kind: 'note', payload }, { signal: stop.signal })
    const sent = [send('s0'), send('s1')]
    await it.client.next('send')
    const { header } = await it.client.next('send')
    stop.abort(new Error('enough'))
    for (const one of sent) await expect(one).rejects.toThrow(failure('ABORTED'))
    const other = it.peer.send({ to: 'you', id: 's2', kind: 'note', payload })
    await it.client.next('send')
    // The other one that was given up has no answer at all.
    it.client.say({ t: 'ok', req: header.req, seq: 1 })
    it.client.cut()
    const client = await it.broker.client()
    await client.attach()
    const next = await client.next('send')
    expect(next.header.id).toBe('s2')
    client.say({ t: 'ok', req: next.header.req, seq: 2 })
    expect((await other).seq).toBe(2)
  })

  test('renew shows the newer token on the connection that stands, and at the next one', async () => {
    await using it = await attached()
    const renewed = it.bus.renew('newer')
    const { header } = await it.client.next('renew')
    expect(header.token).toBe('newer')
    it.client.say({ t: 'ok', req: header.req })
    await renewed
    it.client.cut()
    expect((await it.broker.client()).request.headers.authorization).toBe('Bearer newer')
  })

  test('renew keeps the old token when the newer one is refused', async () => {
    await using it = await attached()
    const former = it.client.request.headers.authorization
    const renewed = it.bus.renew('wrong')
    const { header } = await it.client.next('renew')
    it.client.say({ t: 'error', req: header.req, code: 'UNAUTHORIZED', message: 'wrong' })
    await expect(renewed).rejects.toThrow(failure('UNAUTHORIZED'))
    expect(it.peer.state).toBe('attached')
    it.client.cut()
    expect((await it.broker.client()).request.headers.authorization).toBe(former)
  })
})

describe('the live lane', () => {
  test('drops what it cannot send: without a connection, and above 4 MiB that wait', async () => {
    await using it = await attached()
    const large = new Uint8Array(1024 * 1024)
    const answers = Array.from({ length: 8 }, () => it.peer.publish({ to: 'you', kind: 'events', payload: large }))
    expect(answers).toEqual([true, true, true, true, false, false, false, false])
    for (let index = 0; index < 4; index += 1) expect((await it.client.next('live')).payload.length).toBe(large.length)
    it.client.cut()
    await until(() => it.peer.state === 'lost')
    expect(it.peer.publish({ to: 'you', kind: 'events', payload })).toBe(false)
    // Not yet attached is without, too.
    await (await it.broker.client()).next('hello')
    expect(it.peer.publish({ to: 'you', kind: 'events', payload })).toBe(false)
  })

  /** A client whose socket is played by hand, and holds so much that only control still leaves. */
  async function congested(options: Partial<ConnectOptions> = {}) {
    const written: string[] = []
    let lastReq = 0
    let buffered = 0
    let events: SocketEvents | undefined
    let opened = 0
    const socket: SocketFactory = (_target, its) => {
      events = its
      opened += 1
      setImmediate(() => its.opened())
      return {
        write: (frames) => {
          for (const frame of frames) {
            const header = parseClientHeader(decodeFrame(frame).header)
            written.push('id' in header ? `${header.t} ${header.id}` : header.t)
            if ('req' in header) lastReq = header.req ?? 0
          }
        },
        buffered: () => buffered,
        close: () => {},
        destroy: () => {},
      }
    }
    const bus = connectBus({ url: 'wss://nowhere', token: '', socket, backoff: { minMs: 1, maxMs: 1 }, ...options })
    const attaching = bus.attach(own)
    const answer = async (): Promise<void> => {
      await until(() => written.join() === 'hello')
      const times = { pingMs: 10_000, partitionGraceMs: 30_000, dedupeWindowMs: 86_400_000 }
      events?.frame(encodeFrame({ t: 'welcome', wire: 1, capabilities: [], broker: 'b', ...times }))
      await until(() => written.join() === 'hello,attach')
      written.splice(0)
      buffered = 300 * 1024
      events?.frame(encodeFrame({ t: 'ok', req: 0 }))
    }
    await answer()
    return {
      peer: await attaching,
      written,
      drained: (): void => {
        buffered = 0
        events?.drained()
      },
      reconnected: async (): Promise<void> => {
        buffered = 0
        written.splice(0)
        const before = opened
        events?.closed(1006, 'cut')
        await until(() => opened > before)
        await answer()
      },
      /** The broker answers the last request with an error. */
      refuse: (code: string): void => events?.frame(encodeFrame({ t: 'error', req: lastReq, code, message: '' })),
    }
  }

  test('control overtakes data that waits for the socket', async () => {
    const { peer, written, drained } = await congested()
    for (const kind of ['one', 'two']) peer.publish({ to: 'you', kind, payload })
    const send = (id: string, control: boolean) => endOf(peer.send({ to: 'you', id, kind: 'note', payload, control }))
    const ends = [
      send('data', false),
      send('control', true),
      endOf(peer.revoke({ to: 'you', id: 'r1' })),
      endOf(peer.fence({ address: 'you', incarnation: 'you-1' })),
    ]
    peer.announce({ role: 'r' })
    peer.watch('r', () => {})()
    const control = ['send control', 'revoke r1', 'fence', 'announce', 'watch', 'unwatch']
    await until(() => written.length >= control.length)
    expect(written).toEqual(control)
    drained()
    await until(() => written.length >= control.length + 3)
    expect(written.slice(control.length)).toEqual(['live', 'live', 'send data'])
    await peer.close()
    expect(await Promise.all(ends)).toEqual(['CLOSED', 'CLOSED', 'CLOSED', 'CLOSED'])
  })

  test('control overtakes data also when both are repeated over a new connection', async () => {
    const { peer, written, drained, reconnected } = await congested()
    const ends = ['data', 'control'].map((id) =>
      endOf(peer.send({ to: 'you', id, kind: 'note', payload, control: id === 'control' })),
    )
    await until(() => written.length > 0)
    await reconnected()
    await until(() => written.length > 0)
    expect(written).toEqual(['send control'])
    drained()
    await until(() => written.length > 1)
    expect(written).toEqual(['send control', 'send data'])
    await peer.close()
    expect(await Promise.all(ends)).toEqual(['CLOSED', 'CLOSED'])
  })

  test('control overtakes data also when it is asked again', async () => {
    const clock = createManualClock()
    const { peer, written, refuse } = await congested({ clock })
    peer.publish({ to: 'you', kind: 'one', payload })
    const revoked = endOf(peer.revoke({ to: 'you', id: 'r1' }))
    await until(() => written.length > 0)
    refuse('COMMIT_UNKNOWN')
    clock.jump(100)
    await until(() => written.length > 1)
    expect(written).toEqual(['revoke r1', 'revoke r1'])
    await peer.close()
    expect(await revoked).toBe('CLOSED')
  })
})

describe('watches', () => {
  const member = (address: string, state: PresenceChange['state'] = 'attached'): PresenceChange => ({
    address,
    incarnation: `${address}-1`,
    state,
    presence: { role: 'r' },
  })

  test('over a new connection only differences are told, and who is missing becomes suspect, not gone', async () => {
    await using it = await attached()
    const seen: string[] = []
    it.peer.watch('r', ({ address, state }) => seen.push(`${address} ${state}`))
    const first = await it.client.next('watch')
    it.client.say({
      t: 'ok',
      req: first.header.req,
      members: [member('one'), member('two'), member('three', 'suspect'), member('five', 'suspect')],
    })
    await until(() => seen.length === 4)
    it.client.cut()
    const client = await it.broker.client()
    await client.attach({ broker: 'another' })
    const second = await client.next('watch')
    client.say({ t: 'ok', req: second.header.req, members: [member('two'), member('three'), member('four')] })
    client.say({ t: 'presence', change: member('one', 'gone') })
    await until(() => seen.includes('one gone'))
    expect(seen).toEqual([
      'one attached',
      'two attached',
      'three suspect',
      'five suspect',
      'one suspect',
      'three attached',
      'four attached',
      'one gone',
    ])
  })

  test('two lives at one address are two: when one is gone the other is still there', async () => {
    await using it = await attached()
    const [seen, later]: [string[], string[]] = [[], []]
    const into =
      (list: string[]) =>
      ({ incarnation, state }: PresenceChange): void =>
        void list.push(`${incarnation} ${state}`)
    it.peer.watch('r', into(seen))
    const { header } = await it.client.next('watch')
    it.client.say({ t: 'ok', req: header.req, members: [member('one')] })
    it.client.say({ t: 'presence', change: { ...member('one'), incarnation: 'one-2' } })
    it.client.say({ t: 'presence', change: member('one', 'gone') })
    await until(() => seen.includes('one-1 gone'))
    it.peer.watch('r', into(later))
    await until(() => later.length > 0)
    expect(later).toEqual(['one-2 attached'])
  })

  test('who goes over to another role is told of once more, and then is none of the role', async () => {
    await using it = await attached()
    const [seen, later]: [string[], string[]] = [[], []]
    const into =
      (list: string[]) =>
      ({ address, state, presence: { role } }: PresenceChange): void =>
        void list.push(`${address} ${state} ${role}`)
    it.peer.watch('r', into(seen))
    const { header } = await it.client.next('watch')
    it.client.say({ t: 'ok', req: header.req, members: [member('one'), member('two')] })
    for (const load of [0, 1])
      it.client.say({ t: 'presence', change: { ...member('one'), presence: { role: 's', load } } })
    it.client.say({ t: 'presence', change: member('three') })
    await until(() => seen.includes('three attached r'))
    expect(seen).toEqual(['one attached r', 'two attached r', 'one attached s', 'three attached r'])
    it.peer.watch('r', into(later))
    await until(() => later.length > 0)
    expect(later).toEqual(['two attached r', 'three attached r'])
  })

  test('who closes hears nothing any more, also of what was about to be told', async () => {
    await using it = await attached()
    const seen: string[] = []
    const listener = ({ address }: PresenceChange): void => void seen.push(address)
    it.peer.watch('r', listener)
    const { header } = await it.client.next('watch')
    it.client.say({ t: 'ok', req: header.req, members: [member('one')] })
    await until(() => seen.length === 1)
    it.peer.watch('r', listener)
    await it.peer.close()
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen).toEqual(['one'])
  })

  test('a refused watch is told to onError', async () => {
    const errors: unknown[] = []
    await using it = await attached({ onError: (error) => errors.push(error) })
    it.peer.watch('r', () => {})
    const { header } = await it.client.next('watch')
    it.client.say({ t: 'error', req: header.req, code: 'FORBIDDEN', message: 'not yours' })
    await until(() => errors.length > 0)
    expect(codeOf(errors[0])).toBe('FORBIDDEN')
  })
})

describe('a peer with a visibility timeout', () => {
  const visibilityMs = 30_000

  test('requires it of every broker, and is refused where there is none', async () => {
    await using broker = await FakeBroker.listen()
    await using bus = connectBus({ url: broker.url, token: 't' })
    const attached = bus.attach({ address: 'b', incarnation: 'b1', lifetime: 'named', visibilityMs })
    const client = await broker.client()
    await client.welcome()
    await expect(attached).rejects.toMatchObject({
      code: 'MISSING_CAPABILITY',
      message: expect.stringContaining('visibility'),
    })
  })

  test('names each delivery by its attempt, at a reconnect too, and none that it was told is not its own', async () => {
    await using broker = await FakeBroker.listen()
    await using bus = connectBus({ url: broker.url, token: 't', backoff: { minMs: 1, maxMs: 2 } })
    const came: Delivery[] = []
    const onMessage = (delivery: Delivery): void => void came.push(delivery)
    const attached = bus.attach({ address: 'b', incarnation: 'b1', lifetime: 'named', visibilityMs, onMessage })
    const able = { capabilities: ['visibility'] }
    const first = await broker.client()
    expect(await first.attach(able)).toMatchObject({ visibilityMs })
    await attached
    for (const id of ['m1', 'm2', 'm3', 'm4']) first.deliver(id)
    first.deliver('m2', { attempt: 2 })
    await expect.poll(() => came.length).toBe(5)
    const [m1, stale, m3] = came
    const touched = m1?.touch()
    // One that is not answered yet says the same.
    expect(m1?.touch()).toBe(touched)
    const { header } = await first.next('touch')
    expect(header).toMatchObject({ id: 'm1', attempt: 1 })
    first.say({ t: 'error', req: header.req ?? 0, code: 'NOT_HOLDER', message: '' })
    await expect(touched).rejects.toMatchObject({ code: 'NOT_HOLDER' })
    void m3?.ack()
    void stale?.ack()
    expect((await first.next('ack')).header).toMatchObject({ ids: ['m3', 'm2'], attempts: [1, 1] })
    first.cut()
    const second = await broker.client()
    expect(await second.attach(able)).toMatchObject({ held: ['m2', 'm3', 'm4'], attempts: [2, 1, 1], visibilityMs })
    expect((await second.next('ack')).header).toMatchObject({ ids: ['m3', 'm2'], attempts: [1, 1] })
  })
})
