/** Signed tokens and certificates over their time: real sockets, real certificates. */
import { connectBus, connectOperator } from '@greenroom/bus'
import { codeOf, systemClock, type Clock, type Grants, type Timer, type TokenRequest } from '@greenroom/proto'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { clockLeewayMs, createBroker, keyIdOf, readToken, signToken, verifyToken, type Broker } from '../src/index.ts'
import { makeCertificate } from './certificate.ts'
import { RawClient } from './raw-client.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const key = 'a key that is thirty-two bytes, or more'
const other = 'another key of thirty-two bytes, or more'
const grants: Grants = { consume: ['a.*'], present: ['r'], watch: ['r'], send: [{ to: ['a.*'] }] }
const seat = { address: 'a.1', incarnation: 'i', lifetime: 'named' } as const

function listen(options: Parameters<typeof createBroker>[0] = {}): Promise<Broker> {
  return createBroker({ listen: { port: 0 }, token, tokenKeys: [key], limits: { pingMs: 50 }, ...options })
}

/** Ends so long from now, the leeway included. */
function endsIn(ms: number, by = key, allowed = grants): Promise<string> {
  return signToken(by, { subject: 's', grants: allowed, expiresAt: Date.now() + ms - clockLeewayMs })
}

/** What the upgrade is answered. */
async function upgrade(broker: Broker, bearer: string): Promise<readonly [number | undefined, string | undefined]> {
  const asked = request((broker.url ?? '').replace(/^ws/, 'http'), {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'sec-websocket-protocol': 'greenroom.1',
      authorization: `Bearer ${bearer}`,
    },
  }).end()
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage]
  response.resume()
  return [response.statusCode, response.headers['www-authenticate']]
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token as somebody else would make it. */
function forged(header: object, claims: object, secret: string | undefined): string {
  const content = `${part(header)}.${part(claims)}`
  const signature = secret === undefined ? '' : createHmac('sha256', secret).update(content).digest('base64url')
  return `${content}.${signature}`
}

describe('a signed token', () => {
  const now = Math.floor(Date.now() / 1000)
  const header = { alg: 'HS256', typ: 'greenroom+jwt', kid: keyIdOf(key) }
  const claims = { sub: 's', iat: now, exp: now + 60, grants }

  test('that another would have made the same way lets in', async () => {
    await using broker = await listen()
    using client = await RawClient.open(broker.url ?? '', forged(header, claims, key))
    expect(client.socket.readyState).toBe(1)
  })

  test.each<[what: string, shown: string]>([
    ['without a signature', forged({ ...header, alg: 'none' }, claims, undefined)],
    ['of another key', forged(header, claims, other)],
    ['of a key that is not there', forged({ ...header, kid: keyIdOf(other) }, claims, other)],
    ['without a key’s id', forged({ alg: 'HS256', typ: 'greenroom+jwt' }, claims, key)],
    ['of another type', forged({ ...header, typ: 'JWT' }, claims, key)],
    ['without an end', forged(header, { ...claims, exp: undefined }, key)],
    ['of nobody', forged(header, { ...claims, sub: undefined }, key)],
    ['with grants that are none', forged(header, { ...claims, grants: { consume: 'a' } }, key)],
    ['with a pattern that is none', forged(header, { ...claims, grants: { consume: ['*.a'] } }, key)],
    ['that is no token', 'guess'],
    ['that is nothing', ''],
  ])('%s is UNAUTHORIZED, and counted', async (_, shown) => {
    await using broker = await listen()
    expect(await upgrade(broker, shown)).toEqual([401, 'Bearer'])
    expect(broker.stats().unauthorized).toBe(1)
  })

  test('that has expired is told so, by a code of its own', async () => {
    await using broker = await listen()
    const old = await endsIn(-2_000)
    expect(await upgrade(broker, old)).toEqual([401, expect.stringContaining('TOKEN_EXPIRED')])
    await using bus = connectBus({ url: broker.url ?? '', token: old })
    await expect(bus.attach(seat)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' })
    await expect(connectOperator({ url: broker.url ?? '', token: old })).rejects.toMatchObject({
      code: 'TOKEN_EXPIRED',
    })
    await using guess = connectBus({ url: broker.url ?? '', token: 'guess' })
    await expect(guess.attach(seat)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  })

  test('is in no error: neither whole nor in part', async () => {
    const shown = await endsIn(-2_000)
    for (const text of [shown, `${shown}x`, 'not.quite.yours']) {
      const failure: unknown = await verifyToken([key], text).catch((error: unknown) => error)
      expect(['TOKEN_EXPIRED', 'UNAUTHORIZED']).toContain(codeOf(failure))
      for (const piece of text.split('.').slice(1)) expect(String(failure)).not.toContain(piece)
      expect(failure).not.toHaveProperty('cause')
    }
    expect(() => readToken('not.a.token')).toThrow('no signed token')
    await expect(signToken('short', { subject: 's', grants, expiresAt: 0 })).rejects.toMatchObject({
      code: 'BAD_OPTIONS',
    })
  })
})

/** A clock that a test may put forward. */
class LeapingClock implements Clock {
  #aheadMs = 0

  /** Nobody has to wait for it: brokers look at it every 50 ms. */
  leap(ms: number): void {
    this.#aheadMs += ms
  }

  now(): number {
    return systemClock.now() + this.#aheadMs
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs
  }

  timer(...args: Parameters<Clock['timer']>): Timer {
    return systemClock.timer(...args)
  }
}

describe('the end of a token', () => {
  const minute = 60_000

  test('ends its connection: TOKEN_EXPIRED', async () => {
    const clock = new LeapingClock()
    await using broker = await listen({ clock })
    using client = await RawClient.attached(broker.url ?? '', await endsIn(minute), 'a.1')
    clock.leap(minute / 2)
    client.say({ t: 'ping' })
    await client.heard(({ t }) => t === 'pong')
    clock.leap(minute)
    expect(await client.ended).toEqual({ code: 4402, error: 'TOKEN_EXPIRED' })
  })

  test('is not brought on by a clock that is set: only connections to come look at it', async () => {
    const clock = new LeapingClock()
    const set: Clock = { ...systemClock, now: () => clock.now() }
    await using broker = await listen({ clock: set })
    const shown = await endsIn(minute)
    using client = await RawClient.attached(broker.url ?? '', shown, 'a.1')
    clock.leap(2 * minute)
    expect(await upgrade(broker, shown)).toEqual([401, expect.stringContaining('TOKEN_EXPIRED')])
    client.say({ t: 'ping' })
    await client.heard(({ t }) => t === 'pong')
  })

  test('is put off by a newer one, but not by one that grants less than the connection has: FORBIDDEN', async () => {
    const clock = new LeapingClock()
    await using broker = await listen({ clock })
    using client = await RawClient.attached(broker.url ?? '', await endsIn(minute), 'a.1', { presence: { role: 'r' } })
    client.say({ t: 'watch', req: 1, role: 'r' })
    await client.answer(1)
    const all = { consume: ['*'], present: ['*'], watch: ['*'] }
    const narrow: Grants[] = [
      { ...all, consume: ['a.2'] },
      { ...all, present: ['s'] },
      { ...all, watch: [] },
    ]
    for (const [index, less] of narrow.entries()) {
      client.say({ t: 'renew', req: 10 + index, token: await endsIn(9 * minute, key, less) })
      expect(await client.answer(10 + index)).toMatchObject({ code: 'FORBIDDEN' })
    }
    client.say({ t: 'renew', req: 2, token: await endsIn(3 * minute, key, all) })
    expect(await client.answer(2)).toEqual({ t: 'ok', req: 2 })
    clock.leap(2 * minute)
    client.say({ t: 'ping' })
    await client.heard(({ t }) => t === 'pong')
    // Its grants are those of the newer one.
    client.say({ t: 'send', req: 3, to: 'a.x', id: 'm', kind: 'note' })
    expect(await client.answer(3)).toMatchObject({ code: 'FORBIDDEN' })
    clock.leap(2 * minute)
    expect(await client.ended).toEqual({ code: 4402, error: 'TOKEN_EXPIRED' })
  })

  test('is not brought on by a newer one that is worth nothing: it is refused, counted, and the old one holds', async () => {
    const clock = new LeapingClock()
    const logged: unknown[] = []
    const logger = (...line: unknown[]): void => void logged.push(line)
    await using broker = await listen({ clock, logger })
    using client = await RawClient.attached(broker.url ?? '', await endsIn(minute), 'a.1')
    const wrong = [
      [await endsIn(9 * minute, other), 'UNAUTHORIZED'],
      ['guess', 'UNAUTHORIZED'],
      [await endsIn(-minute), 'TOKEN_EXPIRED'],
    ] as const
    for (const [index, [shown, code]] of wrong.entries()) {
      client.say({ t: 'renew', req: 10 + index, token: shown })
      expect(await client.answer(10 + index)).toMatchObject({ t: 'error', code })
    }
    expect(broker.stats()).toMatchObject({ unauthorized: 3, forbidden: 0 })
    // Once, whoever goes on guessing.
    expect(logged).toEqual([['warn', 'unauthorized', { subject: 's', frame: 'renew' }]])
    client.say({ t: 'send', req: 1, to: 'a.2', id: 'm', kind: 'note' })
    expect(await client.answer(1)).toMatchObject({ t: 'ok' })
    clock.leap(2 * minute)
    expect(await client.ended).toEqual({ code: 4402, error: 'TOKEN_EXPIRED' })
  })

  test('is none for a client that can get another: it comes back', async () => {
    const clock = new LeapingClock()
    await using broker = await listen({ clock })
    let asked = 0
    const states: string[] = []
    const get = (): Promise<string> => endsIn(asked++ === 0 ? minute : 9 * minute)
    await using bus = connectBus({ url: broker.url ?? '', token: get, backoff: { minMs: 1 } })
    const back = Promise.withResolvers<void>()
    const onState = (state: string): void => {
      states.push(state)
      if (state === 'attached') back.resolve()
    }
    await using peer = await bus.attach({ ...seat, onState })
    clock.leap(2 * minute)
    await back.promise
    expect(states).toEqual(['lost', 'attached'])
    await peer.send({ to: 'a.2', id: 'm', kind: 'note', payload: new Uint8Array(1) })
  })

  test('is final for a client that cannot, and far for one that renewed', async () => {
    const clock = new LeapingClock()
    await using broker = await listen({ clock })
    await using one = connectBus({ url: broker.url ?? '', token: await endsIn(minute) })
    await using two = connectBus({ url: broker.url ?? '', token: await endsIn(minute) })
    await using ends = await one.attach(seat)
    await using stays = await two.attach({ ...seat, address: 'a.2' })
    await two.renew(await endsIn(9 * minute))
    clock.leap(2 * minute)
    expect(await ends.closed).toMatchObject({ code: 'TOKEN_EXPIRED' })
    await stays.send({ to: 'a.3', id: 'm', kind: 'note', payload: new Uint8Array(1) })
    expect(stays.state).toBe('attached')
  })

  test('is the same for a token that was asked for over the bus', async () => {
    await using broker = await listen()
    await using bus = connectBus({ url: broker.url ?? '', token })
    await expect(bus.issue({ subject: 's', grants })).rejects.toMatchObject({ code: 'CLOSED' })
    await using _peer = await bus.attach(seat)
    const issued = await bus.issue({ subject: 's', grants, forMs: minute })
    expect(readToken(issued.token)).toMatchObject({ sub: 's', grants, exp: issued.expiresAt / 1000 })
    await expect(bus.issue({ subject: 's', grants: { operator: true } })).rejects.toMatchObject({ code: 'FORBIDDEN' })
  })
})

describe('keys', () => {
  test('are exchanged while connections stand: those of a key that is gone end, the others do not notice', async () => {
    // At once, not when the next ping is due.
    await using broker = await listen({ limits: { pingMs: 60_000 } })
    using first = await RawClient.attached(broker.url ?? '', await endsIn(60_000), 'a.1')
    broker.useTokenKeys([other, key])
    using second = await RawClient.attached(broker.url ?? '', await endsIn(60_000, other), 'a.2')
    using plain = await RawClient.attached(broker.url ?? '', token, 'a.3')
    expect(first.socket.readyState).toBe(1)
    const issued = await broker.issue({ subject: 's', grants })
    await expect(verifyToken([other], issued.token)).resolves.toMatchObject({ sub: 's' })
    broker.useTokenKeys([other])
    expect(await first.ended).toEqual({ code: 4401, error: 'UNAUTHORIZED' })
    for (const client of [second, plain]) {
      client.say({ t: 'ping' })
      await client.heard(({ t }) => t === 'pong')
    }
    expect(await upgrade(broker, await endsIn(60_000))).toEqual([401, 'Bearer'])
    expect(() => broker.useTokenKeys(['short'])).toThrow('32 bytes')
    expect(() => broker.useTokenKeys([])).toThrow('at least one')
  })

  test('of its own outlive the broker, in a file that nobody else can read', async () => {
    using folder = temporaryFolder()
    const own = { dir: folder.path, listen: { port: 0 }, token }
    let issued: string
    {
      await using broker = await createBroker(own)
      issued = (await broker.issue({ subject: 's', grants })).token
    }
    await using broker = await createBroker(own)
    using client = await RawClient.attached(broker.url ?? '', issued, 'a.1')
    expect(client.socket.readyState).toBe(1)
    const path = join(folder.path, 'token-key')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const kept = readFileSync(path, 'utf8').trim()
    for (const file of ['store.db', 'store.db-wal'])
      expect(readFileSync(join(folder.path, file)).includes(kept)).toBe(false)
  })

  test('the broker object gives out everything but what operators do', async () => {
    await using broker = await listen()
    const request: TokenRequest = { subject: 's', grants: { consume: ['*'] }, forMs: 1_000 }
    const { expiresAt } = await broker.issue(request)
    expect(expiresAt).toBeLessThanOrEqual(Date.now() + 1_000)
    await expect(broker.issue({ ...request, grants: { operator: true } })).rejects.toMatchObject({ code: 'FORBIDDEN' })
  })

  test('alone let in: without a plain token there is none', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, tokenKeys: [key] })
    using client = await RawClient.open(broker.url ?? '', await endsIn(60_000))
    expect(client.socket.readyState).toBe(1)
    expect(await upgrade(broker, '')).toEqual([401, 'Bearer'])
    expect(await upgrade(broker, 'undefined')).toEqual([401, 'Bearer'])
  })
})

describe('over TLS', () => {
  /** Who shows itself at a port now. */
  async function shown(url: string): Promise<string> {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const { subject } = socket.getPeerCertificate()
    socket.destroy()
    return String(subject.CN)
  }

  test('another certificate is served from now on, and connections that stand stay', async () => {
    using folder = temporaryFolder()
    const [first, second] = [makeCertificate(folder.path, 'first'), makeCertificate(folder.path, 'second')]
    await using broker = await listen({ listen: { port: 0, tls: first } })
    const url = broker.url ?? ''
    const states: string[] = []
    await using bus = connectBus({ url, token, ca: first.cert })
    await using peer = await bus.attach({ ...seat, onState: (state) => void states.push(state) })
    expect(await shown(url)).toBe('first')
    expect(() => broker.useCertificate({ ...second, key: first.key })).toThrow(/certificate/)
    expect(await shown(url)).toBe('first')
    broker.useCertificate(second)
    expect(await shown(url)).toBe('second')
    await peer.send({ to: 'a.2', id: 'm', kind: 'note', payload: new Uint8Array(1) })
    expect(states).toEqual([])
    await using late = connectBus({ url, token, ca: first.cert })
    await expect(late.attach({ ...seat, address: 'a.3' })).rejects.toMatchObject({ code: 'CERTIFICATE_UNTRUSTED' })
    await using pinned = connectBus({ url, token, ca: second.cert })
    await using _peer = await pinned.attach({ ...seat, address: 'a.4' })
  })

  test('an unknown authority and an expired certificate have codes of their own, for operators too', async () => {
    using folder = temporaryFolder()
    const [good, old] = [makeCertificate(folder.path, 'good'), makeCertificate(folder.path, 'old', 2020)]
    await using broker = await listen({ listen: { port: 0, tls: old } })
    const url = broker.url ?? ''
    const code = async (ca?: string): Promise<unknown> => {
      await using bus = connectBus({ url, token, ...(ca === undefined ? {} : { ca }) })
      return await bus.attach(seat).catch(codeOf)
    }
    expect(await code(old.cert)).toBe('CERTIFICATE_EXPIRED')
    broker.useCertificate(good)
    expect(await code(old.cert)).toBe('CERTIFICATE_UNTRUSTED')
    expect(await code()).toBe('CERTIFICATE_UNTRUSTED')
    await expect(connectOperator({ url, token, ca: old.cert })).rejects.toMatchObject({ code: 'CERTIFICATE_UNTRUSTED' })
    await using _trusting = await connectOperator({ url, token, ca: good.cert })
  })

  test('a broker without a certificate takes none', async () => {
    await using broker = await listen()
    expect(() => broker.useCertificate({ cert: '', key: '' })).toThrow(/wss/)
  })
})

test('plain ws to another machine is refused before a token is shown, unless one insists', async () => {
  const url = 'ws://192.0.2.1:7440'
  expect(() => connectBus({ url, token })).toThrow('wss://')
  await expect(connectOperator({ url, token })).rejects.toMatchObject({ code: 'INSECURE_URL' })
  await using _bus = connectBus({ url, token, insecure: true })
})
