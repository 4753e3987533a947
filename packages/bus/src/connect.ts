/**
 * The client of a broker: every `attach` is one mailbox over one connection of its own.
 *
 * - `connect` (here) the bus and its options · `token` what it shows · `client` one peer · `connection` one socket of it
 * - `requests` what is unanswered · `holding` what is held · `watches` who is followed · `backoff`, `endpoint`
 * - `socket` the seam · `platform/socket` WebSocket behind it
 */
import { GreenroomError, limits, systemClock, systemRandom } from '@greenroom/proto'
import type {
  Bus,
  BusCapability,
  Clock,
  IssuedToken,
  Peer,
  PeerOptions,
  Random,
  TokenRequest,
  Waiting,
} from '@greenroom/proto'
import { aborted } from './abort.ts'
import { checkNames, checkVisibility } from '@greenroom/proto'
import { ClientPeer, type ClientOptions } from './client.ts'
import { isLocal, safeEndpoint, type Endpoint } from './endpoint.ts'
import { openWebSocket } from './platform/socket.ts'
import { endOfTick } from './platform/tick.ts'
import type { SocketFactory } from './socket.ts'
import { subjectOf, type TokenSource } from './token.ts'

/** How to reach a broker. */
export interface ConnectOptions {
  /** `ws://host:port`, `wss://host:port`, or `ws+unix:///path/of.sock`. */
  readonly url: string
  /** Shown at every upgrade. */
  readonly token: TokenSource
  /** PEM of the certificate authority to trust instead of the public ones. */
  readonly ca?: string
  /** Use `ws://` although the broker is on another machine: token and all else travel in the clear. = false */
  readonly insecure?: boolean
  /** Software and version, shown to operators of the broker. */
  readonly agent?: string
  /** Capabilities that the broker must offer: else `attach` fails with `MISSING_CAPABILITY`. = [] */
  readonly required?: readonly string[]
  /** The pause before connecting again: it doubles from `minMs` to `maxMs`, less up to half of it. */
  readonly backoff?: {
    /** The first pause, in milliseconds. = 50 */
    readonly minMs?: number
    /** The longest pause, in milliseconds. = 1,000 for a broker on this machine, 5,000 for any other */
    readonly maxMs?: number
  }
  /**
   * A connection that is not attached after this long is cut and tried again, in milliseconds. Who was attached before
   * waits no longer than a third of the broker's `partitionGraceMs` (but a second): a silent connection must not use up
   * the time in which it may come back. = 10,000
   */
  readonly helloMs?: number
  /** Once attached, a connection does not keep the program alive, nor does waiting for it to come back. = false */
  readonly background?: boolean
  /** = the system's */
  readonly clock?: Clock
  /** = the system's */
  readonly random?: Random
  /** Opens connections; by default over WebSocket. */
  readonly socket?: SocketFactory
  /** Calls back at the end of this tick: what is written in one tick leaves in one write. = `process.nextTick` */
  readonly defer?: (flush: () => void) => void
}

/** A {@link Bus} at a broker. `capabilities` is what the broker said last; it is empty before the first attach. */
export interface ConnectedBus extends Bus {
  /**
   * Shows a newer token on every connection that stands, so that the broker does not end them when the old one expires, and
   * uses it from then on. When one of them is refused it, connections to come show the old one.
   *
   * @param token - what connections show from now on
   * @throws GreenroomError `UNAUTHORIZED`, `TOKEN_EXPIRED`; `FORBIDDEN` when it grants less than a connection has; `CLOSED`
   */
  renew(token: TokenSource): Promise<void>
  /** Whose the present token is; undefined of a plain one. */
  subject(): Promise<string | undefined>
  /**
   * Asks the broker for a token that allows no more than the present one, over the connection of one of its peers.
   *
   * @param request - what it will allow, and for how long (10 minutes, at most as long as the present one)
   * @param options - `signal`: ends the waiting
   * @throws GreenroomError `FORBIDDEN`, `CLOSED` when nothing is attached, `BAD_FRAME`, `ABORTED`
   */
  issue(request: TokenRequest, options?: Waiting): Promise<IssuedToken>
}

/**
 * A bus at a broker, over WebSocket. Nothing is connected before the first `attach`; each `attach` is one connection,
 * which comes back by itself for ever (PROTOCOL.md §6). The first attach, too, waits until the broker is there or its
 * signal aborts (`ABORTED`, whose cause is what went wrong last, where something did).
 *
 * @param options - where the broker is, and the token for it
 * @throws GreenroomError `BAD_OPTIONS` when the url is none of these, `INSECURE_URL` when it is `ws://` to another machine
 *
 * @example
 * ```ts
 * import { connectBus } from '@greenroom/bus'
 *
 * await using bus = connectBus({ url: 'ws+unix:///run/greenroom.sock', token: 'secret' })
 * await using peer = await bus.attach({
 *   address: 'inbox',
 *   incarnation: crypto.randomUUID(),
 *   lifetime: 'named',
 *   onMessage: (message) => void message.ack(),
 * })
 * await peer.send({ to: 'outbox', id: 'm1', kind: 'note', payload: new TextEncoder().encode('hello') })
 * ```
 */
export function connectBus(options: ConnectOptions): ConnectedBus {
  return new SocketBus(options, safeEndpoint(options.url, options.insecure))
}

/** A broker on this machine has few clients, whose trying costs it little: each is back within a second of its start. */
function longestPauseMs(endpoint: Endpoint): number {
  return isLocal(endpoint) ? 1_000 : 5_000
}

class SocketBus implements ConnectedBus {
  readonly #client: ClientOptions
  readonly #peers = new Set<ClientPeer>()
  #token: TokenSource
  #capabilities: ReadonlySet<BusCapability> = new Set()
  #closed = false

  constructor(options: ConnectOptions, endpoint: Endpoint) {
    this.#token = options.token
    this.#client = {
      url: options.url,
      token: () => (typeof this.#token === 'string' ? this.#token : this.#token()),
      mayHaveNewer: (shown) => this.#token !== shown,
      ca: options.ca,
      agent: options.agent,
      required: options.required ?? [],
      backoff: {
        minMs: options.backoff?.minMs ?? 50,
        maxMs: options.backoff?.maxMs ?? longestPauseMs(endpoint),
      },
      helloMs: options.helloMs ?? limits.helloMs,
      background: options.background ?? false,
      clock: options.clock ?? systemClock,
      random: options.random ?? systemRandom,
      socket: options.socket ?? openWebSocket,
      defer: options.defer ?? endOfTick,
      welcomed: (welcome) => {
        this.#capabilities = new Set(welcome.capabilities.filter(isCapability))
      },
      ended: (peer) => this.#peers.delete(peer),
    }
  }

  get capabilities(): ReadonlySet<BusCapability> {
    return this.#capabilities
  }

  async attach(options: PeerOptions): Promise<Peer> {
    if (this.#closed) throw new GreenroomError('CLOSED', 'the bus was closed')
    if (options.signal?.aborted === true) throw aborted(options.signal, 'attach')
    checkNames(options.address, undefined, options.incarnation)
    checkVisibility(options.visibilityMs)
    if (options.presence !== undefined) checkNames(options.presence.role)
    const peer = new ClientPeer(this.#client, options)
    this.#peers.add(peer)
    await peer.ready()
    return peer
  }

  async renew(token: TokenSource): Promise<void> {
    if (this.#closed) throw new GreenroomError('CLOSED', 'the bus was closed')
    const present = typeof token === 'string' ? token : await token()
    await Promise.all([...this.#peers].map((peer) => peer.renew(present)))
    this.#token = token
  }

  async subject(): Promise<string | undefined> {
    return subjectOf(await this.#client.token())
  }

  async issue(request: TokenRequest, options?: Waiting): Promise<IssuedToken> {
    const [peer] = this.#peers
    if (peer === undefined) throw new GreenroomError('CLOSED', 'a token is asked for over a peer: there is none')
    return peer.issue(request, options)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#peers].map((peer) => peer.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

const capabilities: ReadonlySet<string> = new Set<BusCapability>([
  'durable',
  'ttl',
  'quotas',
  'dead-letters',
  'visibility',
  'detached',
])

function isCapability(name: string): name is BusCapability {
  return capabilities.has(name)
}
