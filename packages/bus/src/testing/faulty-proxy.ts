/**
 * A proxy in front of a broker that makes the faults which a network makes under TCP, by itself or when it is told to.
 *
 * Each connection gets a number of bytes after which it fails, in one of two ways: it is cut at once; or the answers are
 * swallowed while what the client sends still goes through, and then it is cut. The second is how a client learns
 * nothing of what has happened, and must say it again. Before that, chunks are delayed, each direction in its order.
 */
import { GreenroomError, systemClock, type Clock, type Timer } from '@greenroom/proto'
import { parseEndpoint } from '../endpoint.ts'
import { startProxy, type Proxy, type ProxyPair, type ProxyPolicy, type ProxyTarget } from '../platform/proxy.ts'

/** How a faulty proxy behaves. */
export interface FaultyProxyOptions {
  /** The broker's url: `ws://host:port` or `ws+unix:///path`. */
  readonly target: string
  /** Where the faults come from: the same seed decides the same. */
  readonly seed: number
  /** A connection fails after this many bytes, both directions together, give or take a half. = 65,536 */
  readonly failBytes?: number
  /** Each chunk waits up to this long, in milliseconds. = 2 */
  readonly delayMs?: number
  /** How long answers are swallowed before such a connection is cut, in milliseconds. = 20 */
  readonly swallowMs?: number
  /** = the system's */
  readonly clock?: Clock
}

/** A proxy in front of a broker that cuts, delays, and swallows answers. */
export interface FaultyProxy extends AsyncDisposable {
  /** What clients connect to instead of the broker. */
  readonly url: string
  /** How many connections failed so far. */
  readonly faults: number
  /**
   * Cuts connections now.
   *
   * @param share - each of them with this probability. = 1
   * @returns how many
   */
  cut(share?: number): number
  /**
   * Makes connections half-open: nothing passes any more, and neither side is told, until one of them gives up.
   *
   * @param share - each of them with this probability. = 1
   * @returns how many
   */
  hang(share?: number): number
  /** Makes no faults any more. */
  calm(): void
  /** Idempotent. Also the async disposer. */
  close(): Promise<void>
}

/**
 * Puts a faulty proxy in front of a broker.
 *
 * @param options - the broker's url and the seed
 * @throws GreenroomError `BAD_OPTIONS` when the target is neither `ws://` nor `ws+unix://`
 *
 * @example
 * ```ts
 * import { connectBus } from '@greenroom/bus'
 * import { createFaultyProxy } from '@greenroom/bus/testing'
 *
 * await using proxy = await createFaultyProxy({ target: 'ws+unix:///run/greenroom.sock', seed: 1 })
 * await using bus = connectBus({ url: proxy.url, token: 'secret' })
 * ```
 */
export async function createFaultyProxy(options: FaultyProxyOptions): Promise<FaultyProxy> {
  const settings: Settings = {
    failBytes: options.failBytes ?? 65_536,
    delayMs: options.delayMs ?? 2,
    swallowMs: options.swallowMs ?? 20,
    clock: options.clock ?? systemClock,
    chance: chanceOf(options.seed),
    calm: false,
    faults: 0,
  }
  const pairs = new Set<FaultyPair>()
  const proxy: Proxy = await startProxy(targetOf(options.target), (pair) => new FaultyPair(pair, settings, pairs))
  const some = (share: number): FaultyPair[] => [...pairs].filter(() => settings.chance() < share)
  return {
    url: 'path' in proxy.address ? `ws+unix://${proxy.address.path}` : `ws://127.0.0.1:${proxy.address.port}`,
    get faults() {
      return settings.faults
    },
    cut: (share = 1) => some(share).map((pair) => pair.cut()).length,
    hang: (share = 1) => some(share).map((pair) => pair.hang()).length,
    calm: () => {
      settings.calm = true
    },
    close: () => proxy.close(),
    [Symbol.asyncDispose]: () => proxy.close(),
  }
}

interface Settings {
  readonly failBytes: number
  readonly delayMs: number
  readonly swallowMs: number
  readonly clock: Clock
  readonly chance: () => number
  calm: boolean
  faults: number
}

class FaultyPair implements ProxyPolicy {
  readonly #pair: ProxyPair
  readonly #settings: Settings
  readonly #timers = new Set<Timer>()
  /** What waits, by direction. Each chunk has its timer, but whichever fires releases the oldest: order stays. */
  readonly #waiting: Record<'toServer' | 'toClient', Uint8Array[]> = { toServer: [], toClient: [] }
  readonly #pairs: Set<FaultyPair>
  #bytesLeft: number
  #swallowing = false
  #hanging = false

  constructor(pair: ProxyPair, settings: Settings, pairs: Set<FaultyPair>) {
    this.#pair = pair
    this.#pairs = pairs.add(this)
    this.#settings = settings
    this.#bytesLeft = settings.failBytes * (0.5 + settings.chance())
  }

  fromClient(bytes: Uint8Array): void {
    this.#pass('toServer', bytes)
  }

  fromServer(bytes: Uint8Array): void {
    if (!this.#swallowing) this.#pass('toClient', bytes)
  }

  closed(): void {
    this.#pairs.delete(this)
    for (const timer of this.#timers) timer.cancel()
  }

  cut(): void {
    this.#pair.cut()
  }

  hang(): void {
    this.#hanging = true
  }

  #pass(way: 'toServer' | 'toClient', bytes: Uint8Array): void {
    if (this.#hanging) return
    this.#bytesLeft -= bytes.length
    if (this.#bytesLeft < 0 && !this.#swallowing && !this.#settings.calm && this.#fail()) return
    const waiting = this.#waiting[way]
    waiting.push(bytes)
    this.#later(this.#settings.calm ? 0 : this.#settings.chance() * this.#settings.delayMs, () => {
      const next = waiting.shift()
      if (next !== undefined && !this.#hanging) this.#pair[way](next)
    })
  }

  /** @returns whether it is cut already */
  #fail(): boolean {
    this.#settings.faults += 1
    if (this.#settings.chance() < 0.5) {
      this.#pair.cut()
      return true
    }
    this.#swallowing = true
    this.#later(this.#settings.swallowMs, () => this.#pair.cut())
    return false
  }

  #later(ms: number, task: () => void): void {
    const timer = this.#settings.clock.timer(ms, () => {
      this.#timers.delete(timer)
      task()
    })
    this.#timers.add(timer)
  }
}

function targetOf(url: string): ProxyTarget {
  const endpoint = parseEndpoint(url)
  if (endpoint.kind === 'unix') return { path: endpoint.path }
  const { protocol, hostname, port } = new URL(endpoint.url)
  if (protocol !== 'ws:')
    throw new GreenroomError('BAD_OPTIONS', `target: "${url}" is encrypted: what clients check would not hold`)
  return { host: hostname, port: Number(port === '' ? 80 : port) }
}

/** Numbers in [0, 1) out of a seed (mulberry32). */
function chanceOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
