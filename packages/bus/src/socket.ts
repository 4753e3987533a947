/**
 * The seam between the client and its transport: a connection that carries frames.
 *
 * - *S1* Exactly one `closed` ends a socket, whatever happened; after it no event follows. A socket that could not be
 *   opened only says `closed`.
 * - *S2* `write` hands over frames that leave in order, as one write. What is written after the end is dropped.
 * - *S3* No event is raised while a method of the socket runs: callers are never re-entered.
 */

/** Where and as whom to connect. */
export interface SocketTarget {
  /** `ws://`, `wss://` or `ws+unix://` and the path of a socket. */
  readonly url: string
  /** Shown at the upgrade as a bearer token. */
  readonly token: string
  /** PEM of the certificate authority to trust instead of the public ones. */
  readonly ca?: string
  /** Once it stands, it does not keep the program alive. = false */
  readonly background?: boolean
}

/** What is wrong with who shows itself: this side by its token, or the broker by its certificate. */
export type SocketFlaw = 'TOKEN_EXPIRED' | 'CERTIFICATE_UNTRUSTED' | 'CERTIFICATE_EXPIRED'

/** What a socket tells. */
export interface SocketEvents {
  /** The connection stands: frames may be written. */
  opened(): void
  /** One whole frame; the bytes are the receiver's to keep. */
  frame(bytes: Uint8Array): void
  /** A sign of life that is no frame: the other side's ping. */
  ping(): void
  /** Bytes were passed on to the operating system: {@link Socket.buffered} shrank. */
  drained(): void
  /**
   * The end.
   *
   * @param code - the WebSocket close code; 401 or another HTTP status when the upgrade was refused; 1006 when the
   * connection was lost or never stood
   * @param reason - for people
   * @param flaw - what it was lost for, where that says more than the code: of the token, or of the broker's certificate
   */
  closed(code: number, reason: string, flaw?: SocketFlaw): void
}

/** One connection. */
export interface Socket {
  /** Hands frames to the transport, in one write (S2). */
  write(frames: readonly Uint8Array[]): void
  /** Bytes that the transport holds and the operating system has not taken yet. */
  buffered(): number
  /** Ends it in order: what was written still leaves. */
  close(code?: number, reason?: string): void
  /** Ends it at once, as if the cable was cut. */
  destroy(): void
}

/** Opens a connection. */
export type SocketFactory = (target: SocketTarget, events: SocketEvents) => Socket
