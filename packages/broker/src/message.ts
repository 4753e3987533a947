/** A message in memory: what its record says, and where it is now. */

/**
 * Where a message is.
 *
 * ```text
 * ready ──deliver──► held ──ack, claim──► gone
 *   ▲ ▲                │
 *   │ └ nack, timeout, ┤
 *   │     gone         │
 *   │                  ▼
 *   └──── timer ──── delayed          withheld: being revoked, expired or examined; not delivered meanwhile
 * ```
 */
type Place = 'ready' | 'held' | 'delayed' | 'withheld' | 'gone'

/** Why a message came back. */
export interface Return {
  /** In milliseconds since the epoch. */
  readonly at: number
  readonly why: 'nack' | 'timeout' | 'gone' | 'replaced' | 'damaged'
  /** The incarnation that had it, or was to get it. */
  readonly by: string
}

/** What is known of a message from its arrival on; never changes. */
export interface MessageFacts {
  readonly id: string
  readonly kind: string
  readonly control: boolean
  readonly from: string
  readonly fromIncarnation: string | undefined
  /** When it was stored, in milliseconds since the epoch. */
  readonly at: number
  /** SHA-256 of the payload, in base64url. */
  readonly digest: string
  /** Bytes of the payload. */
  readonly size: number
  /** When it is dropped if it was not delivered, in milliseconds since the epoch. */
  readonly expiresAt: number | undefined
}

/** A message that waits or is held. */
export interface Message extends MessageFacts {
  readonly seq: number
  place: Place
  /** 1 at first; counts nacks, timeouts and holders that became gone. */
  attempt: number
  /** The last returns. */
  history: readonly Return[]
  /** Not delivered before this time, in milliseconds since the epoch. */
  notBefore: number
  /** When its visibility timeout is over, monotonic, while it is held by a consumer that has one. */
  dueAt: number
  /** The payload while it is in the cache. */
  body: Uint8Array | undefined
}

/**
 * Why an earlier delivery of a message came to its end, as far as that is remembered.
 *
 * @param attempt - which delivery
 */
export function endOf(message: Message, attempt: number): Return['why'] | undefined {
  return attempt < message.attempt ? message.history.at(attempt - message.attempt)?.why : undefined
}

/** How many returns of a message are remembered. */
const historyLength = 16

/**
 * What a message will be when it has come back.
 *
 * @param message - as it is
 * @param reason - why it comes back
 */
export function returned(
  message: Message,
  reason: Return,
): { readonly attempt: number; readonly history: readonly Return[] } {
  return { attempt: message.attempt + 1, history: [...message.history, reason].slice(-historyLength) }
}
