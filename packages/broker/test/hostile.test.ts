/**
 * Hostile clients: whatever breaks a rule ends that connection, with the documented code, and disturbs nobody else.
 *
 * While each of them does its worst, a bystander sends, receives and acks; it must lose nothing.
 */
import { connectBus } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { codeOf, encodeFrame, errors, wire, type Delivery } from '@greenroom/proto'
import { createMemoryStore } from '@greenroom/store'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { brokerSchema, createBroker, type Broker, type BrokerOptions } from '../src/index.ts'
import { RawClient } from './raw-client.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function open(options: BrokerOptions = {}): Promise<Broker & { readonly url: string }> {
  return createBroker({ listen: { port: 0 }, token, ...options }).then((broker) => {
    const { url } = broker
    if (url === undefined) throw new Error('it does not listen')
    return Object.assign(broker, { url })
  })
}

/** Somebody whose traffic goes on. */
class Bystander implements AsyncDisposable {
  readonly #bus
  readonly #arrived = new Set<string>()
  #isOver = false
  #sent = 0
  #done: Promise<void> = Promise.resolve()

  private constructor(url: string) {
    this.#bus = connectBus({ url, token })
  }

  static async start(url: string): Promise<Bystander> {
    const bystander = new Bystander(url)
    await bystander.#start()
    return bystander
  }

  async #start(): Promise<void> {
    const onMessage = (message: Delivery): void => {
      this.#arrived.add(message.id)
      void message.ack()
    }
    await this.#bus.attach({ address: 'bystander', incarnation: 'b1', lifetime: 'named', onMessage })
    const peer = await this.#bus.attach({ address: 'friend', incarnation: 'f1', lifetime: 'named' })
    this.#done = (async () => {
      while (!this.#isOver) {
        this.#sent += 1
        await peer.send({ to: 'bystander', id: `m${this.#sent}`, kind: 'note', payload: bytes('hello') })
      }
    })()
  }

  /** Resolves when its traffic went on, and all of it has arrived; never, when it was disturbed. */
  async isUndisturbed(): Promise<void> {
    const before = this.#sent
    while (this.#sent < before + 20) await sleep(1)
    this.#isOver = true
    await this.#done
    while (this.#arrived.size < this.#sent) await sleep(1)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await this.#done
    await this.#bus.close()
  }
}

/** A frame with a prefix that is not its header's length. */
function frameOf(length: number, header: string): Buffer {
  const frame = Buffer.alloc(4 + header.length)
  frame.writeUInt32BE(length)
  frame.write(header, 4)
  return frame
}

const attach = {
  t: 'attach',
  req: 1,
  address: 'evil',
  incarnation: 'e1',
  lifetime: 'named',
  credit: 1,
  controlCredit: 1,
}
const manyKeys = `{"t":"ping",${Array.from({ length: 2500 }, (_, index) => `"k${index}":1`).join(',')}}`
const deep = `{"t":"ping","x":${'['.repeat(8_000)}${']'.repeat(8_000)}}`

interface Crime {
  readonly name: string
  readonly code: number
  readonly hello?: boolean
  readonly commit: (client: RawClient) => unknown
}

const crimes: readonly Crime[] = [
  {
    name: 'garbage',
    code: 4400,
    commit: ({ socket }) => socket.send(Buffer.from('\0\0\0\x10no frame at all, not in the least')),
  },
  { name: 'an empty message', code: 4400, commit: ({ socket }) => socket.send(Buffer.alloc(0)) },
  { name: 'a text message', code: 4400, commit: ({ socket }) => socket.send('{"t":"ping"}') },
  {
    name: 'a frame that is cut short',
    code: 4400,
    commit: ({ socket }) => socket.send(encodeFrame({ t: 'ping' }).subarray(0, 9)),
  },
  { name: 'a header that is not JSON', code: 4400, commit: ({ socket }) => socket.send(frameOf(5, '{"t":')) },
  {
    name: 'a header that is not UTF-8',
    code: 4400,
    commit: ({ socket }) => socket.send(Buffer.from([0, 0, 0, 2, 0xff, 0xfe])),
  },
  { name: 'a header that claims 4 GiB', code: 4413, commit: ({ socket }) => socket.send(frameOf(0xffff_ffff, '{}')) },
  {
    name: 'a header above 16 KiB',
    code: 4413,
    commit: ({ socket }) => socket.send(frameOf(manyKeys.length, manyKeys)),
  },
  { name: 'a frame of 17 MiB', code: 4413, commit: ({ socket }) => socket.send(Buffer.alloc(17 * 1024 * 1024)) },
  {
    name: 'a payload of 9 MiB',
    code: 4413,
    commit: ({ socket }) => {
      const head = encodeFrame({ t: 'send', req: 1, to: 'x', id: 'x', kind: 'x' })
      socket.send(Buffer.concat([head, new Uint8Array(9 * 1024 * 1024)]))
    },
  },
  { name: 'a frame of unknown kind', code: 4400, commit: (client) => client.say({ t: 'explode' }) },
  {
    name: 'a frame for clients',
    code: 4400,
    commit: (client) => client.say({ t: 'welcome', wire: 1, capabilities: [], broker: 'x' }),
  },
  { name: 'a name with a slash', code: 4400, commit: (client) => client.say({ ...attach, address: '../etc' }) },
  { name: 'credit below zero', code: 4400, commit: (client) => client.say({ ...attach, credit: -1 }) },
  { name: 'hello twice', code: 4400, commit: (client) => client.say({ t: 'hello', wire: 1, capabilities: [] }) },
  { name: 'anything before hello', code: 4400, hello: false, commit: (client) => client.say({ t: 'ping' }) },
  {
    name: 'a version of the future only',
    code: 4406,
    hello: false,
    commit: (client) => client.say({ t: 'hello', wire: 99, oldest: 98, capabilities: [] }),
  },
  {
    name: 'a capability that nobody has',
    code: 4407,
    hello: false,
    commit: (client) => client.say({ t: 'hello', wire: 1, capabilities: [], required: ['telepathy'] }),
  },
  { name: 'an ack before any attach', code: 4400, commit: (client) => client.say({ t: 'ack', ids: ['m1'] }) },
  {
    name: 'a live message from nobody',
    code: 4400,
    commit: (client) => client.say({ t: 'live', to: 'bystander', kind: 'x' }),
  },
  {
    name: 'a second attach',
    code: 4400,
    commit: (client) => {
      client.say(attach)
      client.say({ ...attach, req: 2, address: 'other' })
    },
  },
  {
    name: 'an attach as the sender of nobody',
    code: 4403,
    commit: (client) => client.say({ ...attach, address: 'anonymous' }),
  },
  {
    name: "an attach to the bystander's mailbox as if it were an incarnation's",
    code: 4403,
    commit: (client) => client.say({ ...attach, address: 'bystander', lifetime: 'incarnation' }),
  },
  {
    name: 'a presence of 12 KiB',
    code: 4413,
    commit: (client) => client.say({ ...attach, presence: { role: 'r', version: 'x'.repeat(12 * 1024) } }),
  },
]

describe('what breaks a rule of the protocol ends its connection and disturbs nobody', () => {
  test.for(crimes)('$name: $code', async ({ code, hello = true, commit }) => {
    await using broker = await open()
    await using bystander = await Bystander.start(broker.url)
    using client = await RawClient.open(broker.url, token, { hello })
    commit(client)
    expect((await client.ended).code).toBe(code)
    await bystander.isUndisturbed()
  })

  test('whoever guesses at tokens by renew has ten in one go, each of them counted, and is cut', async () => {
    const clock = createManualClock()
    await using broker = await open({ clock })
    await using bystander = await Bystander.start(broker.url)
    using client = await RawClient.attached(broker.url, token, 'guesser')
    const guess = (first: number, last: number): void => {
      for (let req = first; req <= last; req += 1) client.say({ t: 'renew', req, token: `guess-${req}` })
    }
    guess(1, 10)
    expect(await client.answer(10)).toMatchObject({ code: 'UNAUTHORIZED' })
    // And one more each second.
    clock.jump(1_000)
    guess(11, 11)
    expect(await client.answer(11)).toMatchObject({ code: 'UNAUTHORIZED' })
    guess(12, 30)
    // Not even the right one is looked at then.
    client.say({ t: 'renew', req: 31, token })
    expect(await client.ended).toEqual({ code: 4401, error: 'UNAUTHORIZED' })
    expect(client.headers.filter((header) => 'req' in header && (header.req ?? 0) > 11)).toEqual([])
    expect(broker.stats().unauthorized).toBe(12)
    await bystander.isUndisturbed()
  })

  test('the error frame before the close says why', async () => {
    await using broker = await open()
    using client = await RawClient.open(broker.url, token)
    client.say({ t: 'explode' })
    client.say({ t: 'send', req: 1, to: 'sink', id: 'm', kind: 'x' })
    expect(await client.ended).toEqual({ code: errors.BAD_FRAME.close, error: 'BAD_FRAME' })
    // Nothing that came behind it is acted upon.
    expect(broker.stats()).toMatchObject({ mailboxes: 0, messages: 0, sent: 0 })
    expect(client.headers.at(-1)).toMatchObject({
      t: 'error',
      message: expect.stringMatching(/^the header is not valid at t: /),
    })
  })

  test('a header that nests thousands deep in a field that nobody knows is read leniently', async () => {
    await using broker = await open()
    using client = await RawClient.open(broker.url, token)
    client.socket.send(frameOf(deep.length, deep))
    await client.heard(({ t }) => t === 'pong')
  })

  test('another incarnation cannot attach to the mailbox of one: FENCED, and the owner stays', async () => {
    await using broker = await open()
    await using bystander = await Bystander.start(broker.url)
    using owner = await RawClient.attached(broker.url, token, 'worker.1', { lifetime: 'incarnation' })
    using thief = await RawClient.open(broker.url, token)
    thief.say({ ...attach, address: 'worker.1', lifetime: 'incarnation' })
    expect(await thief.ended).toEqual({ code: 4410, error: 'FENCED' })
    owner.say({ t: 'ping' })
    await owner.heard(({ t }) => t === 'pong')
    await bystander.isUndisturbed()
  })

  test('an ack of what was given back removes nothing and says NOT_HOLDER', async () => {
    await using broker = await open()
    using holder = await RawClient.attached(broker.url, token, 'holder')
    for (const [req, id] of [
      [1, 'm1'],
      [2, 'm2'],
    ] as const) {
      holder.say({ t: 'send', req, to: 'holder', id, kind: 'note' }, bytes('x'))
      await holder.heard((header) => header.t === 'deliver' && header.id === id)
    }
    holder.say({ t: 'nack', req: 3, id: 'm1', delayMs: 60_000 })
    holder.say({ t: 'ack', req: 4, ids: ['m1', 'm2', 'never-there'] })
    expect(await holder.answer(4)).toMatchObject({ t: 'error', code: 'NOT_HOLDER' })
    holder.say({ t: 'revoke', req: 5, to: 'holder', id: 'm1' })
    holder.say({ t: 'revoke', req: 6, to: 'holder', id: 'm2' })
    expect(await holder.answer(5)).toMatchObject({ t: 'ok', revoked: 'withdrawn' })
    expect(await holder.answer(6)).toMatchObject({ t: 'ok', revoked: 'claimed' })
  })

  test('a nack that is repeated, as after a lost connection, counts once', async () => {
    await using broker = await open()
    using holder = await RawClient.attached(broker.url, token, 'holder')
    holder.say({ t: 'send', req: 1, to: 'holder', id: 'm1', kind: 'note' }, bytes('x'))
    const delivered = (attempt: number) =>
      holder.heard((header) => header.t === 'deliver' && header.attempt === attempt)
    await delivered(1)
    holder.say({ t: 'nack', req: 2, id: 'm1', attempt: 1 })
    await delivered(2)
    holder.say({ t: 'nack', req: 3, id: 'm1', attempt: 1, delayMs: 60_000 })
    expect(await holder.answer(3)).toMatchObject({ t: 'ok' })
    holder.say({ t: 'nack', req: 4, id: 'm1', attempt: 2, delayMs: 60_000 })
    holder.say({ t: 'nack', req: 5, id: 'm1', attempt: 2 })
    expect(await holder.answer(5)).toMatchObject({ t: 'ok' })
    // Once more what came after it: whoever has it already knows it by its attempt.
    const attempts = holder.headers.flatMap((header) => (header.t === 'deliver' ? [header.attempt] : []))
    expect(attempts).toEqual([1, 2, 2])
    // Nor is it an error when the message is gone by then.
    holder.say({ t: 'revoke', req: 6, to: 'holder', id: 'm1' })
    holder.say({ t: 'nack', req: 7, id: 'm1', attempt: 2 })
    expect(await holder.answer(7)).toEqual({ t: 'ok', req: 7 })
  })

  test('acks, claims and nacks of what somebody else holds change nothing', async () => {
    await using broker = await open()
    using holder = await RawClient.attached(broker.url, token, 'holder')
    using thief = await RawClient.attached(broker.url, token, 'thief')
    thief.say({ t: 'send', req: 1, to: 'holder', id: 'm1', kind: 'run' }, bytes('x'))
    await holder.heard(({ t }) => t === 'deliver')
    thief.say({ t: 'ack', req: 2, ids: ['m1'] })
    thief.say({ t: 'claim', req: 3, id: 'm1' })
    thief.say({ t: 'nack', req: 4, id: 'm1' })
    expect(await thief.answer(3)).toMatchObject({ t: 'error', code: 'NOT_HOLDER' })
    await thief.answer(4)
    holder.say({ t: 'claim', req: 5, id: 'm1' })
    expect(await holder.answer(5)).toEqual({ t: 'ok', req: 5 })
    // Who comes after it at the same mailbox is somebody else too.
    using next = await RawClient.attached(broker.url, token, 'holder', { incarnation: 'holder-2' })
    next.say({ t: 'claim', req: 6, id: 'm1' })
    expect(await next.answer(6)).toMatchObject({ t: 'error', code: 'NOT_HOLDER' })
  })
})

describe('text that is longer in bytes than in characters', () => {
  const wide = '語'.repeat(100)
  const labels = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`l${index}`, wide]))

  test('in a presence: the list of a role is told completely, and nobody is disturbed', async () => {
    await using broker = await open()
    using first = await RawClient.attached(broker.url, token, 'first', { presence: { role: 'coder', labels } })
    using second = await RawClient.attached(broker.url, token, 'second', { presence: { role: 'coder', labels } })
    using third = await RawClient.attached(broker.url, token, 'third', { presence: { role: 'coder', labels } })
    using watcher = await RawClient.attached(broker.url, token, 'watcher')
    watcher.say({ t: 'watch', req: 1, role: 'coder' })
    watcher.say({ t: 'ping' })
    await watcher.heard(({ t }) => t === 'pong')
    const members = watcher.headers.flatMap((header) => {
      if (header.t === 'ok') return header.members ?? []
      return header.t === 'presence' ? [header.change] : []
    })
    expect(members.map(({ address }) => address)).toEqual(['first', 'second', 'third'])
    expect([first, second, third].map(({ socket }) => socket.readyState)).toEqual([1, 1, 1])
  })

  test('a presence that no header would hold beside its address is refused: 4413', async () => {
    await using broker = await open()
    using watcher = await RawClient.attached(broker.url, token, 'watcher')
    watcher.say({ t: 'watch', req: 1, role: 'coder' })
    await watcher.answer(1)
    using loud = await RawClient.attached(broker.url, token, 'loud')
    loud.say({ t: 'announce', presence: { role: 'coder', version: '語'.repeat(5_400) } })
    expect(await loud.ended).toEqual({ code: 4413, error: 'FRAME_TOO_LARGE' })
    watcher.say({ t: 'ping' })
    await watcher.heard(({ t }) => t === 'pong')
  })
})

describe('on the socket', () => {
  /** What a raw connection gets back, until it is closed. */
  async function talk(url: string, say: (socket: Socket) => unknown): Promise<string> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data.toString('latin1')))
    socket.on('connect', () => say(socket))
    await new Promise((resolve) => socket.on('close', resolve))
    return heard
  }

  const upgrade = (more: string): string =>
    `GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${more}\r\n`
  const protocol = `Sec-WebSocket-Protocol: ${wire.protocol}\r\n`
  const bearer = `Authorization: Bearer ${token}\r\n`

  test.for([
    ['no token', protocol, '401'],
    ['a wrong token', `${protocol}Authorization: Bearer ${token}x\r\n`, '401'],
    ['a token under another scheme', `${protocol}Authorization: Basic ${token}\r\n`, '401'],
    ["another protocol's name", `${bearer}Sec-WebSocket-Protocol: mqtt\r\n`, '400'],
    ['no protocol', bearer, '400'],
    ['an origin that nobody named', `${protocol}${bearer}Origin: https://evil.example\r\n`, '403'],
  ] as const)('an upgrade with %s is refused', async ([, headers, status]) => {
    await using broker = await open({ origins: ['https://good.example'] })
    const answer = await talk(broker.url, (socket) => socket.write(upgrade(headers)))
    expect(answer).toContain(`HTTP/1.1 ${status}`)
    expect(answer.includes('WWW-Authenticate: Bearer\r\n')).toBe(status === '401')
  })

  test('a browser is let in from a named origin, with its token as a sub-protocol', async () => {
    await using broker = await open({ origins: ['https://good.example'] })
    const socket = new WebSocket(broker.url, [wire.protocol, `greenroom.token.${token}`], {
      origin: 'https://good.example',
    })
    await once(socket, 'open')
    expect(socket.protocol).toBe(wire.protocol)
    socket.terminate()
  })

  test('who was refused and does not hang up is cut, and does not hold up the close', async () => {
    const broker = await open()
    const port = Number(new URL(broker.url).port)
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => {})
    socket.resume().write(upgrade(protocol))
    await new Promise((resolve) => socket.once('end', resolve))
    // What is really gone cannot be written to; what is half open can, for ever.
    while (!socket.destroyed) {
      socket.write('x')
      await sleep(1)
    }
    // Nor does one that was refused a moment ago.
    const last = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    last.on('error', () => {})
    await once(last, 'connect')
    last.write(upgrade(protocol))
    await broker.close()
    last.destroy()
  })

  test.for([
    ['bytes that are no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
    ['a header without end', `GET / HTTP/1.1\r\nX: ${'y'.repeat(100_000)}`],
  ] as const)('%s is refused and closed', async ([, text]) => {
    await using broker = await open()
    await using bystander = await Bystander.start(broker.url)
    // The refusal may be lost: what was not read resets the connection.
    expect(await talk(broker.url, (socket) => socket.write(text))).toMatch(/^$|^HTTP\/1.1 4/)
    await bystander.isUndisturbed()
  })

  test.for([
    ['says nothing', ''],
    ['never ends its request', upgrade('').slice(0, -2)],
    ['never ends the body of its request', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n'],
  ] as const)('a connection that %s is cut after helloMs', async ([, text]) => {
    await using broker = await open({ limits: { helloMs: 200 } })
    await using bystander = await Bystander.start(broker.url)
    const since = performance.now()
    await talk(broker.url, (socket) => socket.write(text))
    expect(performance.now() - since).toBeLessThan(4_000)
    await bystander.isUndisturbed()
  })

  test('a connection without hello is closed with 4408', async () => {
    const clock = createManualClock()
    await using broker = await open({ clock })
    using polite = await RawClient.open(broker.url, token)
    using client = await RawClient.open(broker.url, token, { hello: false })
    while (broker.stats().connections < 2) await sleep(1)
    clock.jump(9_999)
    polite.say({ t: 'ping' })
    await polite.heard(({ t }) => t === 'pong')
    expect(client.socket.readyState).toBe(WebSocket.OPEN)
    clock.jump(1)
    expect(await client.ended).toEqual({ code: 4408, error: 'HELLO_TIMEOUT' })
    expect(client.headers).toEqual([{ t: 'error', code: 'HELLO_TIMEOUT', message: errors.HELLO_TIMEOUT.text }])
    // Nobody else is cut by then.
    polite.say({ t: 'send', req: 1, to: 'sink', id: 'm', kind: 'x' })
    expect(await polite.answer(1)).toMatchObject({ t: 'ok' })
    while (broker.stats().connections > 1) await sleep(1)
  })

  test('who has said hello is not in a hurry to attach', async () => {
    const clock = createManualClock()
    await using broker = await open({ clock, limits: { helloMs: 5_000 } })
    using client = await RawClient.open(broker.url, token)
    clock.jump(5_000)
    client.attach('late')
    expect(await client.answer(0)).toMatchObject({ t: 'ok' })
  })

  test.for([
    ['unmasked', Buffer.from([0x82, 0x02, 1, 2]), 4400],
    ['with reserved bits', Buffer.from([0xf2, 0x82, 0, 0, 0, 0, 1, 2]), 4400],
    ['of unknown opcode', Buffer.from([0x8b, 0x80, 0, 0, 0, 0]), 4400],
    ['that claims 2^62 bytes', Buffer.from([0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 4413],
  ] as const)('a WebSocket frame %s is answered with a close', async ([, frame, code]) => {
    await using broker = await open()
    await using bystander = await Bystander.start(broker.url)
    const heard = await talk(broker.url, (socket) => {
      socket.once('data', () => socket.write(frame))
      socket.write(upgrade(protocol + bearer))
    })
    const close = Buffer.from(heard.slice(heard.indexOf('\r\n\r\n') + 4), 'latin1')
    expect(close[0]).toBe(0x88)
    expect([code, 1002, 1009]).toContain(close.readUInt16BE(2))
    expect(close.readUInt16BE(2)).toBe(code)
    await bystander.isUndisturbed()
  })

  test('health is told to everybody, anything else to nobody', async () => {
    await using broker = await open()
    const page = async (path: string): Promise<readonly [number | undefined, string]> => {
      const asked = request(`${broker.url.replace('ws', 'http')}${path}`).end()
      const [response] = await once(asked, 'response')
      const chunks: Buffer[] = await response.toArray()
      return [response.statusCode, Buffer.concat(chunks).toString()]
    }
    const [status, body] = await page('/healthz')
    expect(status).toBe(200)
    expect(JSON.parse(body)).toMatchObject({ status: 'ok' })
    expect((await page('/'))[0]).toBe(404)
    expect((await page('/healthz/../../etc/passwd'))[0]).toBe(404)
  })

  test('more connections than allowed are refused with 4429, the others go on', async () => {
    await using broker = await open({ limits: { connections: 4 } })
    await using bystander = await Bystander.start(broker.url)
    using third = await RawClient.open(broker.url, token)
    using fourth = await RawClient.open(broker.url, token)
    using fifth = await RawClient.open(broker.url, token, { hello: false })
    expect((await fifth.ended).code).toBe(4429)
    third.socket.terminate()
    while (broker.stats().connections > 3) await sleep(1)
    using next = await RawClient.open(broker.url, token)
    expect(next.socket.readyState).toBe(WebSocket.OPEN)
    fourth.say({ t: 'ping' })
    await fourth.heard(({ t }) => t === 'pong')
    await bystander.isUndisturbed()
  })

  test('beyond those that are served, 64 connections may be set up or refused at a time: more are cut at once', async () => {
    await using broker = await open({ limits: { connections: 1, helloMs: 60_000 } })
    const port = Number(new URL(broker.url).port)
    const sockets: Socket[] = []
    const cut = Promise.withResolvers<number>()
    for (let index = 0; index < 66; index += 1) {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      sockets.push(socket)
      await once(socket, 'connect')
      socket.once('close', () => cut.resolve(index)).resume()
    }
    expect(await cut.promise).toBe(65)
    for (const socket of sockets) socket.destroy()
  })
})

describe('who asks for too much', () => {
  test('a flood of frames is slowed down, and all of them are answered', async () => {
    await using broker = await open({ limits: { framesPerSecond: 2_000 } })
    await using bystander = await Bystander.start(broker.url)
    using client = await RawClient.open(broker.url, token)
    const started = performance.now()
    for (let count = 0; count < 4_000; count += 1)
      client.say({ t: 'send', req: count, to: 'sink', id: `m${count}`, kind: 'x' })
    await client.answer(3_999)
    // A burst of a second's worth is free, and what had been read before it stopped; the rest takes its time.
    expect(performance.now() - started).toBeGreaterThan(400)
    await bystander.isUndisturbed()
  })

  test('a flood of large messages fills its mailbox, not the memory', async () => {
    await using broker = await open({ limits: { mailboxBytes: 4 * 1024 * 1024, incomingBytes: 1024 * 1024 } })
    await using bystander = await Bystander.start(broker.url)
    using client = await RawClient.open(broker.url, token)
    const payload = new Uint8Array(256 * 1024)
    for (let count = 0; count < 64; count += 1)
      client.say({ t: 'send', req: count, to: 'sink', id: `m${count}`, kind: 'x' }, payload)
    await client.answer(63)
    const answers = client.headers.filter(({ t }) => t === 'ok' || t === 'error')
    expect(answers.filter(({ t }) => t === 'ok').length).toBe(16)
    expect(answers.filter((answer) => answer.t === 'error' && answer.code === 'MAILBOX_FULL').length).toBe(48)
    await bystander.isUndisturbed()
  })

  test('who sends more than incomingBytes is not read until that is answered; everybody else is', async () => {
    const waiting: (() => void)[] = []
    let isSlow = false
    const defer = (task: () => void): void => void (isSlow ? waiting.push(task) : setImmediate(task))
    await using store = createMemoryStore({ schema: brokerSchema, defer })
    await using broker = await open({ store, limits: { incomingBytes: 512 * 1024 } })
    using other = await RawClient.attached(broker.url, token, 'other')
    using client = await RawClient.open(broker.url, token)
    isSlow = true
    const payload = new Uint8Array(256 * 1024)
    for (let req = 0; req < 16; req += 1) client.say({ t: 'send', req, to: 'sink', id: `m${req}`, kind: 'x' }, payload)
    while (broker.stats().bytes < 2 * payload.length) await sleep(1)
    for (let req = 1; req <= 30; req += 1) {
      other.say({ t: 'watch', req, role: 'r' })
      expect(await other.answer(req)).toMatchObject({ t: 'ok' })
    }
    // What had been read before it stopped may be one more.
    expect(broker.stats().bytes).toBeLessThanOrEqual(3 * payload.length)
    isSlow = false
    for (const task of waiting.splice(0)) task()
    await client.answer(15)
    expect(broker.stats()).toMatchObject({ messages: 16, bytes: 16 * payload.length })
  })

  test('who asks and never reads is cut as SLOW_CONSUMER', async () => {
    await using broker = await open({ limits: { outgoingBytes: 64 * 1024, pingMs: 60_000 } })
    await using bystander = await Bystander.start(broker.url)
    using client = await RawClient.attached(broker.url, token, 'deaf')
    client.socket.pause()
    const closed = once(client.socket, 'close')
    const before = broker.stats().connections
    const ask = encodeFrame({ t: 'watch', req: 1, role: 'none' })
    while (broker.stats().connections === before) {
      for (let count = 0; count < 1_000 && client.socket.readyState === WebSocket.OPEN; count += 1)
        client.socket.send(ask)
      await sleep(1)
    }
    client.socket.resume()
    await closed
    expect(broker.stats().slowConsumers).toBe(1)
    await bystander.isUndisturbed()
  })

  test('who does not read what it consumes gets no more than its connection holds; its senders are told MAILBOX_FULL', async () => {
    using folder = temporaryFolder()
    const listen = { socket: join(folder.path, 'broker.sock') }
    await using broker = await createBroker({
      listen,
      token,
      limits: { mailboxBytes: 32 * 1024 * 1024, cacheBytes: 1024 },
    })
    const url = broker.url ?? ''
    using deaf = await RawClient.attached(url, token, 'deaf', { credit: 10_000 })
    deaf.socket.pause()
    const payload = new Uint8Array(64 * 1024)
    const sender = await broker.bus.attach({ address: 'sender', incarnation: 's', lifetime: 'named' })
    let sent = 0
    const isFull = async (): Promise<boolean> => {
      const refused = await sender
        .send({ to: 'deaf', id: `m${sent}`, kind: 'x', payload })
        .catch((error: unknown) => codeOf(error))
      if (typeof refused === 'string') expect(refused).toBe('MAILBOX_FULL')
      else sent += 1
      return typeof refused === 'string'
    }
    while (!(await isFull()));
    expect(sent).toBe(512)
    // A MiB at the session, and what the system takes for a socket that nobody reads.
    expect(broker.stats().delivered * payload.length).toBeLessThan(4 * 1024 * 1024)
    expect(broker.stats()).toMatchObject({ messages: 512, slowConsumers: 0 })
    deaf.socket.resume()
    await deaf.heard((header) => header.t === 'deliver' && header.seq === sent)
    const seqs = deaf.headers.flatMap((header) => (header.t === 'deliver' ? [header.seq] : []))
    expect(seqs).toEqual(Array.from({ length: sent }, (_, index) => index + 1))
  })

  test('who leaves more unread than outgoingBytes from one ping to the next is cut as SLOW_CONSUMER', async () => {
    using folder = temporaryFolder()
    const clock = createManualClock()
    const pingMs = 1_000
    // Deliveries stop at a MiB, beyond the bound and below twice as much.
    const limits = { pingMs, outgoingBytes: 768 * 1024 }
    const listen = { socket: join(folder.path, 'broker.sock') }
    await using broker = await createBroker({ listen, token, clock, limits })
    using deaf = await RawClient.attached(broker.url ?? '', token, 'deaf', { credit: 1_000 })
    deaf.socket.pause()
    const payload = new Uint8Array(64 * 1024)
    const sender = await broker.bus.attach({ address: 'sender', incarnation: 's', lifetime: 'named' })
    for (let count = 0; count < 64; count += 1) await sender.send({ to: 'deaf', id: `m${count}`, kind: 'x', payload })
    expect(broker.stats()).toMatchObject({ messages: 64, slowConsumers: 0 })
    clock.jump(pingMs)
    expect(broker.stats()).toMatchObject({ attached: 2, slowConsumers: 0 })
    clock.jump(pingMs)
    expect(broker.stats()).toMatchObject({ attached: 1, slowConsumers: 1 })
  })

  test('live messages to who does not read are dropped, and counted', async () => {
    await using broker = await open({ limits: { liveBytes: 256 * 1024, outgoingBytes: 64 * 1024 * 1024 } })
    using deaf = await RawClient.attached(broker.url, token, 'deaf')
    deaf.socket.pause()
    using loud = await RawClient.attached(broker.url, token, 'loud')
    const payload = new Uint8Array(64 * 1024)
    for (let count = 0; count < 400; count += 1) loud.say({ t: 'live', to: 'deaf', kind: 'x' }, payload)
    loud.say({ t: 'ping' })
    await loud.heard(({ t }) => t === 'pong')
    const { live, liveDropped } = broker.stats()
    expect(live + liveDropped).toBe(400)
    expect(liveDropped).toBeGreaterThan(0)
  })
})
