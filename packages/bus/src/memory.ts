/**
 * The bus in one process: all rules of PROTOCOL.md over Maps, so that it also reads as their model.
 *
 * `memory` (here) the bus and its controls · `memory-peer` one peer · `memory-broker` mailboxes, lives, presence ·
 * `memory-mailbox` one mailbox · `memory-operator` what people may do
 */
import { GreenroomError, limits, systemClock, systemRandom } from '@greenroom/proto'
import type { Bus, BusCapability, Clock, Operator, Peer, PeerOptions, Random } from '@greenroom/proto'
import { aborted } from './abort.ts'
import { checkNames, checkVisibility } from '@greenroom/proto'
import { MemoryBroker } from './memory-broker.ts'
import { MemoryOperator } from './memory-operator.ts'
import { MemoryPeer } from './memory-peer.ts'
import { nextTurn } from './platform/tick.ts'

/** How a bus in memory behaves. */
export interface MemoryBusOptions {
  /** = the system's */
  readonly clock?: Clock
  /** = the system's */
  readonly random?: Random
  /** How long a lost incarnation may come back before it is gone, in milliseconds. = 30,000 */
  readonly partitionGraceMs?: number
  /** How long ids, claims and revocations are remembered, in milliseconds. = 86,400,000 */
  readonly dedupeWindowMs?: number
  /** A message of a named mailbox that came back this often becomes a dead letter. = 16 */
  readonly maxAttempts?: number
  /** A mailbox that nobody had or sent to for this long is deleted, in milliseconds. = 604,800,000 (7 days) */
  readonly mailboxTtlMs?: number
  /** Bounds; beyond the first four `MAILBOX_FULL`. */
  readonly limits?: {
    /** Messages that a mailbox may hold. = 100,000 */
    readonly mailboxMessages?: number
    /** Payload bytes that a mailbox may hold. = 256 MiB */
    readonly mailboxBytes?: number
    /** Messages that all mailboxes may hold. = 1,000,000 */
    readonly totalMessages?: number
    /** Payload bytes that all mailboxes may hold. = 1 GiB */
    readonly totalBytes?: number
    /** Bytes of live messages on their way to one peer beyond which more are dropped. = 4 MiB */
    readonly liveBytes?: number
  }
  /** Runs a task later, never at once, in the order of the calls. By default in the next turn of the event loop. */
  readonly defer?: (task: () => void) => void
}

/** How much is in a {@link MemoryBus}, for assertions that nothing is left over. Closed mailboxes do not count. */
export interface MemoryBusStats {
  /** Mailboxes that are there. */
  readonly mailboxes: number
  /** Messages in them, held ones included. */
  readonly messages: number
  /** Messages that a consumer holds. */
  readonly held: number
  /** Peers that are attached or suspect. */
  readonly peers: number
  /** Subscriptions to presence. */
  readonly watches: number
}

/** A {@link Bus} in one process, with the controls that tests need. */
export interface MemoryBus extends Bus {
  /** Another bus onto the same mailboxes, as another client of one broker. Closing it closes only its own peers. */
  client(): Bus
  /**
   * Cuts the connection of the peer at this address: it is `lost` until {@link MemoryBus.restore}, and gone after
   * `partitionGraceMs`. Nothing happens when nobody is attached there.
   */
  cut(address: string): void
  /** Lets the peer that was cut attach again, as a reconnecting client would. */
  restore(address: string): void
  /** Looks into mailboxes, deletes them, and works on dead letters. */
  readonly operator: Operator
  /** What is in it now. */
  stats(): MemoryBusStats
}

/**
 * A bus in one process and in memory, with all rules of the durable lane except that nothing outlives the process.
 *
 * @param options - times and limits; a clock and a scheduler for tests that own time
 *
 * @example
 * ```ts
 * import { createMemoryBus } from '@greenroom/bus'
 *
 * await using bus = createMemoryBus()
 * await bus.attach({ address: 'b', incarnation: 'b1', lifetime: 'named', onMessage: (message) => void message.ack() })
 * const a = await bus.attach({ address: 'a', incarnation: 'a1', lifetime: 'named' })
 * console.log(await a.send({ to: 'b', id: '1', kind: 'note', payload: new Uint8Array() })) // { seq: 1, duplicate: false }
 * ```
 */
export function createMemoryBus(options: MemoryBusOptions = {}): MemoryBus {
  const broker = new MemoryBroker({
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    partitionGraceMs: options.partitionGraceMs ?? limits.partitionGraceMs,
    mailboxTtlMs: Math.max(options.mailboxTtlMs ?? weekMs, options.dedupeWindowMs ?? limits.dedupeWindowMs),
    liveBytes: options.limits?.liveBytes ?? 4 * 1024 * 1024,
    limits: {
      messages: options.limits?.mailboxMessages ?? 100_000,
      bytes: options.limits?.mailboxBytes ?? 256 * 1024 * 1024,
      totalMessages: options.limits?.totalMessages ?? 1_000_000,
      totalBytes: options.limits?.totalBytes ?? 1024 * 1024 * 1024,
      dedupeWindowMs: options.dedupeWindowMs ?? limits.dedupeWindowMs,
      maxAttempts: options.maxAttempts ?? 16,
    },
    defer: options.defer ?? nextTurn,
  })
  return new RootBus(broker)
}

const capabilities: ReadonlySet<BusCapability> = new Set<BusCapability>(['ttl', 'quotas', 'dead-letters', 'visibility'])
const weekMs = 7 * 24 * 60 * 60 * 1_000

class ClientBus implements Bus {
  readonly capabilities = capabilities
  readonly #root: RootBus
  readonly #peers = new Set<MemoryPeer>()
  #closed = false

  constructor(root: RootBus) {
    this.#root = root
  }

  async attach(options: PeerOptions): Promise<Peer> {
    if (this.#closed) throw new GreenroomError('CLOSED', 'the bus was closed')
    if (options.signal?.aborted === true) throw aborted(options.signal, 'attach')
    checkNames(options.address, undefined, options.incarnation)
    checkVisibility(options.visibilityMs)
    if (options.presence !== undefined) checkNames(options.presence.role)
    const peer = this.#root.open(options, (ended) => this.#peers.delete(ended))
    this.#peers.add(peer)
    return peer
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#root.forget(this)
    await Promise.all([...this.#peers].map((peer) => peer.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

class RootBus implements MemoryBus {
  readonly capabilities = capabilities
  readonly operator: Operator
  readonly #broker: MemoryBroker
  readonly #clients = new Set<ClientBus>()
  readonly #own: ClientBus
  /** The last peer at each address. */
  readonly #peers = new Map<string, MemoryPeer>()

  constructor(broker: MemoryBroker) {
    this.#broker = broker
    this.operator = new MemoryOperator(broker)
    this.#own = new ClientBus(this)
    this.#clients.add(this.#own)
  }

  client(): Bus {
    const client = new ClientBus(this)
    this.#clients.add(client)
    return client
  }

  /** A client that is closed: nothing is left of it. */
  forget(client: ClientBus): void {
    this.#clients.delete(client)
  }

  attach(options: PeerOptions): Promise<Peer> {
    return this.#own.attach(options)
  }

  /** Attaches a peer of one of the clients. */
  open(options: PeerOptions, onEnd: (peer: MemoryPeer) => void): MemoryPeer {
    const peer = new MemoryPeer(this.#broker, options, (ended) => {
      onEnd(ended)
      if (this.#peers.get(ended.address) === ended) this.#peers.delete(ended.address)
    })
    peer.connect()
    this.#peers.set(options.address, peer)
    return peer
  }

  cut(address: string): void {
    this.#peers.get(address)?.cut()
  }

  restore(address: string): void {
    this.#peers.get(address)?.reconnect()
  }

  stats(): MemoryBusStats {
    return this.#broker.stats()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.close()))
    this.#broker.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
