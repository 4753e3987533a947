/**
 * One mailbox at a broker: a {@link Peer} that outlives its connections.
 *
 * Parts: `connection` one socket · `backoff` the pause before the next · `requests` what is unanswered · `holding` what
 * is held · `watches` who is followed.
 *
 * ```text
 *            ┌────── backoff ◄─── lost ────┐
 *            ▼                             │
 * new ──► connecting ──► attached ─────────┤
 *            │              │              │
 *            └──────────────┴── final ──► closed
 * ```
 *
 * - *K1* A new connection attaches with what is held, repeats what is unanswered, then follows its roles again.
 * - *K2* `closed` is for good: every call that waits is rejected with why, nothing is written, no timer is left.
 * - *K3* Handlers run one at a time, never from within a call of the peer, and not before `attach` has resolved.
 */
import { encodeFrame, GreenroomError, limits } from '@greenroom/proto'
import type {
  FenceTarget,
  Attach,
  BrokerHeader,
  IssuedToken,
  LiveMessage,
  Ok,
  Outgoing,
  Peer,
  PeerEnd,
  PeerOptions,
  PeerState,
  Presence,
  PresenceChange,
  Random,
  Receipt,
  Revocation,
  Timer,
  TokenRequest,
  Waiting,
  Welcome,
} from '@greenroom/proto'
import { aborted, onAbort } from './abort.ts'
import { Backoff, type BackoffOptions } from './backoff.ts'
import { checkNames, checkPayload } from '@greenroom/proto'
import { Connection, type ConnectionOptions, type ConnectionOutcome } from './connection.ts'
import { Holding } from './holding.ts'
import { nextTurn } from './platform/tick.ts'
import { Requests, type Lasting } from './requests.ts'
import { Watches } from './watches.ts'

/** What every peer of one bus shares. */
export interface ClientOptions extends ConnectionOptions {
  readonly backoff: BackoffOptions
  readonly random: Random
  /** Whether the next connection may show another token than this. */
  readonly mayHaveNewer: (shown: string | undefined) => boolean
  readonly welcomed: (welcome: Welcome) => void
  readonly ended: (peer: ClientPeer) => void
}

/** A connection that stood this long was a good one: the next pause is short again. */
const STEADY_MS = 1000
/** Who was attached before finds time for this many handshakes before it is fenced: one may be met by silence. */
const HANDSHAKES_IN_GRACE = 3
const MIN_HELLO_MS = 1000
/** How long who has said all that it had to say waits for a connection, to leave in order. */
const LEAVE_MS = 1500

/** See K1 to K3. */
export class ClientPeer implements Peer {
  readonly address: string
  readonly incarnation: string
  readonly closed: Promise<PeerEnd>
  readonly #options: ClientOptions
  readonly #own: PeerOptions
  readonly #requests: Requests
  readonly #holding: Holding
  readonly #watches: Watches
  readonly #backoff: Backoff
  readonly #ready = Promise.withResolvers<void>()
  readonly #end = Promise.withResolvers<PeerEnd>()
  readonly #forgetSignal: () => void
  /** What came before K3 allows it to be handed over. */
  #early: (() => void)[] | undefined = []
  #presence: Presence | undefined
  #state: PeerState = 'lost'
  #ended: GreenroomError | undefined
  #lastFailure: GreenroomError | undefined
  #connection: Connection | undefined
  #pause: { cancel(): void } | undefined
  #attachedAt: number | undefined
  #partitionGraceMs: number = limits.partitionGraceMs
  #draining: Promise<void> | undefined
  #leaving = false

  constructor(options: ClientOptions, own: PeerOptions) {
    this.#options = options
    this.#own = own
    this.address = own.address
    this.incarnation = own.incarnation
    this.closed = this.#end.promise
    this.#presence = own.presence
    this.#backoff = new Backoff(options.backoff, options.random)
    this.#requests = new Requests(options.clock, limits.dedupeWindowMs / 2, (frame, control) =>
      this.#connection?.send(frame, control),
    )
    this.#holding = new Holding({
      request: (verdict) => this.#ask((req) => encodeFrame({ ...verdict, req }), true, undefined, 'always'),
      defer: options.defer,
      timesOut: own.visibilityMs !== undefined,
    })
    this.#watches = new Watches({
      subscribe: (role) => this.#subscribe(role),
      unsubscribe: (role) => this.#connection?.send(encodeFrame({ t: 'unwatch', role }), true),
      defer: nextTurn,
      guard: (call) => this.#guard(call),
    })
    encodeFrame(this.#attachHeader())
    this.#forgetSignal = onAbort(own.signal, () => this.#stop('CLOSED', 'the attach was stopped by its caller'))
    this.#connect()
  }

  get state(): PeerState {
    return this.#state
  }

  /** Resolves when it is attached for the first time. */
  async ready(): Promise<void> {
    try {
      await this.#ready.promise
    } catch (error) {
      if (this.#own.signal?.aborted !== true) throw error
      throw aborted(this.#own.signal, this.#lastFailure?.message ?? 'attach', this.#lastFailure)
    } finally {
      this.#forgetSignal()
    }
  }

  async send(message: Outgoing, options?: Waiting): Promise<Receipt> {
    const { to, id, kind, control, ttlMs, payload } = message
    checkNames(to, kind, id)
    checkPayload(payload)
    const encode = (req: number): Uint8Array => encodeFrame({ t: 'send', req, to, id, kind, control, ttlMs }, payload)
    const ok = await this.#ask(encode, control === true, options?.signal)
    return { seq: ok.seq ?? 0, duplicate: ok.duplicate === true }
  }

  publish(message: { readonly to: string; readonly kind: string; readonly payload: Uint8Array }): boolean {
    const { to, kind, payload } = message
    checkNames(to, kind)
    checkPayload(payload)
    if (this.#state !== 'attached' || this.#connection?.hasRoom !== true) return false
    this.#connection.send(encodeFrame({ t: 'live', to, kind }, payload), false)
    return true
  }

  async revoke(message: { readonly to: string; readonly id: string }, options?: Waiting): Promise<Revocation> {
    const { to, id } = message
    checkNames(to, undefined, id)
    const ok = await this.#ask((req) => encodeFrame({ t: 'revoke', req, to, id }), true, options?.signal)
    return ok.revoked ?? 'unknown'
  }

  announce(presence: Presence): void {
    checkNames(presence.role)
    // Refuses what no attach could say.
    encodeFrame(this.#attachHeader(presence))
    this.#presence = presence
    this.#connection?.send(encodeFrame({ t: 'announce', presence }), true)
  }

  watch(role: string, listener: (change: PresenceChange) => void): () => void {
    checkNames(role)
    return this.#ended === undefined ? this.#watches.watch(role, listener) : () => {}
  }

  async fence({ address, incarnation, seenDead = false }: FenceTarget, options?: Waiting): Promise<void> {
    checkNames(address, undefined, incarnation)
    const target = { address, incarnation, ...(seenDead && { seenDead }) }
    await this.#ask((req) => encodeFrame({ t: 'fence', req, ...target }), true, options?.signal, 'always')
  }

  /** Shows a newer token on the present connection; the next one will show it anyway. */
  async renew(token: string): Promise<void> {
    if (this.#state !== 'attached') return
    await this.#ask((req) => encodeFrame({ t: 'renew', req, token }), true, undefined, 'connection')
  }

  /** Asks for a token that allows no more than this peer's. */
  async issue({ subject, grants, forMs }: TokenRequest, options?: Waiting): Promise<IssuedToken> {
    const encode = (req: number): Uint8Array => encodeFrame({ t: 'issue', req, subject, grants, forMs })
    const { token = '', expiresAt = 0 } = await this.#ask(encode, true, options?.signal)
    return { token, expiresAt }
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain()
    return this.#draining
  }

  close(): Promise<void> {
    this.#stop('CLOSED', 'the peer was closed')
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  async #drain(): Promise<void> {
    const giveUpAfter = (ms: number): Timer =>
      this.#options.clock.timer(ms, () => {
        if (this.#state === 'attached') timer = giveUpAfter(ms)
        else this.#stop('CLOSED', 'drained without a connection')
      })
    // A peer that is lost for this long is gone without having left.
    let timer = giveUpAfter(this.#partitionGraceMs)
    try {
      do {
        this.#holding.flush()
        await this.#requests.whenIdle()
      } while (this.#holding.hasUnsent)
      this.#leaving = true
      timer.cancel()
      // What it still holds is given back when it is gone.
      timer = giveUpAfter(Math.min(LEAVE_MS, this.#partitionGraceMs))
      if (this.#ended === undefined) await this.#ask((req) => encodeFrame({ t: 'leave', req }), false)
    } catch {
      // It ended before it could leave: `closed` says why.
    } finally {
      timer.cancel()
      this.#stop('CLOSED', 'the peer was drained')
    }
  }

  // ─── connections ───────────────────────────────────────────────────────────────────────────────────────────────

  #connect(): void {
    this.#pause = undefined
    // A broker that does not know of visibility timeouts would take the attach, and return nothing.
    const required = this.#own.visibilityMs === undefined ? [] : ['visibility']
    const options = {
      ...this.#options,
      required: [...this.#options.required, ...required],
      helloMs: this.#helloMs,
    }
    this.#connection = new Connection(options, {
      attach: () => this.#attachHeader(),
      attached: (welcome) => this.#attached(welcome),
      frame: (header, payload) => this.#frame(header, payload),
      over: (outcome) => this.#over(outcome),
    })
  }

  get #helloMs(): number {
    const { helloMs } = this.#options
    if (this.#attachedAt === undefined) return helloMs
    return Math.min(helloMs, Math.max(this.#partitionGraceMs / HANDSHAKES_IN_GRACE, MIN_HELLO_MS))
  }

  #attachHeader(presence = this.#presence): Attach {
    const { address, incarnation, lifetime, credit = 64, controlCredit = 64, visibilityMs } = this.#own
    const header: Attach = {
      t: 'attach',
      req: 0,
      address,
      incarnation,
      lifetime,
      credit,
      controlCredit,
      ...(visibilityMs === undefined ? {} : { visibilityMs }),
      ...(this.#attachedAt === undefined ? {} : { again: true }),
      ...(presence === undefined ? {} : { presence }),
    }
    const room = limits.headerBytes - Buffer.byteLength(JSON.stringify(header)) - 32
    return { ...header, ...this.#holding.listed(room) }
  }

  #attached(welcome: Welcome): void {
    const first = this.#attachedAt === undefined
    this.#attachedAt = this.#options.clock.monotonic()
    this.#partitionGraceMs = welcome.partitionGraceMs
    this.#options.welcomed(welcome)
    this.#state = 'attached'
    this.#requests.repeat(welcome.dedupeWindowMs)
    this.#watches.resubscribe()
    if (first) {
      this.#ready.resolve()
      nextTurn(() => this.#handOverEarly())
    } else this.#tellState()
  }

  #over(ended: ConnectionOutcome): void {
    const outcome = this.#judged(ended)
    this.#connection = undefined
    if (outcome.kind === 'final') {
      // A peer that left is gone: when the answer was lost, this is it.
      const left = this.#leaving && outcome.end.code === 'FENCED'
      this.#stop(left ? 'CLOSED' : outcome.end.code, outcome.end.message)
      return
    }
    this.#lastFailure = outcome.error
    const { clock } = this.#options
    if (this.#state === 'attached' && clock.monotonic() - (this.#attachedAt ?? 0) >= STEADY_MS) this.#backoff.reset()
    // The first attach is waited for; what comes back later keeps alive only who asked for it.
    const background = this.#options.background && this.#attachedAt !== undefined
    this.#pause = clock.timer(this.#backoff.next(), () => this.#connect(), { background })
    if (this.#state !== 'attached') return
    this.#state = 'lost'
    this.#requests.lost()
    this.#tellState()
  }

  /** Not for good: a token of which there may be a newer one, and a certificate that was good once. */
  #judged(outcome: ConnectionOutcome): ConnectionOutcome {
    if (outcome.kind === 'lost') return outcome
    const { code, message } = outcome.end
    const isCertificate = code === 'CERTIFICATE_UNTRUSTED' || code === 'CERTIFICATE_EXPIRED'
    const mayPass =
      code === 'TOKEN_EXPIRED'
        ? this.#options.mayHaveNewer(this.#connection?.token)
        : isCertificate && this.#attachedAt !== undefined
    return mayPass ? { kind: 'lost', error: new GreenroomError(code, message) } : outcome
  }

  /** K2 */
  #stop(code: PeerEnd['code'], message: string): void {
    if (this.#ended !== undefined) return
    this.#ended = new GreenroomError(code, message)
    this.#state = 'closed'
    this.#early = undefined
    this.#pause?.cancel()
    this.#connection?.close(1000)
    this.#connection = undefined
    this.#watches.end()
    this.#holding.end(this.#ended)
    this.#requests.end(this.#ended)
    this.#ready.reject(this.#ended)
    this.#ready.promise.catch(() => {})
    // K3: it may be the owner who closes.
    queueMicrotask(() => this.#tellState())
    this.#end.resolve({ code, message })
    this.#options.ended(this)
  }

  // ─── frames ────────────────────────────────────────────────────────────────────────────────────────────────────

  #frame(header: BrokerHeader, payload: Uint8Array): void {
    switch (header.t) {
      case 'ok':
      case 'error':
        this.#requests.answer(header)
        return
      case 'deliver': {
        // What comes while it drains stays unhandled: leaving gives it back.
        const delivery = this.#draining === undefined ? this.#holding.take(header, payload) : undefined
        if (delivery !== undefined) this.#handOver(() => this.#own.onMessage?.(delivery))
        return
      }
      case 'live': {
        const { kind, from, fromIncarnation } = header
        const message: LiveMessage = { kind, from, fromIncarnation, payload }
        this.#handOver(() => this.#own.onLive?.(message))
        return
      }
      case 'presence':
        this.#watches.change(header.change)
        return
      case 'welcome':
      case 'pong':
    }
  }

  #handOver(call: () => void): void {
    if (this.#early === undefined) this.#guard(call)
    else this.#early.push(call)
  }

  #handOverEarly(): void {
    const early = this.#early
    this.#early = undefined
    for (const call of early ?? []) if (this.#ended === undefined) this.#guard(call)
  }

  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#own.onError?.(error)
    }
  }

  #tellState(): void {
    if (this.#attachedAt !== undefined) this.#guard(() => this.#own.onState?.(this.#state))
  }

  // ─── requests ──────────────────────────────────────────────────────────────────────────────────────────────────

  #ask(encode: (req: number) => Uint8Array, control: boolean, signal?: AbortSignal, lasts?: Lasting): Promise<Ok> {
    if (this.#ended !== undefined) return Promise.reject(new GreenroomError(this.#ended.code, this.#ended.message))
    if (signal?.aborted === true) return Promise.reject(aborted(signal, 'the call'))
    return new Promise((resolve, reject) => {
      const req = this.#requests.next()
      const frame = encode(req)
      if (signal === undefined) {
        this.#requests.add(req, { frame, control, lasts, accept: resolve, reject })
        return
      }
      const forget = onAbort(signal, () => {
        this.#requests.forget(req)
        reject(aborted(signal, 'the call'))
      })
      const accept = (ok: Ok): void => {
        forget()
        resolve(ok)
      }
      const refuse = (error: GreenroomError): void => {
        forget()
        reject(error)
      }
      this.#requests.add(req, { frame, control, lasts, accept, reject: refuse })
    })
  }

  /** Not by a promise: changes that follow the answer in the same chunk must find the snapshot. */
  #subscribe(role: string): void {
    if (this.#state !== 'attached') return
    const req = this.#requests.next()
    this.#requests.add(req, {
      frame: encodeFrame({ t: 'watch', req, role }),
      control: true,
      lasts: 'connection',
      accept: ({ members }) => {
        if (members !== undefined) this.#watches.snapshot(role, members)
      },
      reject: (error) => {
        if (this.#ended === undefined) this.#own.onError?.(error)
      },
    })
  }
}
