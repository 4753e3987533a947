/** What a connection may do now: its token, the newer ones that it shows, and what was refused since none grants it. */
import {
  codeOf,
  GreenroomError,
  isGranted,
  type Attach,
  type ClientHeader,
  type Clock,
  type ErrorCode,
  type IssuedToken,
  type Presence,
  type TokenRequest,
} from '@greenroom/proto'
import { isAllowed, type Authority } from './access.ts'
import type { Counters } from './counters.ts'
import type { Mint } from './mint.ts'
import type { BrokerLogger } from './options.ts'

/** How many wrong tokens `renew` may show in one go; one more each second. */
const guesses = 10

/** What a badge is made of. */
export interface BadgeParts {
  readonly mint: Mint
  readonly clock: Clock
  readonly counters: Counters
  readonly logger: BrokerLogger
}

type Refusal = 'forbidden' | 'unauthorized'

/** See the file. */
export class Badge {
  readonly #parts: BadgeParts
  #authority: Authority
  /** Renewals, one after the other. */
  #renewal: Promise<void> = Promise.resolve()
  /** As whom it attached, or is about to. */
  #seat: { readonly address: string; presence: Presence | undefined } | undefined

  readonly #said = new Set<Refusal>()
  /** Wrong tokens, less one for each second since. */
  #wrong = 0
  #wrongAt = 0

  constructor(parts: BadgeParts, authority: Authority) {
    this.#parts = parts
    this.#authority = authority
  }

  /** Why its token is worth nothing any more, when it is. */
  get flaw(): ErrorCode | undefined {
    if (this.#wrong > guesses) return 'UNAUTHORIZED'
    const { signed } = this.#authority
    if (signed === undefined) return undefined
    if (this.#parts.clock.monotonic() >= signed.until) return 'TOKEN_EXPIRED'
    return this.#parts.mint.hasKey(signed.kid) ? undefined : 'UNAUTHORIZED'
  }

  /** Whether its token grants a frame; one that it does not is counted. */
  allows(header: ClientHeader): boolean {
    const isGrantedNow = isAllowed(this.#authority.grants, header)
    if (!isGrantedNow) this.#refused(header.t)
    return isGrantedNow
  }

  /** It attaches. */
  sit({ address, presence }: Attach): void {
    this.#seat = { address, presence }
  }

  /** It did not attach after all. */
  rise(): void {
    this.#seat = undefined
  }

  /** It shows itself as another. */
  announce(presence: Presence): void {
    if (this.#seat !== undefined) this.#seat.presence = presence
  }

  /** Has a token made for it that allows no more; see `Mint.issue`. */
  async issue(request: TokenRequest): Promise<IssuedToken> {
    try {
      return await this.#parts.mint.issue(this.#authority, request)
    } catch (error) {
      if (codeOf(error) === 'FORBIDDEN') this.#refused('issue')
      throw error
    }
  }

  /**
   * Takes a newer token. One that is refused changes nothing, unless there are so many that somebody seems to guess: then
   * its own is worth nothing either.
   *
   * @param token - the newer one
   * @param watched - the roles that the connection follows then
   * @throws GreenroomError `UNAUTHORIZED`, `TOKEN_EXPIRED`; `FORBIDDEN` when it grants less than the connection has
   */
  renew(token: string, watched: () => Iterable<string>): Promise<void> {
    const renewal = this.#renewal.then(async () => {
      if (this.flaw !== undefined) throw new GreenroomError(this.flaw)
      const authority = await this.#parts.mint.authorityOf(token).catch((error: unknown) => this.#guessed(error))
      if (!this.#isCovered(authority, watched())) {
        this.#refused('renew')
        throw new GreenroomError('FORBIDDEN')
      }
      this.#authority = authority
    })
    this.#renewal = renewal.catch(() => {})
    return renewal
  }

  #guessed(error: unknown): never {
    const now = this.#parts.clock.monotonic()
    this.#wrong = Math.max(0, this.#wrong - (now - this.#wrongAt) / 1_000) + 1
    this.#wrongAt = now
    this.#refused('renew', 'unauthorized')
    throw error
  }

  #refused(frame: ClientHeader['t'], refusal: Refusal = 'forbidden'): void {
    const { counters, logger } = this.#parts
    counters[refusal] += 1
    // Once: whoever goes on trying fills no log.
    if (!this.#said.has(refusal)) logger('warn', refusal, { subject: this.#authority.subject, frame })
    this.#said.add(refusal)
  }

  #isCovered({ grants }: Authority, watched: Iterable<string>): boolean {
    const { address, presence } = this.#seat ?? {}
    const isSeated = address === undefined || isGranted(grants.consume, address)
    const isShown = presence === undefined || isGranted(grants.present, presence.role)
    return isSeated && isShown && [...watched].every((role) => isGranted(grants.watch, role))
  }
}
