/**
 * A worker's own token: for its mailbox, what workers say to this runner, its presence, and nothing else (PROTOCOL.md, R12).
 *
 * - *N1* It is renewed at each third of its time, over the live lane, so that it is on no disk; two may be lost.
 * - *N2* One that nobody may be there to renew lasts as long as its run may take and what it tells is kept.
 */
import {
  encodeMessage,
  workerGrants,
  type Clock,
  type IssuedToken,
  type Peer,
  type Timer,
  type TokenRequest,
} from '@greenroom/proto'
import type { Logger } from '../launcher.ts'

/** Has tokens made. */
export type TokenIssuer = (request: TokenRequest) => Promise<IssuedToken>

/** How long a token lasts, in milliseconds: so long may the broker be away, less a third. */
const tokenMs = 3_600_000
/** How long a broker keeps what a detached worker tells, in milliseconds. */
const keptMs = 7 * 86_400_000
/** What a run without a total limit counts as, in milliseconds. */
const unboundedMs = 365 * 86_400_000
const rounds = 3

/** Whose token it is, and who renews it. */
export interface WorkerTokenOptions {
  readonly issue: TokenIssuer
  /** The runner's. */
  readonly peer: Peer
  /** The worker's mailbox. */
  readonly address: string
  /** What it is present as. */
  readonly role: string
  /** N2: how long its run may take; without a bound Infinity; undefined when it ends with this runner. */
  readonly detachedMs: number | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** See N1 and N2. */
export class WorkerToken {
  /** The first one. */
  readonly first: Promise<string>
  readonly #options: WorkerTokenOptions
  /** What was sent last, in case it was lost. */
  #last: IssuedToken | undefined
  #timer: Timer | undefined
  #isOver = false

  constructor(options: WorkerTokenOptions) {
    this.#options = options
    this.first = this.#issue().then(({ token }) => token)
  }

  /** The worker's connection is back. */
  attached(): void {
    if (this.#last !== undefined) this.#send(this.#last)
  }

  /** Nobody renews it any more. */
  stop(): void {
    this.#isOver = true
    this.#timer?.cancel()
  }

  async #issue(): Promise<IssuedToken> {
    const { issue, peer, address, role, detachedMs } = this.#options
    const grants = workerGrants({ address, runner: peer.address, role })
    const forMs = detachedMs === undefined ? tokenMs : Math.min(detachedMs, unboundedMs) + keptMs
    const issued = await issue({ subject: address, grants, forMs })
    if (detachedMs === undefined) this.#renewAfter(issued)
    return issued
  }

  #renewAfter({ expiresAt }: IssuedToken): void {
    const { clock } = this.#options
    if (this.#isOver) return
    const delayMs = Math.max(0, expiresAt - clock.now()) / rounds
    this.#timer = clock.timer(delayMs, () => void this.#renew(), { background: true })
  }

  async #renew(): Promise<void> {
    try {
      this.#last = await this.#issue()
      if (!this.#isOver) this.#send(this.#last)
    } catch (error) {
      this.#options.logger.warn('a worker has no newer token', {
        address: this.#options.address,
        error: error instanceof Error ? error.message : String(error),
      })
      // As long again as since the last one: the one it has may still hold.
      this.#renewAfter({ token: '', expiresAt: this.#options.clock.now() + tokenMs })
    }
  }

  #send(issued: IssuedToken): void {
    const { peer, address } = this.#options
    peer.publish({ to: address, kind: 'token', payload: encodeMessage('token', issued) })
  }
}
