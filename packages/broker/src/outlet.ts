/** What one session writes: frames in two lanes, once a tick, bounded. */
import { encodeFrame, noPayload, Outbox, type BrokerHeader } from '@greenroom/proto'

/** The connection beneath a session. */
export interface Transport {
  /** Hands frames over, in one write: they are the transport's now, who gives their memory back. */
  write(frames: readonly Uint8Array[]): void
  /** Bytes that were handed over and not yet passed to the operating system. */
  buffered(): number
  /** Calls back at the end of this tick. */
  defer(flush: () => void): void
  /** Reads no further, until `resume`. */
  pause(): void
  resume(): void
  ping(): void
  /** Ends it in order, after what was written. */
  close(code: number, reason: string): void
  /** Ends it at once. */
  destroy(): void
}

/** Deliveries stop while this much waits to be written. */
const deliverBytes = 1024 * 1024

/** The bounds of an {@link Outlet}. */
export interface OutletLimits {
  /** Live messages are dropped beyond it. */
  readonly liveBytes: number
  /** The connection is cut when it stays beyond this, and at once beyond twice as much. */
  readonly outgoingBytes: number
}

/**
 * The writing side of a session. Control frames overtake data; live messages keep their order, so they are all data.
 */
export class Outlet {
  readonly #transport: Transport
  readonly #limits: OutletLimits
  readonly #outbox: Outbox
  readonly #onOverflow: () => void
  #wasTooMuch = false

  /** @param onOverflow - the other side does not read */
  constructor(transport: Transport, limits: OutletLimits, onOverflow: () => void) {
    this.#transport = transport
    this.#limits = limits
    this.#onOverflow = onOverflow
    this.#outbox = new Outbox({
      write: (frames) => transport.write(frames),
      buffered: () => transport.buffered(),
      defer: (flush) => transport.defer(flush),
    })
  }

  /** Whether there is room for a delivery. */
  get hasRoom(): boolean {
    return this.#bytes < deliverBytes
  }

  /**
   * Writes a frame at the end of this tick.
   *
   * @throws GreenroomError `FRAME_TOO_LARGE`
   */
  push(header: BrokerHeader, payload: Uint8Array = noPayload, control = true): void {
    this.#outbox.push(encodeFrame(header, payload), control)
    if (this.#bytes > 2 * this.#limits.outgoingBytes) this.#onOverflow()
  }

  /** Writes a live frame, unless too much waits. */
  pushLive(header: BrokerHeader, payload: Uint8Array): boolean {
    if (this.#bytes + payload.length > this.#limits.liveBytes) return false
    this.#outbox.push(encodeFrame(header, payload), false)
    return true
  }

  /** The transport passed its bytes on. */
  resume(): void {
    this.#outbox.resume()
  }

  /** To be called now and then: finds out who does not read. */
  check(): void {
    const isTooMuch = this.#bytes > this.#limits.outgoingBytes
    if (isTooMuch && this.#wasTooMuch) this.#onOverflow()
    this.#wasTooMuch = isTooMuch
  }

  /** Writes what control frames wait, then ends the connection. */
  close(code: number, reason: string): void {
    this.#transport.defer(() => {
      this.#outbox.clear()
      this.#transport.close(code, reason)
    })
  }

  get #bytes(): number {
    return this.#outbox.bytes + this.#transport.buffered()
  }
}
