/**
 * One connection, from its opening to its end.
 *
 * ```text
 * opening ──opened──► greeting ──welcome──► attaching ──ok──► attached
 *    └────────────────────┴──────────┬──────────┴───────────────┘
 *                                    ▼
 *                                  over: lost (try again) | final (never again)
 * ```
 *
 * - *C1* `over` is called exactly once, unless the owner closed the connection; nothing is called after it.
 * - *C2* Until it is attached it has `helloMs`; from `welcome` on it is cut when nothing was heard for three to four
 *   ping times.
 * - *C3* What is sent in one tick leaves in one write; control overtakes data.
 */
import {
  confirm,
  decodeFrame,
  encodeFrame,
  GreenroomError,
  isErrorCode,
  Outbox,
  parseBrokerHeader,
  wire,
} from '@greenroom/proto'
import type { Attach, BrokerHeader, Clock, ErrorFrame, PeerEnd, Timer, Welcome } from '@greenroom/proto'
import type { Socket, SocketEvents, SocketFactory, SocketFlaw } from './socket.ts'

/** How connections of one bus are made. */
export interface ConnectionOptions {
  readonly url: string
  readonly token: () => string | Promise<string>
  readonly ca: string | undefined
  readonly agent: string | undefined
  readonly required: readonly string[]
  readonly helloMs: number
  readonly background: boolean
  readonly clock: Clock
  readonly socket: SocketFactory
  readonly defer: (flush: () => void) => void
}

/** Why a connection is over. */
export type ConnectionOutcome =
  | { readonly kind: 'lost'; readonly error: GreenroomError }
  | { readonly kind: 'final'; readonly end: PeerEnd }

/** What a connection tells. */
export interface ConnectionEvents {
  /** What to attach as; undefined for a connection that has no mailbox: it counts as attached with `welcome`. */
  attach(): Attach | undefined
  attached(welcome: Welcome): void
  /** A frame of an attached connection; errors without `req` are not among them. */
  frame(header: BrokerHeader, payload: Uint8Array): void
  over(outcome: ConnectionOutcome): void
}

/** Live messages are dropped while a connection holds this much. */
const LIVE_BYTES = 4 * 1024 * 1024
const SILENT_PINGS = 3

/** One connection; see C1 to C3. */
export class Connection implements SocketEvents {
  readonly #options: ConnectionOptions
  readonly #events: ConnectionEvents
  readonly #outbox: Outbox
  readonly #deadline: Timer
  #phase: 'opening' | 'greeting' | 'attaching' | 'attached' | 'over' = 'opening'
  #socket: Socket | undefined
  #welcome: Welcome | undefined
  #keepalive: Timer | undefined
  #silentPings = 0
  #token: string | undefined

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.#options = options
    this.#events = events
    this.#outbox = new Outbox({
      write: (frames) => this.#socket?.write(frames),
      buffered: () => this.#socket?.buffered() ?? 0,
      defer: options.defer,
    })
    this.#deadline = options.clock.timer(options.helloMs, () => this.#lose(`not attached within ${options.helloMs} ms`))
    this.#open().catch((error: unknown) => this.#lose('it could not be opened', error))
  }

  /** The token that it showed at its opening. */
  get token(): string | undefined {
    return this.#token
  }

  /** Whether the live lane has room. */
  get hasRoom(): boolean {
    return this.#outbox.bytes + (this.#socket?.buffered() ?? 0) <= LIVE_BYTES
  }

  /** Queues a frame; only for an attached connection. */
  send(frame: Uint8Array, control: boolean): void {
    if (this.#phase === 'attached') this.#outbox.push(frame, control)
  }

  /** Ends it from this side. */
  close(code: number): void {
    if (this.#phase === 'over') return
    this.#finish()
    this.#socket?.close(code)
  }

  opened(): void {
    if (this.#phase !== 'opening') return
    this.#phase = 'greeting'
    const { agent, required } = this.#options
    const hello = {
      t: 'hello',
      wire: wire.version,
      oldest: wire.oldestVersion,
      capabilities: [],
      required,
      ...(agent === undefined ? {} : { agent }),
    }
    this.#outbox.push(encodeFrame(hello), true)
  }

  frame(bytes: Uint8Array): void {
    if (this.#phase === 'over') return
    this.#silentPings = 0
    let header: BrokerHeader
    let payload: Uint8Array
    try {
      const raw = decodeFrame(bytes)
      header = parseBrokerHeader(raw.header)
      payload = raw.payload
    } catch (error) {
      this.#lose('the broker sent what is no frame', error)
      return
    }
    if (header.t === 'error' && (this.#phase !== 'attached' || header.req === undefined)) this.#refused(header)
    else if (this.#phase === 'attached') this.#events.frame(header, payload)
    else this.#greet(header)
  }

  ping(): void {
    this.#silentPings = 0
  }

  drained(): void {
    this.#outbox.resume()
  }

  closed(code: number, reason: string, flaw?: SocketFlaw): void {
    if (this.#phase === 'over') return
    const final = flaw ?? finalCodes.get(code)
    if (final === undefined) this.#lose(`closed with ${code}${reason === '' ? '' : `: ${reason}`}`)
    else this.#over({ kind: 'final', end: { code: final, message: code === 401 ? this.#wrongToken : reason } })
  }

  /** An HTTP status says nothing that helps. */
  get #wrongToken(): string {
    return `${this.#options.url} does not know this token: give one that its broker was started with, or that one of its keys has signed`
  }

  async #open(): Promise<void> {
    const { url, ca, background, socket } = this.#options
    const token = await this.#options.token()
    this.#token = token
    if (this.#phase === 'opening')
      this.#socket = socket({ url, token, background, ...(ca === undefined ? {} : { ca }) }, this)
  }

  #greet(header: BrokerHeader): void {
    if (this.#phase === 'greeting' && header.t === 'welcome') {
      try {
        confirm(header, { capabilities: [], required: this.#options.required })
      } catch (error) {
        if (error instanceof GreenroomError) this.#refused({ t: 'error', code: error.code, message: error.message })
        return
      }
      this.#welcome = header
      this.#phase = 'attaching'
      this.#watchSilence(header.pingMs)
      const attach = this.#events.attach()
      if (attach === undefined) this.#attached(header)
      else this.#outbox.push(encodeFrame(attach), true)
    } else if (this.#phase === 'attaching' && header.t === 'ok' && this.#welcome !== undefined)
      this.#attached(this.#welcome)
    else this.#lose(`the broker said ${header.t} while ${this.#phase}`)
  }

  #attached(welcome: Welcome): void {
    this.#phase = 'attached'
    this.#deadline.cancel()
    this.#events.attached(welcome)
  }

  #watchSilence(pingMs: number): void {
    this.#keepalive = this.#options.clock.timer(
      pingMs,
      () => {
        this.#silentPings += 1
        if (this.#silentPings > SILENT_PINGS) this.#lose(`nothing heard for ${SILENT_PINGS} pings of ${pingMs} ms`)
        else this.#watchSilence(pingMs)
      },
      { background: true },
    )
  }

  #refused(error: ErrorFrame): void {
    const code = finalErrors.get(error.code)
    if (code === undefined) this.#lose(`${error.code}: ${error.message}`, toError(error))
    else this.#over({ kind: 'final', end: { code, message: error.message } })
  }

  #lose(why: string, cause?: unknown): void {
    const message = `no connection to ${this.#options.url}: ${why}`
    this.#over({ kind: 'lost', error: new GreenroomError('CONNECT_FAILED', message, { cause }) })
  }

  #over(outcome: ConnectionOutcome): void {
    if (this.#phase === 'over') return
    this.#finish()
    this.#socket?.destroy()
    this.#events.over(outcome)
  }

  #finish(): void {
    this.#phase = 'over'
    this.#deadline.cancel()
    this.#keepalive?.cancel()
    this.#outbox.clear()
  }
}

/** Close codes and HTTP statuses after which nobody connects again (PROTOCOL.md §6). */
const finalCodes: ReadonlyMap<number, PeerEnd['code']> = new Map([
  [401, 'UNAUTHORIZED'],
  [4402, 'TOKEN_EXPIRED'],
  [403, 'FORBIDDEN'],
  [4400, 'BAD_FRAME'],
  [4401, 'UNAUTHORIZED'],
  [4403, 'FORBIDDEN'],
  [4406, 'UNSUPPORTED_VERSION'],
  [4407, 'MISSING_CAPABILITY'],
  [4409, 'REPLACED'],
  [4410, 'FENCED'],
  [4413, 'BAD_FRAME'],
])

/** The codes among them, by the name in an `error` frame. */
const finalErrors: ReadonlyMap<string, PeerEnd['code']> = new Map([...finalCodes.values()].map((code) => [code, code]))

/** The error that a broker's frame stands for. A code that this version does not know stays in the message. */
export function toError(frame: ErrorFrame): GreenroomError {
  if (isErrorCode(frame.code)) return new GreenroomError(frame.code, frame.message)
  return new GreenroomError('INTERNAL', `${frame.code}: ${frame.message}`)
}
