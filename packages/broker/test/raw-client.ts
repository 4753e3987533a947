/** A client without manners: says what it is told to, and tells how the broker took it. */
import { decodeFrame, encodeFrame, parseBrokerHeader, wire, type BrokerHeader } from '@greenroom/proto'
import { once } from 'node:events'
import { WebSocket } from 'ws'

/** How a connection ended. */
export interface End {
  readonly code: number
  /** The code in the `error` frame without `req` that came before, if one did. */
  readonly error: string | undefined
}

/** See the head of this file. */
export class RawClient implements Disposable {
  readonly socket: WebSocket
  /** All that came. */
  readonly headers: BrokerHeader[] = []
  readonly ended: Promise<End>
  #waiting: (() => void)[] = []

  private constructor(socket: WebSocket) {
    this.socket = socket
    const { promise, resolve } = Promise.withResolvers<End>()
    this.ended = promise
    socket.on('error', () => {})
    socket.on('message', (data) => {
      if (!Buffer.isBuffer(data)) return
      this.headers.push(parseBrokerHeader(decodeFrame(data).header))
      for (const wake of this.#waiting.splice(0)) wake()
    })
    socket.on('close', (code) => {
      const last = this.headers.find((header) => header.t === 'error' && header.req === undefined)
      resolve({ code, error: last?.t === 'error' ? last.code : undefined })
    })
  }

  /** Connects; with `hello` it says that too. */
  static async open(url: string, token: string, { hello = true } = {}): Promise<RawClient> {
    const socket = new WebSocket(url, wire.protocol, {
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    })
    const client = new RawClient(socket)
    await once(socket, 'open')
    if (hello) {
      client.say({ t: 'hello', wire: wire.version, capabilities: [] })
      await client.heard((header) => header.t === 'welcome')
    }
    return client
  }

  /** A client that attached. */
  static async attached(url: string, token: string, address: string, more: object = {}): Promise<RawClient> {
    const client = await RawClient.open(url, token)
    client.attach(address, more)
    await client.answer(0)
    return client
  }

  attach(address: string, more: object = {}): void {
    const own = { address, incarnation: `${address}-1`, lifetime: 'named' }
    this.say({ t: 'attach', req: 0, ...own, credit: 8, controlCredit: 8, ...more })
  }

  say(header: object, payload?: Uint8Array): void {
    this.socket.send(encodeFrame(header, payload))
  }

  /** The first that fits, now or later. */
  async heard(fits: (header: BrokerHeader) => boolean): Promise<BrokerHeader> {
    for (;;) {
      const found = this.headers.find(fits)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** The answer to a request. */
  async answer(req: number): Promise<BrokerHeader> {
    return this.heard((header) => (header.t === 'ok' || header.t === 'error') && header.req === req)
  }

  [Symbol.dispose](): void {
    this.socket.terminate()
  }
}
