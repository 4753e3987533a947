/** The {@link SocketFactory} over WebSocket. */
import { limits, wire } from '@greenroom/proto'
import { connect, type Socket as NetSocket } from 'node:net'
import { WebSocket, type ClientOptions } from 'ws'
import { parseEndpoint } from '../endpoint.ts'
import type { Socket, SocketEvents, SocketFlaw, SocketTarget } from '../socket.ts'

/** How long the other side may take to answer a close, in milliseconds. */
const CLOSE_MS = 1000

/** What OpenSSL and Node call a certificate that is not good enough, and what to do about it. */
const certificateFlaws: ReadonlyMap<unknown, readonly [flaw: SocketFlaw, remedy: string]> = new Map<
  unknown,
  readonly [SocketFlaw, string]
>([
  ['CERT_HAS_EXPIRED', ['CERTIFICATE_EXPIRED', 'whoever runs it has to renew that']],
  ['CERT_NOT_YET_VALID', ['CERTIFICATE_EXPIRED', 'is the clock right, here and there?']],
  ['ERR_TLS_CERT_ALTNAME_INVALID', ['CERTIFICATE_UNTRUSTED', 'use a name that it is for']],
  ...[
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'CERT_SIGNATURE_FAILURE',
    'CERT_UNTRUSTED',
    'CERT_REJECTED',
    'INVALID_CA',
    'INVALID_PURPOSE',
  ].map((code) => [code, ['CERTIFICATE_UNTRUSTED', 'give the certificate of its authority as ca']] as const),
])

/** `ws` knows the option since 8.19, its types do not. */
interface WebSocketOptions extends ClientOptions {
  readonly closeTimeout: number
}

/**
 * Opens a WebSocket to a broker.
 *
 * @param target - where to and as whom
 * @param events - told what happens
 */
export function openWebSocket(target: SocketTarget, events: SocketEvents): Socket {
  const endpoint = parseEndpoint(target.url)
  const options: WebSocketOptions = {
    headers: { authorization: `Bearer ${target.token}` },
    perMessageDeflate: false,
    maxPayload: limits.frameBytes,
    skipUTF8Validation: true,
    closeTimeout: CLOSE_MS,
    // A mask of zeros, which `ws` then skips: it would copy every frame. Masks protect old proxies from scripts in
    // browsers; off loopback there is TLS.
    generateMask: () => {},
    ...(target.ca === undefined ? {} : { ca: target.ca }),
    ...(endpoint.kind === 'unix' ? { createConnection: () => connect(endpoint.path) } : {}),
  }
  try {
    const url = endpoint.kind === 'unix' ? 'ws://localhost/' : endpoint.url
    return new WebSocketSocket(new WebSocket(url, wire.protocol, options), events, target)
  } catch (error) {
    // A token that cannot stand in a header, for example.
    process.nextTick(() => events.closed(1006, String(error)))
    return { write: () => {}, buffered: () => 0, close: () => {}, destroy: () => {} }
  }
}

class WebSocketSocket implements Socket {
  readonly #ws: WebSocket
  #transport: NetSocket | undefined
  /** Why it will close, when that is known before it does. */
  #end: { readonly code: number; readonly reason: string; readonly flaw?: SocketFlaw | undefined } | undefined

  constructor(ws: WebSocket, events: SocketEvents, { url, background = false }: SocketTarget) {
    this.#ws = ws
    ws.on('upgrade', (response) => {
      this.#transport = response.socket
      if (background) response.socket.unref()
      response.socket.on('drain', () => events.drained())
    })
    ws.on('open', () => events.opened())
    ws.on('message', (data, isBinary) => {
      if (isBinary && Buffer.isBuffer(data)) events.frame(data)
      else this.#fail(1003, 'a message that is not binary')
    })
    ws.on('ping', () => events.ping())
    ws.on('unexpected-response', (_request, response) => {
      const isExpired = response.headers['www-authenticate']?.includes('TOKEN_EXPIRED') === true
      const said = `the upgrade was answered with ${response.statusCode}`
      this.#fail(response.statusCode ?? 1006, said, isExpired ? 'TOKEN_EXPIRED' : undefined)
    })
    ws.on('error', (error) => {
      const [flaw, remedy] = ('code' in error ? certificateFlaws.get(error.code) : undefined) ?? []
      // Node's list of names may be empty.
      const said = error.message.replace(/[:\s]+$/, '')
      const reason = flaw === undefined ? error.message : `the certificate of ${url}: ${said}: ${remedy}`
      this.#end ??= { code: 1006, reason, flaw }
    })
    ws.on('close', (code, reason) => {
      const end = this.#end ?? { code, reason: reason.toString(), flaw: undefined }
      events.closed(end.code, end.reason, end.flaw)
    })
  }

  write(frames: readonly Uint8Array[]): void {
    if (this.#ws.readyState !== WebSocket.OPEN) return
    this.#transport?.cork()
    for (const frame of frames) this.#ws.send(frame)
    this.#transport?.uncork()
  }

  buffered(): number {
    return this.#ws.bufferedAmount
  }

  close(code?: number, reason?: string): void {
    this.#ws.close(code, reason)
  }

  destroy(): void {
    this.#ws.terminate()
  }

  #fail(code: number, reason: string, flaw?: SocketFlaw): void {
    this.#end ??= { code, reason, flaw }
    this.#ws.terminate()
  }
}
