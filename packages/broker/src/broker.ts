/** The broker: store, core, in-process bus and, when it listens, server, put together and taken apart again. */
import {
  GreenroomError,
  type Bus,
  type BusCapability,
  type Clock,
  type IssuedToken,
  type Operator,
  type TokenRequest,
} from '@greenroom/proto'
import { createMemoryStore, openStore, type Store } from '@greenroom/store'
import { client } from './access.ts'
import { Core } from './core.ts'
import type { Counters } from './counters.ts'
import { InprocessBus } from './inprocess.ts'
import { Mint } from './mint.ts'
import {
  checkTokenKeys,
  resolveOptions,
  type BrokerLogger,
  type BrokerOptions,
  type Certificate,
  type ResolvedOptions,
} from './options.ts'
import { backUp } from './platform/backup.ts'
import { atEndOfTick, inNextTurn } from './platform/defer.ts'
import { ownKey } from './platform/own-key.ts'
import { startServer, tokenCheck, type Server } from './platform/server.ts'
import { brokerSchema } from './records.ts'
import { fromStore } from './store-error.ts'

const drainGraceMs = 5_000

/** Counters for people and metrics; those of {@link Counters} count since the start. */
export interface BrokerStats extends Readonly<Counters> {
  /** Open connections. */
  readonly connections: number
  /** Mailboxes that somebody has or something is in. */
  readonly mailboxes: number
  /** Messages that wait or are held. */
  readonly messages: number
  /** Their payload bytes, those being committed included. */
  readonly bytes: number
  /** Incarnations that are connected. */
  readonly attached: number
  /** Incarnations whose connection is lost. */
  readonly suspect: number
  /** Commits that failed or whose fate is unknown. */
  readonly failedCommits: number
}

/** A running broker. */
export interface Broker extends AsyncDisposable {
  /** The bus inside this process: no socket, no encoding. */
  readonly bus: Bus
  /** Looks into mailboxes, deletes them, and works on dead letters. */
  readonly operator: Operator
  /** Where clients connect to: `ws://…`, `wss://…`, or `ws+unix://…`; undefined when it does not listen. */
  readonly url: string | undefined
  /** How things stand now. */
  stats(): BrokerStats
  /**
   * Makes a token, with any grants but those of operators: for whoever has this object.
   *
   * @param request - what it will allow, and for how long (10 minutes)
   * @throws GreenroomError `FORBIDDEN` for operators' grants, `BAD_OPTIONS`, `FRAME_TOO_LARGE`
   */
  issue(request: TokenRequest): Promise<IssuedToken>
  /**
   * Has other keys from now on. The first one signs, all of them verify: to rotate, put a new one before the old one, and
   * take that out when its last token has expired. Connections whose token was signed by a key that is no longer there end
   * with `UNAUTHORIZED`.
   *
   * @param keys - as {@link BrokerOptions.tokenKeys}
   * @throws GreenroomError `BAD_OPTIONS`
   */
  useTokenKeys(keys: readonly string[]): void
  /**
   * Serves another certificate from now on; connections that stand are left alone.
   *
   * @param certificate - the certificate and its key
   * @throws GreenroomError `BAD_OPTIONS` when it is none, or the broker does not serve `wss`; the old one stays
   */
  useCertificate(certificate: Certificate): void
  /**
   * Takes no new connections, answers what clients have asked for, tells them `SHUTTING_DOWN`, then closes.
   *
   * @param options - `graceMs`: how long that may take. = 5,000
   */
  drain(options?: { readonly graceMs?: number }): Promise<void>
  /** Closes now. Idempotent. What was receipted is on disk. */
  close(): Promise<void>
  /** Resolves when it has closed. Never rejects. */
  readonly closed: Promise<void>
  /** The same as {@link Broker.drain}. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What a running broker is made of. */
interface BrokerParts {
  readonly core: Core
  readonly bus: InprocessBus
  readonly clock: Clock
  readonly mint: Mint
  readonly server: Server | undefined
  /** Closes the store if it is the broker's own. */
  readonly closeStore: () => Promise<void>
}

class RunningBroker implements Broker {
  readonly bus: Bus
  readonly operator: Operator
  readonly url: string | undefined
  readonly closed: Promise<void>
  readonly #parts: BrokerParts
  readonly #end = Promise.withResolvers<void>()
  #draining: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(parts: BrokerParts) {
    this.#parts = parts
    this.bus = parts.bus
    this.operator = parts.core.operator
    this.url = parts.server?.url
    this.closed = this.#end.promise
  }

  get isClosing(): boolean {
    return this.#closing !== undefined
  }

  stats(): BrokerStats {
    const { core, server } = this.#parts
    const owners = [...core.registry].map(({ owner }) => owner).filter((owner) => owner !== undefined)
    const attached = owners.filter(({ consumer }) => consumer !== undefined).length
    const { messages, bytes } = core.registry.volume
    return {
      ...core.counters,
      connections: server?.connections ?? 0,
      mailboxes: core.registry.size,
      messages,
      bytes,
      attached,
      suspect: owners.length - attached,
      failedCommits: core.failedCommits,
    }
  }

  issue(request: TokenRequest): Promise<IssuedToken> {
    return this.#parts.mint.issue(client, request)
  }

  useTokenKeys(keys: readonly string[]): void {
    checkTokenKeys(keys)
    this.#parts.mint.useKeys(keys)
    this.#parts.server?.checkTokens()
  }

  useCertificate(certificate: Certificate): void {
    const { server } = this.#parts
    if (server === undefined) throw new GreenroomError('BAD_OPTIONS', 'this broker does not listen')
    server.useCertificate(certificate)
  }

  drain({ graceMs = drainGraceMs }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#draining ??= this.#drain(graceMs)
    return this.#draining
  }

  async #drain(graceMs: number): Promise<void> {
    const { server, bus, clock } = this.#parts
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = clock.timer(graceMs, resolve)
    if (this.#closing === undefined) await Promise.race([late, Promise.all([server?.drain(), bus.settled()])])
    timer.cancel()
    await this.close()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { core, bus, server, closeStore } = this.#parts
    try {
      await server?.close()
      await bus.close()
      core.stop()
      await closeStore()
    } finally {
      this.#end.resolve()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }
}

async function storeOf({ dir, store, thread, synchronous }: ResolvedOptions): Promise<Store> {
  if (store !== undefined) return store
  if (dir === null) return createMemoryStore({ schema: brokerSchema, defer: inNextTurn })
  return openStore({ dir, schema: brokerSchema, thread, synchronous })
}

/** A broker whose store is no more ends too: its clients find the next one. */
function closeWith(store: Store, broker: RunningBroker, logger: BrokerLogger): void {
  const end = (error: unknown): void => {
    if (broker.isClosing) return
    logger('error', 'store ended', { error: String(error) })
    broker.close().catch((cause: unknown) => logger('warn', 'not closed in order', { error: String(cause) }))
  }
  store.closed.then(() => end('it was closed'), end)
}

/** What each token gives; one that was not chosen nobody knows. */
function mintOf({ token, operatorToken, tokenKeys, dir, listen, random, clock }: ResolvedOptions): Mint {
  const fresh = (): string => random.id() + random.id()
  return new Mint({
    clock,
    isClient: tokenCheck(token ?? random.id()),
    isOperator: tokenCheck(operatorToken ?? random.id()),
    // One that nobody connects to leaves no key behind.
    keys: tokenKeys ?? [dir === null || listen === undefined ? fresh() : ownKey(dir, fresh)],
  })
}

async function assemble(options: ResolvedOptions, store: Store, closeStore: () => Promise<void>): Promise<Broker> {
  const { clock, limits, dedupeWindowMs, listen, random } = options
  const core = await Core.open({ ...options, store, backUp })
  const own: readonly BusCapability[] = [
    'ttl',
    'quotas',
    'dead-letters',
    'visibility',
    ...(options.dir === null && options.store === undefined ? [] : ['durable' as const]),
  ]
  const bus = new InprocessBus({
    core,
    clock,
    random,
    capabilities: new Set(own),
    dedupeWindowMs,
    liveBytes: limits.liveBytes,
    defer: atEndOfTick,
  })
  // Behind a socket the broker outlives its clients: runs can be detached from them.
  const capabilities = [...own, 'detached']
  try {
    const mint = mintOf(options)
    const host = { core, options, brokerId: random.id(), capabilities, mint }
    const server = listen && (await startServer(listen, host))
    const broker = new RunningBroker({ core, bus, clock, mint, server, closeStore })
    closeWith(store, broker, options.logger)
    return broker
  } catch (error) {
    core.stop()
    throw error
  }
}

/**
 * Starts a broker.
 *
 * @param options - all optional; without any: in memory, in-process only
 * @throws GreenroomError `BAD_OPTIONS`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`, `STORE_DAMAGED`, `CONNECT_FAILED` when it
 * cannot listen there
 *
 * @example
 * ```ts
 * import { createBroker } from '@greenroom/broker'
 *
 * await using broker = await createBroker({ dir: null })
 * await using peer = await broker.bus.attach({ address: 'runner.1', incarnation: 'i1', lifetime: 'named' })
 * await peer.send({ to: 'worker.1', id: 'm1', kind: 'note', payload: new TextEncoder().encode('hello') })
 * ```
 */
export async function createBroker(options: BrokerOptions = {}): Promise<Broker> {
  const resolved = resolveOptions(options)
  try {
    return await start(resolved, await storeOf(resolved))
  } catch (error) {
    throw fromStore(error)
  }
}

async function start(options: ResolvedOptions, store: Store): Promise<Broker> {
  const closeStore = async (): Promise<void> => {
    if (options.store === undefined) await store.close()
  }
  try {
    return await assemble(options, store, closeStore)
  } catch (error) {
    await closeStore()
    throw error
  }
}
