/**
 * One mailbox on a bus in memory. Calls take effect at once; what handlers are told comes later, in order, one at a time.
 * While the connection is cut, calls wait in a queue, as a client's do (P6).
 */
import { GreenroomError } from '@greenroom/proto'
import type {
  FenceTarget,
  Delivery,
  Outgoing,
  Peer,
  PeerEnd,
  PeerOptions,
  PeerState,
  Presence,
  PresenceChange,
  Receipt,
  Revocation,
  Waiting,
} from '@greenroom/proto'
import { aborted, onAbort } from './abort.ts'
import { checkNames, checkPayload } from '@greenroom/proto'
import type { MemoryBroker, MemoryConsumer } from './memory-broker.ts'
import type { Stored } from './memory-mailbox.ts'
import { Watches } from './watches.ts'

interface Call {
  readonly run: () => void
  readonly reject: (error: GreenroomError) => void
}

/** See the head of this file. */
export class MemoryPeer implements Peer, MemoryConsumer {
  readonly options: PeerOptions
  readonly address: string
  readonly incarnation: string
  readonly closed: Promise<PeerEnd>
  readonly #broker: MemoryBroker
  readonly #onEnd: (peer: MemoryPeer) => void
  readonly #end = Promise.withResolvers<PeerEnd>()
  readonly #waiting = new Set<Call>()
  readonly #watches: Watches
  #presence: Presence | undefined
  #state: PeerState = 'lost'
  #ended: GreenroomError | undefined
  /** Counts connections: what an earlier one was to hand over is dropped. */
  #connection = 0
  #draining: Promise<void> | undefined
  #liveBytes = 0

  constructor(broker: MemoryBroker, options: PeerOptions, onEnd: (peer: MemoryPeer) => void) {
    this.#broker = broker
    this.#onEnd = onEnd
    this.options = options
    this.address = options.address
    this.incarnation = options.incarnation
    this.closed = this.#end.promise
    this.#presence = options.presence
    this.#watches = new Watches({
      subscribe: (role) => {
        if (this.#state === 'attached') this.#watches.snapshot(role, broker.watch(this, role))
      },
      unsubscribe: (role) => broker.unwatch(this, role),
      defer: broker.options.defer,
      guard: (call) => this.#guard(call),
    })
  }

  get state(): PeerState {
    return this.#state
  }

  // ─── connections ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Attaches for the first time, or again after {@link MemoryPeer.cut}. */
  connect(): void {
    if (this.#state !== 'lost') return
    const again = this.#connection > 0
    this.#connection += 1
    this.#state = 'attached'
    try {
      this.#broker.attach(this, this.#presence, again)
    } catch (error) {
      this.#state = 'lost'
      throw error
    }
    for (const call of this.#waiting) call.run()
    this.#waiting.clear()
    if (!again) return
    this.#watches.resubscribe()
    this.#tellState()
  }

  /** As {@link MemoryPeer.connect} for a peer that was attached: a refusal is its end. */
  reconnect(): void {
    try {
      this.connect()
    } catch (error) {
      if (error instanceof GreenroomError && (error.code === 'FENCED' || error.code === 'REPLACED'))
        this.end(error.code, error.message)
      else throw error
    }
  }

  /** Loses the connection. */
  cut(): void {
    if (this.#state !== 'attached') return
    this.#state = 'lost'
    this.#broker.lost(this)
    this.#tellState()
  }

  // ─── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async send(message: Outgoing, options?: Waiting): Promise<Receipt> {
    checkNames(message.to, message.kind, message.id)
    checkPayload(message.payload)
    const copy = { ...message, payload: message.payload.slice() }
    return this.#call(() => this.#broker.send(this, copy), options?.signal)
  }

  publish({
    to,
    kind,
    payload,
  }: {
    readonly to: string
    readonly kind: string
    readonly payload: Uint8Array
  }): boolean {
    checkNames(to, kind)
    checkPayload(payload)
    if (this.#state !== 'attached') return false
    this.#broker.live(this, to, { kind, payload: payload.slice() })
    return true
  }

  async revoke({ to, id }: { readonly to: string; readonly id: string }, options?: Waiting): Promise<Revocation> {
    checkNames(to, undefined, id)
    return this.#call(() => this.#broker.revoke(to, id), options?.signal)
  }

  announce(presence: Presence): void {
    checkNames(presence.role)
    this.#presence = presence
    if (this.#state === 'attached') this.#broker.announce(this, presence)
  }

  watch(role: string, listener: (change: PresenceChange) => void): () => void {
    checkNames(role)
    return this.#ended === undefined ? this.#watches.watch(role, listener) : () => {}
  }

  async fence(target: FenceTarget, options?: Waiting): Promise<void> {
    checkNames(target.address, undefined, target.incarnation)
    await this.#call(() => this.#broker.fence(target), options?.signal)
  }

  drain(): Promise<void> {
    this.#draining ??= this.#call(() => this.#broker.leave(this))
      .catch(() => {})
      .then(() => this.end('CLOSED', 'the peer was drained'))
    return this.#draining
  }

  async close(): Promise<void> {
    if (this.#state === 'attached') this.#broker.lost(this)
    this.end('CLOSED', 'the peer was closed')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  // ─── the broker's side ─────────────────────────────────────────────────────────────────────────────────────────

  deliver(stored: Stored): void {
    const { attempt } = stored
    this.#later(() => {
      // It may have timed out on its way: then it comes once more.
      if (this.#draining !== undefined || stored.attempt !== attempt) return
      stored.seen = true
      this.options.onMessage?.(this.#deliveryOf(stored))
    })
  }

  live(message: { readonly kind: string; readonly payload: Uint8Array }, from: MemoryConsumer): void {
    const { kind, payload } = message
    if (this.#liveBytes + payload.length > this.#broker.options.liveBytes) return
    this.#later(
      () => this.options.onLive?.({ kind, from: from.address, fromIncarnation: from.incarnation, payload }),
      payload.length,
    )
  }

  presence(change: PresenceChange): void {
    this.#later(() => this.#watches.change(change))
  }

  gone(): void {
    if (this.#draining !== undefined) this.end('CLOSED', 'drained without a connection')
  }

  end(code: PeerEnd['code'], message: string): void {
    if (this.#ended !== undefined) return
    this.#ended = new GreenroomError(code, message)
    this.#state = 'closed'
    this.#watches.end()
    for (const call of this.#waiting) call.reject(this.#ended)
    this.#waiting.clear()
    this.#end.resolve({ code, message })
    this.#onEnd(this)
    this.#tellState()
  }

  #deliveryOf(stored: Stored): Delivery {
    const { message, seq, attempt, sender, at } = stored
    const { id } = message
    /** Nobody needs to wait for it. */
    const call = (run: () => void): Promise<void> => {
      const done = this.#call(run)
      done.catch(() => {})
      return done
    }
    let settled: Promise<void> | undefined
    return {
      id,
      kind: message.kind,
      seq,
      attempt,
      from: sender.address,
      fromIncarnation: sender.incarnation,
      at,
      payload: message.payload,
      ack: () => (settled ??= call(() => this.#broker.ack(this, { id, attempt }))),
      nack: ({ delayMs = 0 } = {}) => (settled ??= call(() => this.#broker.nack(this, { id, attempt }, delayMs))),
      claim: () => this.#call(() => this.#broker.claim(this, { id, attempt })),
      touch: () => call(() => this.#broker.touch(this, { id, attempt })),
    }
  }

  #call<T>(run: () => T, signal?: AbortSignal): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(new GreenroomError(this.#ended.code, this.#ended.message))
    if (signal?.aborted === true) return Promise.reject(aborted(signal, 'the call'))
    if (this.#state === 'attached') return new Promise((resolve) => resolve(run()))
    return new Promise((resolve, reject) => {
      const forget = onAbort(signal, () => {
        this.#waiting.delete(call)
        if (signal !== undefined) reject(aborted(signal, 'the call'))
      })
      const call: Call = {
        run: () => {
          forget()
          try {
            resolve(run())
          } catch (error) {
            reject(error)
          }
        },
        reject: (error) => {
          forget()
          reject(error)
        },
      }
      this.#waiting.add(call)
    })
  }

  /** Tells a handler something, unless the connection over which it came is lost by then. */
  #later(task: () => void, liveBytes = 0): void {
    const connection = this.#connection
    this.#liveBytes += liveBytes
    this.#broker.options.defer(() => {
      this.#liveBytes -= liveBytes
      if (this.#state === 'attached' && this.#connection === connection) this.#guard(task)
    })
  }

  #tellState(): void {
    const state = this.#state
    if (this.#connection > 0) this.#broker.options.defer(() => this.#guard(() => this.options.onState?.(state)))
  }

  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.options.onError?.(error)
    }
  }
}
