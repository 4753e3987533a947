/**
 * The mint: says what tokens are worth, and makes new ones.
 *
 * - *M1* A plain token is compared in the same time for all; a signed one is worth what one of the present keys says.
 * - *M2* Nobody gets a token that allows more than their own. One that outlasts it cannot have others issued that do.
 */
import { GreenroomError, narrowed, type Clock, type IssuedToken, type TokenRequest } from '@greenroom/proto'
import { client, operator, type Authority } from './access.ts'
import { clockLeewayMs, keyIdOf, signToken, verifyToken } from './signed-token.ts'

/** How long a token lasts whose asker does not say, in milliseconds. */
const issuedMs = 600_000

/** What a mint is made of. */
export interface MintOptions {
  readonly clock: Clock
  /** Whether a text is the clients' plain token. */
  readonly isClient: (shown: string) => boolean
  /** Whether a text is the operators' plain token. */
  readonly isOperator: (shown: string) => boolean
  /** The first one signs, all of them verify; at least one. */
  readonly keys: readonly string[]
}

/** See M1 and M2. */
export class Mint {
  readonly #options: MintOptions
  #keys: readonly string[]
  #keyIds: ReadonlySet<string>

  constructor(options: MintOptions) {
    this.#options = options
    this.#keys = options.keys
    this.#keyIds = new Set(options.keys.map(keyIdOf))
  }

  /** Other keys hold from now on. */
  useKeys(keys: readonly string[]): void {
    this.#keys = keys
    this.#keyIds = new Set(keys.map(keyIdOf))
  }

  /** Whether a key is there. */
  hasKey(kid: string): boolean {
    return this.#keyIds.has(kid)
  }

  /**
   * What a token gives.
   *
   * @throws GreenroomError `UNAUTHORIZED`, `TOKEN_EXPIRED`
   */
  async authorityOf(shown: string): Promise<Authority> {
    const { clock, isClient, isOperator } = this.#options
    const is = { client: isClient(shown), operator: isOperator(shown) }
    if (is.operator) return operator
    if (is.client) return client
    const { sub: subject, exp, grants, kid } = await verifyToken(this.#keys, shown, clock)
    const expiresAt = exp * 1000
    const until = clock.monotonic() + expiresAt + clockLeewayMs - clock.now()
    return { subject, grants, signed: { kid, expiresAt, until } }
  }

  /**
   * Makes a token for whoever has another (M2).
   *
   * @param own - what the other one gives
   * @param request - what is asked for
   * @throws GreenroomError `FORBIDDEN`, `BAD_OPTIONS`, `FRAME_TOO_LARGE`
   */
  async issue(own: Authority, { subject, grants: asked, forMs = issuedMs }: TokenRequest): Promise<IssuedToken> {
    const grants = narrowed(asked, own.grants)
    if (grants === undefined) throw new GreenroomError('FORBIDDEN')
    const now = this.#options.clock.now()
    const ownMs = (own.signed?.expiresAt ?? Infinity) - now
    const mayOutlast = grants.issueMs === undefined
    const longestMs = Math.max(ownMs, mayOutlast ? (own.grants.issueMs ?? 0) : 0)
    const expiresAt = Math.floor((now + Math.min(forMs, longestMs)) / 1000) * 1000
    const [key = ''] = this.#keys
    return { token: await signToken(key, { subject, grants, expiresAt }, this.#options.clock), expiresAt }
  }
}
