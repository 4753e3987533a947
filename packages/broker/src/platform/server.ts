/**
 * The server: HTTP for health, WebSocket for everything else.
 *
 * - *H1* Nobody without the token gets beyond the upgrade; the comparison takes the same time for all.
 * - *H2* A browser is let in only from an origin that was named.
 * - *H3* Whoever is slow or silent before the upgrade is cut by Node's own deadlines, after it by the session's.
 */
import { codeOf, errors, GreenroomError, wire } from '@greenroom/proto'
import { createHash, timingSafeEqual } from 'node:crypto'
import { chmodSync } from 'node:fs'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext } from 'node:tls'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import type { Certificate, Listen } from '../options.ts'
import type { Authority } from '../access.ts'
import { Session, type SessionHost } from '../session.ts'
import { prepareSocketFile } from './socket-file.ts'
import { BrokerWebSocket, webSocketTransport } from './websocket.ts'

/** Browsers, which cannot set headers, show the token as a sub-protocol with this prefix. */
const tokenProtocol = 'greenroom.token.'
/** What the answer to a token says of it: RFC 6750, and our own word for it. */
const challenges = {
  UNAUTHORIZED: 'WWW-Authenticate: Bearer\r\n',
  TOKEN_EXPIRED: 'WWW-Authenticate: Bearer error="invalid_token", error_description="TOKEN_EXPIRED"\r\n',
} as const
/** Connections that are being set up or refused, beyond those that are served. */
const spareConnections = 64

/** A server that listens. */
export interface Server {
  /** Where clients connect to. */
  readonly url: string
  readonly connections: number
  /**
   * Serves another certificate from now on; connections that stand are left alone.
   *
   * @throws GreenroomError `BAD_OPTIONS`
   */
  useCertificate(certificate: Certificate): void
  /** Ends the connections whose tokens are worth nothing any more. */
  checkTokens(): void
  /** Takes no new connections and ends the present ones in order. */
  drain(): Promise<void>
  /** Ends everything now. */
  close(): Promise<void>
}

/**
 * Compares tokens in the same time for all.
 *
 * @param token - the right one
 */
export function tokenCheck(token: string): (shown: string) => boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const right = digest(token)
  return (shown) => timingSafeEqual(digest(shown), right)
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data
}

function refuse(socket: Duplex, status: string, header = ''): void {
  // It was upgraded: Node's deadlines do not hold for it any more, and its end alone would leave it half open.
  socket.once('finish', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n${header}\r\n`)
}

/** Listens, and gives each connection a session. */
class BrokerServer implements Server {
  url = ''
  readonly #http: HttpServer
  readonly #host: SessionHost
  readonly #webSockets: WebSocketServer
  readonly #sessions = new Map<WebSocket, Session>()
  #isDraining = false
  #stopTicking = (): void => {}

  constructor(listen: Listen, host: SessionHost) {
    const { limits } = host.options
    this.#host = host
    this.#webSockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      clientTracking: false,
      maxPayload: limits.frameBytes,
      WebSocket: BrokerWebSocket,
      handleProtocols: (offered) => (offered.has(wire.protocol) ? wire.protocol : false),
    })
    const deadlines = {
      headersTimeout: limits.helloMs,
      requestTimeout: limits.helloMs,
      connectionsCheckingInterval: Math.min(1_000, limits.helloMs),
    }
    const answer = (request: IncomingMessage, response: ServerResponse): void => this.#answer(request, response)
    const tls = 'socket' in listen ? undefined : listen.tls
    this.#http =
      tls === undefined ? createHttpServer(deadlines, answer) : createHttpsServer({ ...deadlines, ...tls }, answer)
    this.#http.maxConnections = limits.connections + spareConnections
    this.#http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#upgrade(request, socket, head),
    )
  }

  get connections(): number {
    return this.#sessions.size
  }

  async listen(listen: Listen): Promise<void> {
    if ('socket' in listen) await prepareSocketFile(listen.socket)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#http.on('error', (cause) =>
      reject(new GreenroomError('CONNECT_FAILED', `cannot listen: ${cause.message}`, { cause })),
    )
    if ('socket' in listen) this.#http.listen(listen.socket, resolve)
    else this.#http.listen({ port: listen.port, host: listen.host ?? '127.0.0.1' }, resolve)
    await promise
    this.url = this.#urlOf(listen)
    if ('socket' in listen) chmodSync(listen.socket, 0o600)
    if (this.#host.options.background) this.#http.unref()
    this.#tick()
  }

  #urlOf(listen: Listen): string {
    if ('socket' in listen) return `ws+unix://${listen.socket}`
    const address = this.#http.address()
    const port = typeof address === 'object' && address !== null ? address.port : listen.port
    const { host = '127.0.0.1' } = listen
    return `${listen.tls === undefined ? 'ws' : 'wss'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  #tick(): void {
    const { clock, limits } = this.#host.options
    const tick = (): void => {
      for (const session of this.#sessions.values()) session.tick()
      this.#tick()
    }
    const timer = clock.timer(limits.pingMs, tick, { background: true })
    this.#stopTicking = () => timer.cancel()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const isHealth = request.url === '/healthz' && (request.method === 'GET' || request.method === 'HEAD')
    const body = isHealth
      ? { status: this.#isDraining ? 'draining' : 'ok', wire: wire.version, connections: this.connections }
      : { status: 'not found' }
    response.writeHead(isHealth ? 200 : 404, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(JSON.stringify(body))
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
    const { origin } = request.headers
    // Nobody else listens before it is known who it is.
    socket.on('error', () => {})
    void this.#authorityOf(shownToken(request, offered)).then((authority) => {
      if (this.#isDraining) refuse(socket, '503 Service Unavailable')
      else if (typeof authority === 'string') refuse(socket, '401 Unauthorized', challenges[authority])
      else if (origin !== undefined && !this.#host.options.origins.has(origin)) refuse(socket, '403 Forbidden')
      else if (!offered.includes(wire.protocol)) refuse(socket, '400 Bad Request')
      else
        this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#serve(webSocket, socket, authority))
    })
  }

  async #authorityOf(shown: string): Promise<Authority | keyof typeof challenges> {
    try {
      return await this.#host.mint.authorityOf(shown)
    } catch (error) {
      this.#host.core.counters.unauthorized += 1
      return codeOf(error) === 'TOKEN_EXPIRED' ? 'TOKEN_EXPIRED' : 'UNAUTHORIZED'
    }
  }

  useCertificate(certificate: Certificate): void {
    if (!(this.#http instanceof HttpsServer))
      throw new GreenroomError('BAD_OPTIONS', 'this broker does not serve wss: it has no certificate')
    try {
      // Also what no server could use must not take the place of what serves.
      createSecureContext(certificate)
    } catch (cause) {
      throw new GreenroomError('BAD_OPTIONS', 'this is no certificate with its key', { cause })
    }
    this.#http.setSecureContext(certificate)
  }

  checkTokens(): void {
    for (const session of this.#sessions.values()) session.checkToken()
  }

  #serve(webSocket: WebSocket, socket: Duplex, authority: Authority): void {
    webSocket.on('error', () => {})
    const { clock, limits, background } = this.#host.options
    if (background && socket instanceof Socket) socket.unref()
    const transport = webSocketTransport(webSocket, socket, clock)
    if (this.#sessions.size >= limits.connections) {
      transport.close(errors.TOO_MANY_CONNECTIONS.close, 'TOO_MANY_CONNECTIONS')
      return
    }
    const session = new Session(transport, this.#host, authority)
    this.#sessions.set(webSocket, session)
    webSocket.on('message', (data, isBinary) => {
      if (isBinary) session.receive(bytesOf(data))
      else session.receiveGarbage('a text message')
    })
    webSocket.on('pong', () => session.pong())
    socket.on('drain', () => session.drained())
    webSocket.on('close', () => {
      this.#sessions.delete(webSocket)
      session.closed()
    })
  }

  async drain(): Promise<void> {
    if (this.#isDraining) return
    this.#isDraining = true
    this.#http.close()
    const sessions = [...this.#sessions]
    const gone = sessions.map(([webSocket]) => new Promise<void>((resolve) => webSocket.once('close', () => resolve())))
    await Promise.all([...sessions.map(([, session]) => session.drain()), ...gone])
  }

  async close(): Promise<void> {
    this.#isDraining = true
    this.#stopTicking()
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()))
    for (const [webSocket, session] of this.#sessions) {
      session.closed()
      webSocket.terminate()
    }
    this.#http.closeAllConnections()
    await closed
  }
}

function shownToken({ headers }: IncomingMessage, offered: readonly string[]): string {
  const { authorization = '' } = headers
  if (/^bearer /i.test(authorization)) return authorization.slice('bearer '.length).trim()
  return offered.find((name) => name.startsWith(tokenProtocol))?.slice(tokenProtocol.length) ?? ''
}

/**
 * Starts listening.
 *
 * @throws GreenroomError `CONNECT_FAILED`, `BAD_OPTIONS`
 */
export async function startServer(listen: Listen, host: SessionHost): Promise<Server> {
  const server = new BrokerServer(listen, host)
  await server.listen(listen)
  return server
}
