/** One peer of the in-process bus; its rules are I1 and I2. */
import {
  type FenceTarget,
  codeOf,
  GreenroomError,
  type Delivery,
  type Outgoing,
  type Peer,
  type PeerEnd,
  type PeerOptions,
  type PeerState,
  type Presence,
  type PresenceChange,
  type Receipt,
  type Revocation,
  type Waiting,
} from '@greenroom/proto'
import { checkNames, checkPayload } from '@greenroom/proto'
import type { Consumer, ConsumerEnd, Delivered, LiveDelivered } from './consumer.ts'
import type { Attachment } from './core.ts'
import type { InprocessParts } from './inprocess.ts'
import { Patience } from './patience.ts'

const defaultCredit = 64

/** A consumer and its port. */
export class InprocessPeer implements Peer, Consumer {
  readonly address: string
  readonly incarnation: string
  readonly closed: Promise<PeerEnd>
  readonly #parts: InprocessParts
  readonly #options: PeerOptions
  readonly #patience: Patience
  readonly #end = Promise.withResolvers<PeerEnd>()
  readonly #watches = new Set<() => void>()
  #attachment: Attachment | undefined
  #isClosed = false
  #isLeaving: Promise<void> | undefined
  #liveBytes = 0

  constructor(parts: InprocessParts, options: PeerOptions) {
    this.#parts = parts
    this.#options = options
    this.#patience = new Patience(parts)
    this.address = options.address
    this.incarnation = options.incarnation
    this.closed = this.#end.promise
  }

  /** Attaches; to be called once. */
  async open(signal: AbortSignal | undefined): Promise<void> {
    const {
      address,
      incarnation,
      lifetime,
      presence,
      credit = defaultCredit,
      controlCredit = defaultCredit,
      visibilityMs,
    } = this.#options
    const request = {
      address,
      incarnation,
      lifetime,
      credit,
      controlCredit,
      ...(visibilityMs !== undefined && { visibilityMs }),
      ...(presence !== undefined && { presence }),
    }
    try {
      const attaching = async (): Promise<void> => {
        const attachment = await this.#parts.core.attach(this, request)
        if (this.#isClosed) return attachment.lost()
        this.#attachment = attachment
        this.#later(() => attachment.wake())
      }
      await this.#patience.until(attaching, signal)
    } catch (error) {
      this.#close({ code: 'CLOSED', message: 'it was never attached' })
      throw error
    }
  }

  get state(): PeerState {
    if (this.#isClosed) return 'closed'
    return this.#attachment === undefined ? 'lost' : 'attached'
  }

  async send(message: Outgoing, { signal }: Waiting = {}): Promise<Receipt> {
    checkNames(message.to, message.kind, message.id)
    checkPayload(message.payload)
    return this.#patience.until(async () => this.#parts.core.send(this.#attached().sender, message), signal)
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
    if (this.#attachment === undefined || this.#isClosed) return false
    this.#parts.core.live({ to, kind, from: this.address, fromIncarnation: this.incarnation, payload })
    return true
  }

  async revoke(
    { to, id }: { readonly to: string; readonly id: string },
    { signal }: Waiting = {},
  ): Promise<Revocation> {
    checkNames(to, undefined, id)
    return this.#patience.until(() => this.#parts.core.revoke(to, id), signal)
  }

  announce(presence: Presence): void {
    checkNames(presence.role)
    this.#attachment?.announce(presence)
  }

  watch(role: string, listener: (change: PresenceChange) => void): () => void {
    checkNames(role)
    if (this.#isClosed) return () => {}
    let isOver = false
    const tell = (change: PresenceChange): void =>
      this.#later(() => {
        if (!isOver) listener(change)
      })
    const { members, stop } = this.#parts.core.watch(role, tell)
    for (const member of members) tell(member)
    const end = (): void => {
      isOver = true
      this.#watches.delete(end)
      stop()
    }
    this.#watches.add(end)
    return end
  }

  async fence(target: FenceTarget, { signal }: Waiting = {}): Promise<void> {
    checkNames(target.address, undefined, target.incarnation)
    return this.#patience.until(() => this.#parts.core.fence(target), signal)
  }

  drain(): Promise<void> {
    this.#isLeaving ??= this.#leave()
    return this.#isLeaving
  }

  async #leave(): Promise<void> {
    if (this.#isClosed) return
    await this.#patience.settled()
    const attachment = this.#attachment
    if (attachment !== undefined && !this.#isClosed)
      await this.#patience.until(() => attachment.leave(), undefined).catch(ignoreClosed)
    this.#close({ code: 'CLOSED', message: 'the peer left' })
  }

  /** Resolves when every call that was made so far has ended. */
  settled(): Promise<void> {
    return this.#patience.settled()
  }

  async close(): Promise<void> {
    this.#attachment?.lost()
    this.#close({ code: 'CLOSED', message: 'the peer was closed' })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  // ─── Consumer ────────────────────────────────────────────────────────────────────────────────────────────────

  ready(): boolean {
    return this.#attachment !== undefined && !this.#isClosed
  }

  deliver(message: Delivered): void {
    this.#later(() => this.#options.onMessage?.(this.#delivery(message)))
  }

  live({ kind, from, fromIncarnation, payload }: LiveDelivered): boolean {
    const { onLive } = this.#options
    if (!this.ready() || onLive === undefined || this.#liveBytes + payload.length > this.#parts.liveBytes) return false
    this.#liveBytes += payload.length
    // A copy: it is the sender's, who may write to it again.
    const message = { kind, from, fromIncarnation, payload: new Uint8Array(payload) }
    this.#later(() => {
      this.#liveBytes -= payload.length
      onLive(message)
    })
    return true
  }

  end(code: ConsumerEnd, message: string): void {
    if (this.#isLeaving === undefined) this.#close({ code, message })
  }

  #delivery({ id, kind, seq, attempt, from, fromIncarnation, at, payload }: Delivered): Delivery {
    const call = (work: (attachment: Attachment) => Promise<void>): Promise<void> => {
      const done = this.#patience.until(() => work(this.#attached()), undefined)
      // Nobody has to wait for it.
      done.catch(() => {})
      return done
    }
    /** Its ack or nack: the first one stands, for by then the message may be delivered anew. */
    let settled: Promise<void> | undefined
    return {
      id,
      kind,
      seq,
      attempt,
      from,
      fromIncarnation,
      at,
      payload,
      ack: () => (settled ??= call((attachment) => attachment.ack([id], [attempt]))),
      claim: () => call((attachment) => attachment.claim(id, attempt)),
      touch: () => call((attachment) => attachment.touch(id, attempt)),
      nack: ({ delayMs = 0 } = {}) => (settled ??= call((attachment) => attachment.nack(id, delayMs, attempt))),
    }
  }

  #attached(): Attachment {
    if (this.#attachment === undefined || this.#isClosed) throw new GreenroomError('CLOSED')
    return this.#attachment
  }

  /** Calls a handler at the end of the tick; not when the peer is closed by then. */
  #later(task: () => void): void {
    this.#parts.defer(() => {
      if (this.#isClosed) return
      try {
        task()
      } catch (error) {
        this.#options.onError?.(error)
      }
    })
  }

  #close(end: PeerEnd): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const stop of this.#watches) stop()
    this.#patience.give(new GreenroomError(end.code, end.message))
    this.#end.resolve(end)
    const { onState, onError } = this.#options
    this.#parts.defer(() => {
      try {
        onState?.('closed')
      } catch (error) {
        onError?.(error)
      }
    })
  }
}

function ignoreClosed(error: unknown): void {
  if (codeOf(error) !== 'CLOSED') throw error
}
