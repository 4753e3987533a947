/** How a broker starts, whom it lets in, and how it stops. */
import { resolveOptions } from '../src/options.ts'
import { connectBus } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { codeOf, type Delivery, type PresenceChange } from '@greenroom/proto'
import { createMemoryStore } from '@greenroom/store'
import { spawn, spawnSync } from 'node:child_process'
import { connect, createServer, isIPv6 } from 'node:net'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { brokerSchema, createBroker, type BrokerOptions } from '../src/index.ts'
import { RawClient } from './raw-client.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const payload = new Uint8Array([1])
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function turns(count = 30): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn()
}

describe('options that would be unsafe or senseless are refused by name', () => {
  const cases: readonly (readonly [string, BrokerOptions])[] = [
    ['token', { listen: { port: 0 } }],
    ['token', { listen: { socket: '/nowhere/broker.sock' } }],
    ['token', { listen: { port: 0 }, token: 'fifteen-letters' }],
    ['token', { listen: { port: 0 }, token: 'with spaces and\nmore in it' }],
    ['operatorToken', { listen: { port: 0 }, token, operatorToken: 'short' }],
    ['operatorToken', { listen: { port: 0 }, token, operatorToken: token }],
    ['mailboxTtlMs', { mailboxTtlMs: 1_000 }],
    ['host', { listen: { port: 0, host: '0.0.0.0' }, token }],
    ['port', { listen: { port: 70_000 }, token }],
    ['socket', { listen: { socket: 'relative.sock' }, token }],
    ['limits.pingMs', { limits: { pingMs: 0 } }],
    ['partitionGraceMs', { partitionGraceMs: -1 }],
  ]
  test.for(cases)('%s', async ([field, options]) => {
    await expect(createBroker(options)).rejects.toMatchObject({
      code: 'BAD_OPTIONS',
      message: expect.stringContaining(field),
    })
  })
})

describe('without TLS', () => {
  const tls = { cert: 'cert', key: 'key' }

  test.each(['127.0.0.1', '::1', 'localhost', undefined])('a broker listens at %s', (host) => {
    expect(() => resolveOptions({ listen: { port: 0, ...(host && { host }) }, token })).not.toThrow()
  })

  test.each(['0.0.0.0', '::', '10.0.0.1', 'localhost.example', ''])(
    'at "%s" it listens only when one insists',
    (host) => {
      expect(() => resolveOptions({ listen: { port: 0, host }, token })).toThrow(
        expect.objectContaining({ code: 'BAD_OPTIONS', message: expect.stringContaining('is not loopback') }),
      )
      for (const more of [{ insecure: true }, { tls }])
        expect(() => resolveOptions({ listen: { port: 0, host, ...more }, token })).not.toThrow()
    },
  )
})

test('what nobody says is what the documents say', () => {
  expect(resolveOptions({})).toMatchObject({
    dedupeWindowMs: 86_400_000,
    mailboxTtlMs: 604_800_000,
    partitionGraceMs: 30_000,
    maxAttempts: 16,
    synchronous: 'FULL',
    limits: {
      connections: 10_000,
      frameBytes: 16 * 1024 * 1024,
      helloMs: 10_000,
      pingMs: 10_000,
      mailboxMessages: 100_000,
      mailboxBytes: 256 * 1024 * 1024,
      totalMessages: 1_000_000,
      totalBytes: 1024 * 1024 * 1024,
      cacheBytes: 64 * 1024 * 1024,
      liveBytes: 4 * 1024 * 1024,
      outgoingBytes: 16 * 1024 * 1024,
      incomingBytes: 16 * 1024 * 1024,
      framesPerSecond: 200_000,
      mailboxes: 100_000,
    },
  })
})

describe('a Unix socket', () => {
  test('is private, in a private folder, and gone when the broker is', async () => {
    using folder = temporaryFolder()
    const socket = join(folder.path, 'run', 'broker.sock')
    {
      await using broker = await createBroker({ listen: { socket }, token })
      expect(broker.url).toBe(`ws+unix://${socket}`)
      expect(statSync(socket).mode & 0o777).toBe(0o600)
      expect(statSync(join(folder.path, 'run')).mode & 0o777).toBe(0o700)
    }
    expect(existsSync(socket)).toBe(false)
  })

  test('of a dead owner is replaced, of a live one is not', async () => {
    using folder = temporaryFolder()
    const socket = join(folder.path, 'broker.sock')
    const dead = createServer()
    await once(dead.listen(join(folder.path, 'other.sock')), 'listening')
    await expect(createBroker({ listen: { socket: join(folder.path, 'other.sock') }, token })).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
    })
    dead.close()
    // A socket file that nobody answers any more: what kill -9 leaves behind.
    const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
    expect(spawnSync(process.execPath, ['-e', script, socket]).signal).toBe('SIGKILL')
    expect(existsSync(socket)).toBe(true)
    await using broker = await createBroker({ listen: { socket }, token })
    expect(broker.url).toBeDefined()
  })

  // Elsewhere the system says the same of the dead and the busy.
  test.runIf(process.platform === 'linux')('of an owner who is too busy to answer is left alone', async () => {
    using folder = temporaryFolder()
    const socket = join(folder.path, 'broker.sock')
    const script = `require('net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => {
      require('fs').writeSync(1, 'ready')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
    const owner = spawn(process.execPath, ['-e', script, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    using _end = { [Symbol.dispose]: () => owner.kill('SIGKILL') }
    await once(owner.stdout, 'data')
    // Who comes when its queue is full is turned away.
    await new Promise((resolve) => {
      for (let caller = 0; caller < 8; caller += 1) connect(socket).unref().on('error', resolve)
    })
    await expect(createBroker({ listen: { socket }, token })).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
    expect(existsSync(socket)).toBe(true)
  })

  test('is refused in a folder that is open to others, and in the place of a file', async () => {
    using folder = temporaryFolder()
    const open = join(folder.path, 'open')
    mkdirSync(open)
    chmodSync(open, 0o755)
    await expect(createBroker({ listen: { socket: join(open, 'b.sock') }, token })).rejects.toMatchObject({
      code: 'BAD_OPTIONS',
    })
    writeFileSync(join(folder.path, 'file'), 'precious')
    await expect(createBroker({ listen: { socket: join(folder.path, 'file') }, token })).rejects.toMatchObject({
      code: 'BAD_OPTIONS',
    })
  })
})

// Elsewhere 127.0.0.2 is nobody's.
test.runIf(process.platform === 'linux')(
  'listens at the address that it is given, else at 127.0.0.1 alone',
  async () => {
    const reaches = (url: string, host: string): Promise<boolean> => {
      const socket = connect(Number(new URL(url).port), host, () => socket.destroy())
      return once(socket, 'close').then(
        () => true,
        () => false,
      )
    }
    // The port may be somebody else's at 127.0.0.1.
    const cases = [
      ['127.0.0.1', {}, '127.0.0.2'],
      ['127.0.0.2', { host: '127.0.0.2', insecure: true }, '127.0.0.3'],
      ['::1', { host: '::1' }, '127.0.0.3'],
    ] as const
    const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))
    for (const [host, listen, other] of cases) {
      if (host === '::1' && !hasIpv6) continue
      await using broker = await createBroker({ listen: { port: 0, ...listen }, token })
      const { url = '' } = broker
      expect(new URL(url).hostname).toBe(isIPv6(host) ? `[${host}]` : host)
      expect([await reaches(url, host), await reaches(url, other)]).toEqual([true, false])
    }
  },
)

test('over TLS clients connect with the certificate that they trust', async () => {
  using folder = temporaryFolder()
  const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')]
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost'
  const made = spawnSync('openssl', [
    ...words.split(' '),
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-keyout',
    key,
    '-out',
    cert,
  ])
  expect(made.status).toBe(0)
  const ca = readFileSync(cert, 'utf8')
  await using broker = await createBroker({
    listen: { port: 0, tls: { cert: ca, key: readFileSync(key, 'utf8') } },
    token,
  })
  expect(broker.url).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/)
  await using bus = connectBus({ url: broker.url ?? '', token, ca })
  await using peer = await bus.attach({ address: 'outside', incarnation: 'o', lifetime: 'named' })
  expect(await peer.send({ to: 'inside', id: 'm', kind: 'x', payload })).toEqual({ seq: 1, duplicate: false })
})

test('what is said behind an attach, before its answer, is said as whom it attaches', async () => {
  await using broker = await createBroker({ listen: { port: 0 }, token })
  using client = await RawClient.open(broker.url ?? '', token)
  client.say({ t: 'attach', req: 1, address: 'me', incarnation: 'i', lifetime: 'named', credit: 1, controlCredit: 1 })
  client.say({ t: 'send', req: 2, to: 'me', id: 'm', kind: 'x' }, payload)
  expect(await client.heard(({ t }) => t === 'deliver')).toMatchObject({ from: 'me', fromIncarnation: 'i' })
})

test('what waits is handed out by its number, control among it', async () => {
  await using broker = await createBroker()
  const peer = await broker.bus.attach({ address: 'a', incarnation: 'a', lifetime: 'named' })
  for (const id of ['m1', 'm2', 'm3']) await peer.send({ to: 'b', id, kind: 'x', payload, control: id === 'm2' })
  const came: string[] = []
  await broker.bus.attach({ address: 'b', incarnation: 'b', lifetime: 'named', onMessage: ({ id }) => came.push(id) })
  // The protocol promises that of each lane; inside the process nothing overtakes.
  await expect.poll(() => came).toEqual(['m1', 'm2', 'm3'])
})

test('a message that waits is not handed out any more while its revocation is being stored', async () => {
  const waiting: (() => void)[] = []
  let isSlow = false
  const defer = (task: () => void): void => void (isSlow ? waiting.push(task) : setImmediate(task))
  // A commit is under way for a while: what comes meanwhile is in the next one.
  const faults = (): { readonly turns: number } => ({ turns: 1 })
  await using store = createMemoryStore({ schema: brokerSchema, defer, faults })
  await using broker = await createBroker({ store })
  const came: Delivery[] = []
  const onMessage = (message: Delivery): void => void came.push(message)
  const peer = await broker.bus.attach({ address: 'a', incarnation: 'a', lifetime: 'named', credit: 1, onMessage })
  for (const id of ['m1', 'm2', 'm3']) await peer.send({ to: 'a', id, kind: 'x', payload })
  await turns()
  isSlow = true
  const acked = came[0]?.ack()
  await turns()
  waiting.shift()?.()
  const revoked = peer.revoke({ to: 'a', id: 'm2' })
  await turns()
  waiting.shift()?.()
  await acked
  await turns()
  expect(came.map(({ id }) => id)).toEqual(['m1', 'm3'])
  isSlow = false
  for (const task of waiting.splice(0)) task()
  expect(await revoked).toBe('withdrawn')
  expect(broker.stats()).toMatchObject({ messages: 1 })
})

test('of all that is said of one message at once the first stands', async () => {
  const waiting: (() => void)[] = []
  let isSlow = false
  const defer = (task: () => void): void => void (isSlow ? waiting.push(task) : setImmediate(task))
  await using store = createMemoryStore({ schema: brokerSchema, defer })
  await using broker = await createBroker({ store })
  const came = new Map<string, Delivery>()
  let deliveries = 0
  const onMessage = (message: Delivery): void => {
    deliveries += 1
    came.set(message.id, message)
  }
  const peer = await broker.bus.attach({ address: 'a', incarnation: 'a', lifetime: 'named', onMessage })
  const ids = ['acked', 'claimed', 'given-back', 'acked-late', 'claimed-late', 'given-back-late']
  for (const id of ids) await peer.send({ to: 'a', id, kind: 'x', payload })
  await turns()
  expect(deliveries).toBe(6)
  isSlow = true
  const revoke = (id: string) => peer.revoke({ to: 'a', id })
  const first = [came.get('acked')?.ack(), came.get('claimed')?.claim(), came.get('given-back')?.nack()]
  const withdrawn = ['acked-late', 'claimed-late', 'given-back-late'].map(revoke)
  const late = [came.get('acked-late')?.ack(), came.get('given-back-late')?.nack()]
  const lateClaim = came.get('claimed-late')?.claim().catch(codeOf)
  const answers = ['acked', 'claimed', 'given-back'].map(revoke)
  await turns()
  isSlow = false
  for (const task of waiting.splice(0)) task()
  await Promise.all([...first, ...late])
  expect(await lateClaim).toBe('REVOKED')
  expect(await Promise.all(withdrawn)).toEqual(['withdrawn', 'withdrawn', 'withdrawn'])
  expect(await Promise.all(answers)).toEqual(['claimed', 'claimed', 'withdrawn'])
  await turns()
  // Only what was given back before it was revoked may have come once more.
  expect(deliveries).toBeLessThanOrEqual(7)
  expect([...came.values()].map(({ id, attempt }) => (attempt > 1 ? id : ''))).not.toContain('given-back-late')
  expect(broker.stats()).toMatchObject({ messages: 0, bytes: 0 })
})

test('a live message to nobody leaves nothing, and is counted', async () => {
  await using store = createMemoryStore({ schema: brokerSchema })
  await using broker = await createBroker({ store })
  const peer = await broker.bus.attach({ address: 'a', incarnation: 'a', lifetime: 'named' })
  expect(peer.publish({ to: 'nobody', kind: 'x', payload })).toBe(true)
  await turns()
  expect(broker.stats()).toMatchObject({ mailboxes: 1, messages: 0, bytes: 0, live: 0, liveDropped: 1 })
  expect(brokerSchema.collections.filter((name) => store.count(name) > 0)).toEqual(['mailbox'])
  expect(store.keys('mailbox')).toEqual(['a'])
})

test('inside the process, too, no more live messages wait for a peer than liveBytes', async () => {
  await using broker = await createBroker({ limits: { liveBytes: 100 } })
  const peer = await broker.bus.attach({ address: 'a', incarnation: 'a', lifetime: 'named' })
  const came: string[] = []
  const onLive = ({ kind }: { readonly kind: string }): void => void came.push(kind)
  await broker.bus.attach({ address: 'b', incarnation: 'b', lifetime: 'named', onLive })
  const publish = (kind: string): boolean => peer.publish({ to: 'b', kind, payload: new Uint8Array(50) })
  for (const kind of ['l1', 'l2', 'l3']) publish(kind)
  await turns()
  for (const kind of ['l4', 'l5', 'l6']) publish(kind)
  await turns()
  expect(came).toEqual(['l1', 'l2', 'l4', 'l5'])
  expect(broker.stats()).toMatchObject({ live: 4, liveDropped: 2 })
})

test('over a socket the answer to an attach comes first, then the control that waits, then the data', async () => {
  await using broker = await createBroker({ listen: { port: 0 }, token })
  const peer = await broker.bus.attach({ address: 'a', incarnation: 'a', lifetime: 'named' })
  for (const id of ['m1', 'm2', 'm3']) await peer.send({ to: 'b', id, kind: 'x', payload, control: id === 'm2' })
  using client = await RawClient.attached(broker.url ?? '', token, 'b')
  await client.heard((header) => header.t === 'deliver' && header.id === 'm3')
  const came = client.headers.map((header) => (header.t === 'deliver' ? header.id : header.t))
  expect(came).toEqual(['welcome', 'ok', 'm2', 'm1', 'm3'])
})

test('a newer connection of the same life takes over; the older one is REPLACED, and its end changes nothing', async () => {
  await using broker = await createBroker({ listen: { port: 0 }, token })
  using older = await RawClient.attached(broker.url ?? '', token, 'me', { presence: { role: 'r' } })
  using newer = await RawClient.attached(broker.url ?? '', token, 'me')
  expect(await older.ended).toMatchObject({ error: 'REPLACED' })
  await expect.poll(() => broker.stats()).toMatchObject({ connections: 1, attached: 1, suspect: 0 })
  newer.say({ t: 'send', req: 1, to: 'me', id: 'm', kind: 'x' }, payload)
  expect(await newer.heard(({ t }) => t === 'deliver')).toMatchObject({ from: 'me' })
})

test('who is replaced while it leaves, or shows itself and closes afterwards, takes nothing from its successor', async () => {
  // What leaves while its replacement is being stored waits for that.
  await using store = createMemoryStore({ schema: brokerSchema, defer: (task) => setImmediate(task) })
  await using broker = await createBroker({ store })
  const watcher = await broker.bus.attach({ address: 'watcher', incarnation: 'w', lifetime: 'named' })
  const seen: string[] = []
  watcher.watch('r', ({ incarnation, state, presence: { load = 0 } }) => seen.push(`${incarnation} ${state} ${load}`))
  const attach = (incarnation: string) =>
    broker.bus.attach({ address: 'me', incarnation, lifetime: 'named', presence: { role: 'r' } })
  const first = await attach('me-1')
  const replacing = attach('me-2')
  await first.drain()
  const second = await replacing
  await turns()
  expect(second.state).toBe('attached')
  const third = await attach('me-3')
  second.announce({ role: 'r', load: 1 })
  await second.close()
  await turns()
  expect(seen).toEqual(['me-1 attached 0', 'me-1 gone 0', 'me-2 attached 0', 'me-2 gone 0', 'me-3 attached 0'])
  expect(third.state).toBe('attached')
  expect(broker.stats()).toMatchObject({ attached: 2, suspect: 0, gone: 2 })
})

test('what was said before one was replaced, and had to wait for that, changes nothing for its successor', async () => {
  const waiting: (() => void)[] = []
  let isSlow = false
  const defer = (task: () => void): void => void (isSlow ? waiting.push(task) : setImmediate(task))
  await using store = createMemoryStore({ schema: brokerSchema, defer })
  await using broker = await createBroker({ store, listen: { port: 0 }, token })
  const url = broker.url ?? ''
  using older = await RawClient.attached(url, token, 'me')
  const ids = ['acked', 'claimed', 'given-back', 'touched']
  for (const [req, id] of ids.entries()) older.say({ t: 'send', req: req + 1, to: 'me', id, kind: 'x' }, payload)
  await older.heard((header) => header.t === 'deliver' && header.id === 'touched')
  isSlow = true
  using newer = await RawClient.open(url, token)
  // It knows what the older one holds, and goes on with it at once.
  newer.attach('me', { incarnation: 'me-2', visibilityMs: 60_000, held: ids })
  while (waiting.length === 0) await turn()
  older.say({ t: 'ack', req: 10, ids: ['acked'] })
  older.say({ t: 'claim', req: 11, id: 'claimed' })
  older.say({ t: 'nack', req: 12, id: 'given-back', delayMs: 60_000 })
  older.say({ t: 'touch', req: 13, id: 'touched' })
  older.say({ t: 'leave', req: 14 })
  older.say({ t: 'ping' })
  await older.heard(({ t }) => t === 'pong')
  isSlow = false
  for (const task of waiting.splice(0)) task()
  for (const [req, id] of ids.entries()) {
    newer.say({ t: 'claim', req: req + 1, id, attempt: 2 })
    expect(await newer.answer(req + 1)).toEqual({ t: 'ok', req: req + 1 })
  }
  expect(broker.stats()).toMatchObject({ attached: 1, gone: 1, messages: 0 })
})

test('who was replaced stays so when its successor has left', async () => {
  await using broker = await createBroker({ listen: { port: 0 }, token })
  for (const address of ['attached', 'lost']) {
    using client = await RawClient.attached(broker.url ?? '', token, address)
    if (address === 'lost') {
      client[Symbol.dispose]()
      await expect.poll(() => broker.stats().suspect).toBe(1)
    }
    const successor = await broker.bus.attach({ address, incarnation: `${address}-2`, lifetime: 'named' })
    if (address === 'attached') expect(await client.ended).toMatchObject({ error: 'REPLACED' })
    await successor.drain()
    using back = await RawClient.open(broker.url ?? '', token)
    back.attach(address, { again: true })
    expect(await back.ended).toMatchObject({ error: 'REPLACED' })
  }
})

test('a data folder has one broker at a time', async () => {
  using folder = temporaryFolder()
  const dir = join(folder.path, 'data')
  await using first = await createBroker({ dir })
  await expect(createBroker({ dir })).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
  await first.close()
  await using second = await createBroker({ dir })
  expect(second.stats().mailboxes).toBe(0)
})

describe('presence', () => {
  test('what was handed out since the last commit is not handed out again to who lists it after a restart', async () => {
    await using store = createMemoryStore({ schema: brokerSchema })
    const options: BrokerOptions = { store, listen: { port: 0 }, token }
    {
      await using broker = await createBroker(options)
      using holder = await RawClient.attached(broker.url ?? '', token, 'me')
      for (const [req, id] of ['m', 'n'].entries()) {
        holder.say({ t: 'send', req: req + 1, to: 'me', id, kind: 'x' }, payload)
        await holder.heard((header) => header.t === 'deliver' && header.id === id)
      }
    }
    {
      await using broker = await createBroker(options)
      using back = await RawClient.attached(broker.url ?? '', token, 'me', { again: true, held: ['m', 'n'] })
      back.say({ t: 'claim', req: 2, id: 'm' })
      expect(await back.answer(2)).toEqual({ t: 'ok', req: 2 })
      expect(back.headers.map(({ t }) => t)).not.toContain('deliver')
    }
    // What it still held by then counts as its attempt.
    await using broker = await createBroker(options)
    using next = await RawClient.attached(broker.url ?? '', token, 'me', { incarnation: 'me-2' })
    expect(await next.heard(({ t }) => t === 'deliver')).toMatchObject({ id: 'n', attempt: 2 })
  })

  test('after a restart everybody known is suspect, nobody gone before the grace, and who came back stays', async () => {
    using folder = temporaryFolder()
    const dir = join(folder.path, 'data')
    const worker = (
      name: string,
    ): { address: string; incarnation: string; lifetime: 'incarnation'; presence: { role: string } } => ({
      address: name,
      incarnation: `${name}-1`,
      lifetime: 'incarnation',
      presence: { role: 'coder' },
    })
    {
      await using broker = await createBroker({ dir })
      // What it was before is not told any more.
      await (await broker.bus.attach({ ...worker('w2'), presence: { role: 'tester' } })).close()
      for (const name of ['w1', 'w2']) await broker.bus.attach(worker(name))
    }
    const clock = createManualClock()
    await using broker = await createBroker({ dir, clock, partitionGraceMs: 1_000 })
    const watcher = await broker.bus.attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
    const seen: PresenceChange[] = []
    watcher.watch('coder', (change) => seen.push(change))
    await turns()
    expect(seen.map(({ address, state }) => `${address} ${state}`).sort()).toEqual(['w1 suspect', 'w2 suspect'])
    await broker.bus.attach(worker('w1'))
    clock.jump(999)
    await turns()
    expect(seen.length).toBe(3)
    clock.jump(2)
    while (seen.length < 4) await turn()
    expect(seen.slice(2).map(({ address, state }) => `${address} ${state}`)).toEqual(['w1 attached', 'w2 gone'])
    await expect(broker.bus.attach(worker('w2'))).rejects.toMatchObject({ code: 'FENCED' })
    await expect(watcher.send({ to: 'w2', id: 'm', kind: 'run', payload })).rejects.toMatchObject({
      code: 'MAILBOX_CLOSED',
    })
  })

  // Found by the simulator: a machine slept while a runner connected again, and the broker, awake first, fenced it.
  test('nobody is gone for a time in which the broker itself stood still', async () => {
    const clock = createManualClock()
    await using broker = await createBroker({ clock, partitionGraceMs: 5_000 })
    const worker = { address: 'w1', incarnation: 'i1', lifetime: 'incarnation' } as const
    const peer = await broker.bus.attach(worker)
    await peer.close()
    clock.suspend(3_600_000)
    await turns()
    const again = await broker.bus.attach(worker)
    await again.close()
    clock.suspend(3_600_000)
    clock.jump(5_000)
    await turns()
    await expect(broker.bus.attach(worker)).rejects.toMatchObject({ code: 'FENCED' })
  })

  test('a connection that leaves two pings unanswered is cut and suspect, then gone', async () => {
    const clock = createManualClock()
    await using broker = await createBroker({
      listen: { port: 0 },
      token,
      clock,
      partitionGraceMs: 5_000,
      limits: { pingMs: 1_000 },
    })
    const attached = (address: string): Promise<RawClient> =>
      RawClient.attached(broker.url ?? '', token, address, { lifetime: 'incarnation', presence: { role: 'coder' } })
    using silent = await attached('w1')
    using answering = await attached('w2')
    silent.socket.pause()
    const watcher = await broker.bus.attach({ address: 'runner', incarnation: 'r1', lifetime: 'named' })
    const states: string[] = []
    watcher.watch('coder', ({ address, state }) => states.push(`${address} ${state}`))
    const pings = async (count: number): Promise<void> => {
      for (let ping = 0; ping < count; ping += 1) {
        const pinged = once(answering.socket, 'ping')
        clock.jump(1_000)
        await pinged
        await turns()
      }
    }
    await pings(2)
    expect(states).toEqual(['w1 attached', 'w2 attached'])
    await pings(1)
    expect(states.slice(2)).toEqual(['w1 suspect'])
    await pings(4)
    expect(states.slice(2)).toEqual(['w1 suspect'])
    await pings(1)
    expect(states.slice(2)).toEqual(['w1 suspect', 'w1 gone'])
    expect(broker.stats()).toMatchObject({ connections: 1, attached: 2, suspect: 0 })
  })

  test('a role with more members than a header holds is told completely', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token })
    const labels = { note: 'x'.repeat(500) }
    for (let index = 0; index < 100; index += 1)
      await broker.bus.attach({
        address: `w${index}`,
        incarnation: 'i',
        lifetime: 'named',
        presence: { role: 'coder', labels },
      })
    using client = await RawClient.open(broker.url ?? '', token)
    client.say({ t: 'watch', req: 1, role: 'coder' })
    client.say({ t: 'ping' })
    await client.heard(({ t }) => t === 'pong')
    const members = client.headers.flatMap((header) => {
      if (header.t === 'ok') return header.members ?? []
      return header.t === 'presence' ? [header.change] : []
    })
    expect(new Set(members.map(({ address }) => address)).size).toBe(100)
  })
})

describe('stopping', () => {
  test('drain answers what was asked for, tells clients to come again later, and leaves nothing half done', async () => {
    using folder = temporaryFolder()
    const dir = join(folder.path, 'data')
    const broker = await createBroker({ dir, listen: { port: 0 }, token })
    using client = await RawClient.open(broker.url ?? '', token)
    for (let count = 0; count < 50; count += 1)
      client.say({ t: 'send', req: count, to: 'inbox', id: `m${count}`, kind: 'x' }, payload)
    while (broker.stats().bytes === 0) await turn()
    await broker.drain()
    const answered = client.headers.filter(({ t }) => t === 'ok').length
    expect(await client.ended).toEqual({ code: 4503, error: 'SHUTTING_DOWN' })
    await using again = await createBroker({ dir })
    expect(again.stats().messages).toBeGreaterThanOrEqual(answered)
    expect(answered).toBeGreaterThan(0)
  })

  test('drain answers what was asked for inside the process too', async () => {
    const broker = await createBroker()
    const peer = await broker.bus.attach({ address: 'inside', incarnation: 'i', lifetime: 'named' })
    const sent = peer.send({ to: 'inbox', id: 'm1', kind: 'x', payload })
    const [receipt] = await Promise.all([sent, broker.drain()])
    expect(receipt).toEqual({ seq: 1, duplicate: false })
    expect(await peer.closed).toMatchObject({ code: 'CLOSED' })
  })

  test('close ends every peer and connection, settles every call, and can be repeated', async () => {
    const broker = await createBroker({ listen: { port: 0 }, token })
    await using bus = connectBus({ url: broker.url ?? '', token })
    const inside = await broker.bus.attach({ address: 'inside', incarnation: 'i', lifetime: 'named' })
    const outside = await bus.attach({ address: 'outside', incarnation: 'o', lifetime: 'named' })
    const sends = Array.from({ length: 20 }, (_, index) =>
      inside.send({ to: 'outside', id: `m${index}`, kind: 'x', payload }),
    )
    const ends = Promise.allSettled(sends)
    await Promise.all([broker.close(), broker.close()])
    await broker.closed
    for (const end of await ends) if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'CLOSED' })
    expect(await inside.closed).toMatchObject({ code: 'CLOSED' })
    await expect(inside.send({ to: 'outside', id: 'late', kind: 'x', payload })).rejects.toMatchObject({
      code: 'CLOSED',
    })
    while (outside.state === 'attached') await turn()
    expect(outside.state).toBe('lost')
  })

  test('no timer is left behind', async () => {
    const clock = createManualClock()
    const broker = await createBroker({ listen: { port: 0 }, token, clock })
    await broker.bus.attach({ address: 'inside', incarnation: 'i', lifetime: 'incarnation' })
    using client = await RawClient.attached(broker.url ?? '', token, 'outside')
    client.socket.terminate()
    using rude = await RawClient.attached(broker.url ?? '', token, 'rude')
    rude.socket.send('text')
    await rude.ended
    while (broker.stats().suspect < 2) await turn()
    await broker.close()
    await turns()
    expect(clock.timers.length).toBe(0)
  })
})
