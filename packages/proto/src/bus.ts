/**
 * The bus port: what carries messages between mailboxes.
 *
 * Implementations: in memory and over WebSocket (`@greenroom/bus`), inside the broker's process (`@greenroom/broker`).
 * `@greenroom/bus/testing` is the suite that each of them passes.
 *
 * - *P1* `send` resolves only when the message is stored. The same id and content again is the same message
 *   (`duplicate`); the same id with other content is refused with `ID_CONFLICT`.
 * - *P2* A mailbox delivers in the order of its sequence numbers, to one consumer, as far as its credit goes.
 * - *P3* A delivered message is held until it is acked, nacked or claimed, over reconnects and restarts of the broker.
 * - *P4* `claim` and `revoke` of one message: exactly one of them wins, durably.
 * - *P5* Live messages of one sender to one receiver arrive in order, or not at all.
 * - *P6* A peer reconnects by itself for ever. Calls made meanwhile wait until they are through, their signal aborts, or
 *   the peer is closed; a send that is repeated keeps its id.
 * - *P7* A peer that was `REPLACED` or `FENCED` is closed for good: it writes nothing any more.
 */
import type { Lifetime, Revocation } from './header.ts'
import type { Presence, PresenceChange } from './presence.ts'

/** What an implementation may be able to do beyond the core. */
export type BusCapability = 'durable' | 'ttl' | 'quotas' | 'dead-letters' | 'visibility' | 'detached'

/** A message to send durably. */
export interface Outgoing {
  /** The receiver's mailbox. */
  readonly to: string
  /** Unique per receiver; sending again with the same id is safe. */
  readonly id: string
  /** What the payload is: the one thing the broker knows of it. */
  readonly kind: string
  /** The bytes; the bus does not look into them. */
  readonly payload: Uint8Array
  /** Counts against the receiver's control credit, not its data credit. = false */
  readonly control?: boolean
  /** Dropped when still undelivered after so many milliseconds. By default it never is. */
  readonly ttlMs?: number
}

/** Where a sent message now stands. */
export interface Receipt {
  /** Its place in the receiver's mailbox. */
  readonly seq: number
  /** Whether it was there already. */
  readonly duplicate: boolean
}

/** A message that was delivered to this peer and is held by it. */
export interface Delivery {
  /** Its id, unique in this mailbox. */
  readonly id: string
  /** What the payload is. */
  readonly kind: string
  /** Its place in the mailbox: 1, 2, … */
  readonly seq: number
  /** 1 for the first delivery; counts nacks, timeouts and holders that became gone, never reconnects. */
  readonly attempt: number
  /** Whose connection sent it: set by the broker, not by the sender. */
  readonly from: string
  /** Which life of the sender: set by the broker; undefined for a sender that never attached. */
  readonly fromIncarnation: string | undefined
  /** When it was stored, in milliseconds since the epoch. */
  readonly at: number
  /** The bytes as they were sent. */
  readonly payload: Uint8Array
  /**
   * Removes it. Nobody needs to wait for this; the promise resolves when the removal is stored. Of `ack` and `nack` the
   * first one stands: whichever is called afterwards does nothing and gives the same promise.
   *
   * @throws GreenroomError `NOT_HOLDER` when its visibility timeout had returned it before
   */
  ack(): Promise<void>
  /**
   * Removes it if it was not revoked: the right to start what it asks for.
   *
   * @throws GreenroomError `REVOKED`, or `NOT_HOLDER` when this consumer does not hold it any more
   */
  claim(): Promise<void>
  /** Gives it back, to be delivered again after `delayMs` (0 by default). See {@link Delivery.ack}. */
  nack(options?: { readonly delayMs?: number }): Promise<void>
  /**
   * Says that it is still worked on: its visibility timeout ({@link PeerOptions.visibilityMs}) begins anew. Nobody needs to
   * wait for this; a rejection with `NOT_HOLDER` says that the work is somebody else's now. A third of the timeout is a good
   * interval.
   *
   * @throws GreenroomError `NOT_HOLDER` when this consumer does not hold it any more, `MISSING_FEATURE` when it was attached
   * without a visibility timeout
   *
   * @example
   * ```ts
   * import { codeOf, type Bus, type Delivery } from '@greenroom/proto'
   *
   * async function work(delivery: Delivery, signal: AbortSignal): Promise<void> {
   *   console.log('minutes of work on', delivery.id, signal.aborted)
   * }
   *
   * async function onMessage(delivery: Delivery): Promise<void> {
   *   const lost = new AbortController()
   *   const touch = (): Promise<void> =>
   *     delivery.touch().catch((error) => (codeOf(error) === 'NOT_HOLDER' ? lost.abort(error) : undefined))
   *   const timer = setInterval(touch, 10_000)
   *   await work(delivery, lost.signal).finally(() => clearInterval(timer))
   *   await delivery.ack()
   * }
   *
   * export async function consume(bus: Bus): Promise<void> {
   *   await bus.attach({
   *     address: 'jobs',
   *     incarnation: crypto.randomUUID(),
   *     lifetime: 'named',
   *     visibilityMs: 30_000,
   *     onMessage: (delivery) => void onMessage(delivery).catch(console.error),
   *   })
   * }
   * ```
   */
  touch(): Promise<void>
}

/** A message on the live lane. */
export interface LiveMessage {
  /** What the payload is. */
  readonly kind: string
  /** Whose connection sent it: set by the broker, not by the sender. */
  readonly from: string
  /** Which life of the sender: set by the broker; undefined for a sender that never attached. */
  readonly fromIncarnation: string | undefined
  /** The bytes as they were sent. */
  readonly payload: Uint8Array
}

/**
 * How a peer's connection stands: `attached`, `lost` (reconnecting by itself) or `closed` (for good).
 */
export type PeerState = 'attached' | 'lost' | 'closed'

/** Why a peer is closed. */
export interface PeerEnd {
  /** `CLOSED` when its owner closed or drained it; else what the broker ended it for. */
  readonly code:
    | 'CLOSED'
    | 'REPLACED'
    | 'FENCED'
    | 'UNAUTHORIZED'
    | 'TOKEN_EXPIRED'
    | 'CERTIFICATE_UNTRUSTED'
    | 'CERTIFICATE_EXPIRED'
    | 'UNSUPPORTED_VERSION'
    | 'MISSING_CAPABILITY'
    | 'FORBIDDEN'
    | 'BAD_FRAME'
  /** The same for people. */
  readonly message: string
}

/** How to attach a peer. */
export interface PeerOptions {
  /** The mailbox that this peer consumes and speaks as. */
  readonly address: string
  /** Which life of its owner this is: a fresh id for every process. */
  readonly incarnation: string
  /** `incarnation`: the mailbox closes when this life is gone. `named`: it stays. */
  readonly lifetime: Lifetime
  /** Held data messages at a time. = 64 */
  readonly credit?: number
  /** Held control messages at a time. = 64 */
  readonly controlCredit?: number
  /**
   * The visibility timeout, in milliseconds, from 1,000 to 43,200,000: a delivery that is neither acked, nacked, claimed nor
   * touched ({@link Delivery.touch}) for so long returns to the mailbox, counts an attempt, and is delivered again, to this
   * consumer or a later one; what its former holder then says of it is refused with `NOT_HOLDER`. Time runs only while this
   * peer is connected, and begins anew when it is again. By default nothing returns before its consumer is gone.
   */
  readonly visibilityMs?: number
  /** What watchers of its role see. Without it the peer is not listed. */
  readonly presence?: Presence
  /** Called for each durable message, in order. What it throws is reported to `onError` and the message stays held. */
  readonly onMessage?: (delivery: Delivery) => void
  /** Called for each live message, in order. */
  readonly onLive?: (message: LiveMessage) => void
  /** Called when the connection is lost, found again or closed. After `attached`, links ask for what they missed. */
  readonly onState?: (state: PeerState) => void
  /** Called with what handlers throw. By default such an error is dropped. */
  readonly onError?: (error: unknown) => void
  /** Stops waiting for the first attach. */
  readonly signal?: AbortSignal
}

/** Waiting that its caller may stop. */
export interface Waiting {
  /** Stops the waiting; what was sent may still have arrived. */
  readonly signal?: AbortSignal
}

/** Which incarnation is to be declared gone. */
export interface FenceTarget {
  /** Its mailbox. */
  readonly address: string
  /** Which life of the mailbox's owner. */
  readonly incarnation: string
  /** Its process was seen to end: those who watch it are told so. = false */
  readonly seenDead?: boolean
}

/** One mailbox's consumer and sender. */
export interface Peer extends AsyncDisposable {
  /** The mailbox that it consumes and speaks as. */
  readonly address: string
  /** Which life of its owner it is. */
  readonly incarnation: string
  /** How its connection stands now. */
  readonly state: PeerState
  /**
   * Stores a message in another mailbox.
   *
   * @throws GreenroomError `ID_CONFLICT`, `MAILBOX_CLOSED`, `MAILBOX_FULL`, `REVOKED`, `STORAGE_FULL`,
   * `FRAME_TOO_LARGE`, `ABORTED`, `CLOSED`, or `OUTCOME_UNKNOWN` when it could not be confirmed for half of the dedupe
   * window
   */
  send(message: Outgoing, options?: Waiting): Promise<Receipt>
  /**
   * Sends on the live lane: no receipt, no copy.
   *
   * @returns false when it was dropped here already, because the connection is lost or its buffer is full
   */
  publish(message: { readonly to: string; readonly kind: string; readonly payload: Uint8Array }): boolean
  /** Takes a message back; see {@link Revocation}. */
  revoke(message: { readonly to: string; readonly id: string }, options?: Waiting): Promise<Revocation>
  /**
   * Replaces what watchers see of this peer.
   *
   * @throws GreenroomError `BAD_OPTIONS` when the role is no name
   */
  announce(presence: Presence): void
  /**
   * Follows everyone of a role: first all who are not gone, then every change.
   *
   * @returns ends the subscription
   */
  watch(role: string, listener: (change: PresenceChange) => void): () => void
  /**
   * Declares another incarnation gone: for the one who saw its process end, or gives it up.
   *
   * @param target - which one
   * @param options - `signal`: ends the waiting
   */
  fence(target: FenceTarget, options?: Waiting): Promise<void>
  /**
   * Leaves for good, after all that was called is through: this incarnation is gone. Without a connection it waits for one
   * as long as the partition grace while something is not through, else for a moment. Also the async disposer.
   */
  drain(): Promise<void>
  /** Ends the connection now, without leaving: the mailbox waits for its incarnation as after a lost connection. */
  close(): Promise<void>
  /** Resolves when the peer is closed, with why. Never rejects. */
  readonly closed: Promise<PeerEnd>
}

/** Carries messages between mailboxes. */
export interface Bus extends AsyncDisposable {
  /** What this bus can do beyond the core. */
  readonly capabilities: ReadonlySet<BusCapability>
  /**
   * Attaches a mailbox's consumer. Resolves when it is attached; no handler is called before that.
   *
   * @throws GreenroomError `UNAUTHORIZED`, `TOKEN_EXPIRED`, `CERTIFICATE_UNTRUSTED`, `CERTIFICATE_EXPIRED`, `FORBIDDEN`, `FENCED`, `UNSUPPORTED_VERSION`, `MISSING_CAPABILITY`,
   * `BAD_OPTIONS`, `ABORTED`, `CLOSED`
   */
  attach(options: PeerOptions): Promise<Peer>
  /** Closes every peer and what is beneath. Idempotent. Also the async disposer. */
  close(): Promise<void>
}
