/**
 * The other side of the client, played by hand: a raw WebSocket server whose every word a test says itself.
 *
 * `await broker.client()` is the next connection; `client.next()` what it said next. Nothing is answered by itself.
 */
import {
  decodeFrame,
  encodeFrame,
  parseClientHeader,
  type BrokerHeader,
  type ClientHeader,
  type Welcome,
} from '@greenroom/proto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { WebSocketServer, type WebSocket } from 'ws'

/** What a client said. */
export interface Said<H = ClientHeader> {
  readonly header: H
  readonly payload: Uint8Array
}

/** One connection, from the broker's side. */
export class FakeClient {
  readonly request: IncomingMessage
  /** The close code that the client sent, or 1006. */
  readonly closed: Promise<number>
  readonly ws: WebSocket
  readonly #said: Said[] = []
  #waiting: ((said: Said) => void)[] = []

  constructor(ws: WebSocket, request: IncomingMessage) {
    this.ws = ws
    this.request = request
    this.closed = new Promise((resolve) => ws.on('close', resolve))
    ws.on('error', () => {})
    ws.on('message', (data) => {
      if (!Buffer.isBuffer(data)) throw new Error('not a buffer')
      const { header, payload } = decodeFrame(data)
      const said = { header: parseClientHeader(header), payload }
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#said.push(said)
      else waiting(said)
    })
  }

  /** How much the client said that was not taken. */
  get unread(): number {
    return this.#said.length
  }

  /** What the client says next, which must be of this sort. */
  async next<T extends ClientHeader['t']>(t: T): Promise<Said<Extract<ClientHeader, { t: T }>>> {
    const said = this.#said.shift() ?? (await new Promise<Said>((resolve) => this.#waiting.push(resolve)))
    if (!isSort(said, t)) throw new Error(`expected ${t}, the client said ${JSON.stringify(said.header)}`)
    return said
  }

  say(header: BrokerHeader, payload?: Uint8Array): void {
    this.ws.send(encodeFrame(header, payload))
  }

  /** Answers a hello. */
  async welcome(more: Partial<Welcome> = {}): Promise<void> {
    await this.next('hello')
    this.say({
      t: 'welcome',
      wire: 1,
      capabilities: ['durable', 'ttl'],
      broker: 'fake',
      pingMs: 10_000,
      partitionGraceMs: 30_000,
      dedupeWindowMs: 86_400_000,
      ...more,
    })
  }

  /** Lets the client attach; returns what it attached as. */
  async attach(more: Partial<Welcome> = {}): Promise<Extract<ClientHeader, { t: 'attach' }>> {
    await this.welcome(more)
    const { header } = await this.next('attach')
    this.say({ t: 'ok', req: header.req })
    return header
  }

  /** Delivers a message of no content. */
  deliver(id: string, more: { readonly attempt?: number; readonly control?: boolean } = {}): void {
    this.say({ t: 'deliver', seq: 1, id, kind: 'note', from: 'x', attempt: 1, at: 1, ...more })
  }

  /** Loses the connection without a word. */
  cut(): void {
    this.ws.terminate()
  }
}

function isSort<T extends ClientHeader['t']>(said: Said, t: T): said is Said<Extract<ClientHeader, { t: T }>> {
  return said.header.t === t
}

/** See the head of this file. */
export class FakeBroker implements AsyncDisposable {
  readonly url: string
  readonly #server: Server
  readonly #ws: WebSocketServer
  readonly #clients: FakeClient[] = []
  #waiting: ((client: FakeClient) => void)[] = []
  /** How many connections there were. */
  connections = 0

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
    this.#ws = new WebSocketServer({ server, perMessageDeflate: false })
    this.#ws.on('connection', (ws, request) => {
      this.connections += 1
      const client = new FakeClient(ws, request)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#clients.push(client)
      else waiting(client)
    })
  }

  /** Listens on loopback, or on a Unix socket. */
  static async listen(path?: string): Promise<FakeBroker> {
    const server = createServer()
    if (path === undefined) server.listen(0, '127.0.0.1')
    else server.listen(path)
    await once(server, 'listening')
    const address = server.address()
    const url = typeof address === 'object' ? `ws://127.0.0.1:${address?.port}` : `ws+unix://${path}`
    return new FakeBroker(server, url)
  }

  /** The next connection. */
  client(): Promise<FakeClient> {
    const client = this.#clients.shift()
    return client === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(client)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const ws of this.#ws.clients) ws.terminate()
    this.#ws.close()
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}
