/**
 * The bus inside the broker's process: the port right over the core, no socket and no encoding.
 *
 * - *I1* Handlers are never called while a method of the peer or of the core runs, but at the end of the tick, in order.
 * - *I2* A commit of unknown fate is tried again, with the same ids, until it is known or half of the dedupe window has
 *   passed (`OUTCOME_UNKNOWN`): callers meet the same errors as over a socket.
 */
import {
  GreenroomError,
  type Bus,
  type BusCapability,
  type Clock,
  type Peer,
  type PeerOptions,
  type Random,
} from '@greenroom/proto'
import { checkNames, checkVisibility } from '@greenroom/proto'
import type { Core } from './core.ts'
import { InprocessPeer } from './inprocess-peer.ts'

/** What the bus needs. */
export interface InprocessParts {
  readonly core: Core
  readonly clock: Clock
  readonly random: Random
  readonly capabilities: ReadonlySet<BusCapability>
  readonly dedupeWindowMs: number
  readonly liveBytes: number
  /** Calls back at the end of this tick. */
  readonly defer: (task: () => void) => void
}

/** See I1 and I2. */
export class InprocessBus implements Bus {
  readonly capabilities: ReadonlySet<BusCapability>
  readonly #parts: InprocessParts
  readonly #peers = new Set<InprocessPeer>()
  #isClosed = false

  constructor(parts: InprocessParts) {
    this.#parts = parts
    this.capabilities = parts.capabilities
  }

  async attach(options: PeerOptions): Promise<Peer> {
    const { address, incarnation, presence, visibilityMs, signal } = options
    if (this.#isClosed) throw new GreenroomError('CLOSED')
    if (signal?.aborted === true) throw new GreenroomError('ABORTED', undefined, { cause: signal.reason })
    checkNames(address, undefined, incarnation)
    checkVisibility(visibilityMs)
    if (presence !== undefined) checkNames(presence.role)
    const peer = new InprocessPeer(this.#parts, options)
    this.#peers.add(peer)
    void peer.closed.then(() => this.#peers.delete(peer))
    await peer.open(signal)
    return peer
  }

  /** Resolves when every call that was made so far has ended. */
  async settled(): Promise<void> {
    await Promise.all([...this.#peers].map((peer) => peer.settled()))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#peers].map((peer) => peer.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
