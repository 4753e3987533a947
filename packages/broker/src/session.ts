/**
 * A session: one connection's frames, turned into calls of the core, and back.
 *
 * ```text
 * hello ──hello──► open ──attach──► attaching ──ok──► open, as somebody
 *   │               │                   │ (frames wait)      │
 *   └───────────────┴───────────────────┴────────────────────┴──► over: error frame, close code
 * ```
 *
 * - *N1* Whatever breaks a rule ends this session with the documented code, and touches nobody else.
 * - *N2* Frames take effect in their order; those after an `attach` wait for its answer.
 * - *N3* Nothing of a session that is over is acted upon.
 * - *N4* What waits to be written is bounded: deliveries stop, live messages drop, and who does not read is cut. What
 *   waits to be answered is bounded too: beyond it, the connection is not read.
 * - *N5* What its token does not grant has no effect, is answered with the same words whatever exists, and is counted.
 */
import {
  agree,
  codeOf,
  decodeFrame,
  errors,
  GreenroomError,
  parseClientHeader,
  type Attach,
  type ClientHeader,
  type ErrorCode,
  type ErrorRow,
  type Hello,
  type Ok,
} from '@greenroom/proto'
import type { Authority } from './access.ts'
import { administer } from './admin.ts'
import { Badge } from './badge.ts'
import { anonymous, type Consumer, type ConsumerEnd, type Delivered, type LiveDelivered } from './consumer.ts'
import type { Attachment, Core } from './core.ts'
import { Gate } from './gate.ts'
import { fitting } from './list.ts'
import type { Mint } from './mint.ts'
import type { ResolvedOptions } from './options.ts'
import { Outlet, type Transport } from './outlet.ts'

/** What all sessions of a broker share. */
export interface SessionHost {
  readonly core: Core
  readonly options: ResolvedOptions
  /** Fresh at each start of the broker. */
  readonly brokerId: string
  readonly capabilities: readonly string[]
  /** Says what tokens are worth. */
  readonly mint: Mint
}

/** Pings without a sign of life after which a connection is cut. */
const silentPings = 2
/** What a request weighs besides its payload, in bytes. */
const requestWeight = 256
const internalError = 1011

type State = 'hello' | 'open' | 'attaching' | 'over'

interface Waiting {
  readonly header: ClientHeader
  readonly payload: Uint8Array
}

/** See N1 to N4. */
export class Session implements Consumer {
  readonly #transport: Transport
  readonly #host: SessionHost
  readonly #outlet: Outlet
  readonly #gate: Gate
  readonly #watches = new Map<string, () => void>()
  readonly #requests = new Set<Promise<void>>()
  readonly #cancelHello: () => void
  #state: State = 'hello'
  #attachment: Attachment | undefined
  #isLeaving = false
  #backlog: Waiting[] = []
  #silence = 0
  readonly #badge: Badge

  /** @param authority - by the token that was shown at the upgrade */
  constructor(transport: Transport, host: SessionHost, authority: Authority) {
    const { clock, limits: own } = host.options
    this.#transport = transport
    this.#host = host
    this.#badge = new Badge(
      { mint: host.mint, clock, counters: host.core.counters, logger: host.options.logger },
      authority,
    )
    this.#outlet = new Outlet(transport, own, () => this.#cutSlow())
    this.#gate = new Gate({
      clock,
      bytes: own.incomingBytes,
      perSecond: own.framesPerSecond,
      pause: () => transport.pause(),
      resume: () => transport.resume(),
    })
    const hello = clock.timer(own.helloMs, () => this.#fail('HELLO_TIMEOUT'), { background: true })
    this.#cancelHello = () => hello.cancel()
  }

  // ─── what the connection tells ───────────────────────────────────────────────────────────────────────────────

  /** A binary message came. */
  receive(bytes: Uint8Array): void {
    if (this.#state === 'over') return
    this.#silence = 0
    this.#gate.count()
    this.checkToken()
    if (this.#isOver) return
    try {
      const frame = decodeFrame(bytes)
      const waiting = { header: parseClientHeader(frame.header), payload: frame.payload }
      if (this.#state === 'attaching') this.#defer(waiting)
      else this.#handle(waiting)
    } catch (error) {
      this.#failWith(error)
    }
  }

  /** Something came that is no frame at all. */
  receiveGarbage(what: string): void {
    this.#fail('BAD_FRAME', what)
  }

  /** A sign of life. */
  pong(): void {
    this.#silence = 0
  }

  /** The transport passed on what it held. */
  drained(): void {
    this.#outlet.resume()
    this.#attachment?.wake()
  }

  /** The connection is no more. */
  closed(): void {
    this.#finish()
  }

  /** Called every `pingMs`. */
  tick(): void {
    this.checkToken()
    if (this.#isOver) return
    if (this.#silence >= silentPings) {
      this.#finish()
      this.#transport.destroy()
      return
    }
    // Who is not read cannot be heard either.
    if (!this.#gate.isShut) this.#silence += 1
    this.#transport.ping()
    this.#outlet.check()
  }

  /** Ends it when its token has expired, or the key is gone that signed it. */
  checkToken(): void {
    const { flaw } = this.#badge
    if (flaw !== undefined) this.#fail(flaw)
  }

  /** The broker is stopping: what was asked for is answered, then the session ends. */
  async drain(): Promise<void> {
    this.#transport.pause()
    await Promise.allSettled(this.#requests)
    this.#fail('SHUTTING_DOWN')
  }

  // ─── what the core hands out ─────────────────────────────────────────────────────────────────────────────────

  ready(): boolean {
    return this.#state === 'open' && this.#outlet.hasRoom
  }

  deliver({ payload, control, fromIncarnation, ...rest }: Delivered): void {
    const header = {
      t: 'deliver',
      ...rest,
      ...(control && { control }),
      ...(fromIncarnation !== undefined && { fromIncarnation }),
    } as const
    this.#outlet.push(header, payload, control)
  }

  live({ payload, fromIncarnation, ...rest }: LiveDelivered): boolean {
    if (this.#state !== 'open') return false
    return this.#outlet.pushLive(
      { t: 'live', ...rest, ...(fromIncarnation !== undefined && { fromIncarnation }) },
      payload,
    )
  }

  end(code: ConsumerEnd, message: string): void {
    if (!this.#isLeaving) this.#fail(code, message)
  }

  #defer(waiting: Waiting): void {
    this.#backlog.push(waiting)
    this.#gate.begin(waiting.payload.length + requestWeight)
  }

  /** What waited for the answer to an attach. */
  #takeBacklog(): Waiting[] {
    const backlog = this.#backlog
    this.#backlog = []
    for (const { payload } of backlog) this.#gate.end(payload.length + requestWeight)
    return backlog
  }

  // ─── frames ──────────────────────────────────────────────────────────────────────────────────────────────────

  #handle({ header, payload }: Waiting): void {
    if (this.#state === 'hello') {
      if (header.t !== 'hello') throw new GreenroomError('BAD_FRAME', `"${header.t}" before hello`)
      this.#hello(header)
    } else if (!this.#badge.allows(header)) this.#forbid(header)
    else if (header.t === 'attach') this.#attach(header)
    else if (!this.#handleFree(header, payload)) this.#handleAttached(header, payload)
  }

  /** N5 */
  #forbid(header: ClientHeader): void {
    if (header.t === 'attach') throw new GreenroomError('FORBIDDEN')
    if ('req' in header) this.#refuse(header.req, new GreenroomError('FORBIDDEN'))
  }

  #hello(hello: Hello): void {
    const { options, brokerId, capabilities } = this.#host
    const { wire } = agree(hello, { capabilities })
    this.#cancelHello()
    this.#state = 'open'
    const {
      partitionGraceMs,
      dedupeWindowMs,
      limits: { pingMs },
    } = options
    this.#outlet.push({ t: 'welcome', wire, capabilities, broker: brokerId, pingMs, partitionGraceMs, dedupeWindowMs })
  }

  /** Frames that need no mailbox of their own. Returns whether it was one. */
  #handleFree(header: ClientHeader, payload: Uint8Array): boolean {
    const { core } = this.#host
    switch (header.t) {
      case 'send':
        this.#answer(header.req, this.#send(header, payload), payload.length)
        return true
      case 'revoke':
        this.#answer(
          header.req,
          core.revoke(header.to, header.id).then((revoked) => ({ revoked })),
        )
        return true
      case 'fence':
        this.#answer(header.req, core.fence(header))
        return true
      case 'delete':
        this.#answer(header.req, core.operator.deleteMailbox(header.address))
        return true
      case 'watch':
        this.#watch(header.req, header.role)
        return true
      case 'unwatch':
        this.#watches.get(header.role)?.()
        this.#watches.delete(header.role)
        return true
      case 'admin':
        this.#answer(header.req, administer(core.operator, header))
        return true
      case 'renew':
        this.#renew(header.req, header.token)
        return true
      case 'issue':
        this.#answer(header.req, this.#badge.issue(header))
        return true
      case 'ping':
        this.#outlet.push({ t: 'pong' })
        return true
      default:
        return false
    }
  }

  #renew(req: number, token: string): void {
    const renewal = this.#badge.renew(token, () => this.#watches.keys())
    this.#answer(
      req,
      renewal.finally(() => this.checkToken()),
      token.length,
    )
  }

  /** Frames of whoever attached. */
  #handleAttached(header: ClientHeader, payload: Uint8Array): void {
    const attachment = this.#attachment
    if (attachment === undefined || header.t === 'hello')
      throw new GreenroomError('BAD_FRAME', `"${header.t}" is not allowed here`)
    switch (header.t) {
      case 'ack':
        this.#answer(header.req, attachment.ack(header.ids, header.attempts))
        break
      case 'claim':
        this.#answer(header.req, attachment.claim(header.id, header.attempt))
        break
      case 'nack':
        this.#answer(header.req, attachment.nack(header.id, header.delayMs ?? 0, header.attempt))
        break
      case 'touch':
        this.#answer(header.req, attachment.touch(header.id, header.attempt))
        break
      case 'live': {
        const { address: from, incarnation: fromIncarnation } = attachment.sender
        this.#host.core.live({ to: header.to, kind: header.kind, from, fromIncarnation, payload })
        break
      }
      case 'announce':
        attachment.announce(header.presence)
        this.#badge.announce(header.presence)
        break
      case 'leave':
        this.#leave(header.req, attachment)
        break
      default:
        throw new GreenroomError('BAD_FRAME', `"${header.t}" is not allowed here`)
    }
  }

  async #send(
    { to, id, kind, control, ttlMs }: Extract<ClientHeader, { t: 'send' }>,
    payload: Uint8Array,
  ): Promise<Partial<Ok>> {
    const optional = { ...(control !== undefined && { control }), ...(ttlMs !== undefined && { ttlMs }) }
    const receipt = await this.#host.core.send(this.#attachment?.sender ?? anonymous, {
      to,
      id,
      kind,
      payload,
      ...optional,
    })
    return receipt.duplicate ? receipt : { seq: receipt.seq }
  }

  #attach(header: Attach): void {
    if (this.#attachment !== undefined) throw new GreenroomError('BAD_FRAME', 'this connection is attached already')
    this.#state = 'attaching'
    this.#badge.sit(header)
    void this.#host.core.attach(this, header).then(
      (attachment) => this.#attached(header.req, attachment),
      (error: unknown) => this.#notAttached(header.req, error),
    )
  }

  /** For good, or for now: then whatever was said in the belief that it is attached is refused with the same words. */
  #notAttached(req: number, error: unknown): void {
    if (this.#state !== 'attaching') return
    const code = codeOf(error)
    if (code !== undefined && closeCode(code) !== undefined) {
      this.#failWith(error)
      return
    }
    this.#state = 'open'
    this.#badge.rise()
    this.#refuse(req, error)
    for (const { header } of this.#takeBacklog()) if ('req' in header) this.#refuse(header.req, error)
  }

  #attached(req: number, attachment: Attachment): void {
    if (this.#state !== 'attaching') {
      attachment.lost()
      return
    }
    this.#attachment = attachment
    this.#state = 'open'
    this.#outlet.push({ t: 'ok', req })
    attachment.wake()
    try {
      for (const waiting of this.#takeBacklog()) if (this.#isOpen) this.#handle(waiting)
    } catch (error) {
      this.#failWith(error)
    }
  }

  get #isOver(): boolean {
    return this.#state === 'over'
  }

  get #isOpen(): boolean {
    return this.#state === 'open'
  }

  #leave(req: number, attachment: Attachment): void {
    this.#isLeaving = true
    void attachment.leave().then(
      () => {
        this.#outlet.push({ t: 'ok', req })
        this.#finish()
        this.#outlet.close(1000, 'left')
      },
      (error: unknown) => {
        this.#isLeaving = false
        this.#refuse(req, error)
      },
    )
  }

  #watch(req: number, role: string): void {
    this.#watches.get(role)?.()
    const { members, stop } = this.#host.core.watch(role, (change) => this.#outlet.push({ t: 'presence', change }))
    this.#watches.set(role, stop)
    const first = fitting(members)
    this.#outlet.push({ t: 'ok', req, members: members.slice(0, first) })
    // Those for whom a header has no room follow as if they had just come.
    for (const change of members.slice(first)) this.#outlet.push({ t: 'presence', change })
  }

  // ─── answers and ends ────────────────────────────────────────────────────────────────────────────────────────

  #answer(req: number | undefined, work: Promise<Answer | undefined | void>, bytes = 0): void {
    const weight = bytes + requestWeight
    this.#gate.begin(weight)
    const request = work
      .then((answer) => {
        if (req === undefined || this.#state === 'over') return
        const { payload, ...ok } = answer ?? {}
        this.#outlet.push({ t: 'ok', req, ...ok }, payload)
      })
      .catch((error: unknown) => this.#refuse(req, error))
      .finally(() => {
        this.#gate.end(weight)
        this.#requests.delete(request)
      })
    this.#requests.add(request)
  }

  #refuse(req: number | undefined, error: unknown): void {
    const code = codeOf(error) ?? 'INTERNAL'
    if (code === 'INTERNAL') this.#host.options.logger('error', 'request failed', { error: String(error) })
    if (req !== undefined && this.#state !== 'over')
      this.#outlet.push({ t: 'error', req, code, message: textOf(error) })
  }

  #failWith(error: unknown): void {
    this.#fail(codeOf(error) ?? 'INTERNAL', textOf(error))
  }

  #fail(code: ErrorCode, message: string = errors[code].text): void {
    if (this.#state === 'over') return
    this.#finish()
    this.#outlet.push({ t: 'error', code, message })
    this.#outlet.close(closeCode(code) ?? internalError, code)
  }

  /** The other side does not read: it may come back when it does. */
  #cutSlow(): void {
    if (this.#state === 'over') return
    const { core, options } = this.#host
    core.counters.slowConsumers += 1
    options.logger('warn', 'slow consumer', { address: this.#attachment?.sender.address ?? anonymous.address })
    this.#fail('SLOW_CONSUMER')
  }

  #finish(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#cancelHello()
    this.#gate.stop()
    this.#backlog = []
    for (const stop of this.#watches.values()) stop()
    this.#attachment?.lost()
  }
}

/** What goes into an `ok`, and the payload beside it. */
export interface Answer extends Partial<Omit<Ok, 't' | 'req'>> {
  readonly payload?: Uint8Array
}

function closeCode(code: ErrorCode): number | undefined {
  const row: ErrorRow = errors[code]
  return row.close
}

/** Long enough to help, short enough for a header. */
function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 1000)
}
