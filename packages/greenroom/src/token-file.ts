/**
 * The token that a program shows, out of a file: whoever renews it writes the file anew, and nothing is restarted.
 *
 * - *F1* A signed one is looked for again at each third of the time that is left, at least each minute and at most each second.
 *   The present one is told each time: of what its listener passes on, two may be lost. A plain one, which does not expire, is
 *   read for each connection.
 * - *F2* What cannot be read, is no signed token, has expired, is of another subject or is refused takes the place of none. When
 *   a quarter of its time is left, it is said that no newer one has come, and why.
 * - *F3* Only a bus knows what a token is worth: a newer one is shown to it before it is used, at each look until it is taken.
 *   What is refused, or of another subject, is said at once.
 */
import { readToken } from '@greenroom/broker'
import type { TokenSource } from '@greenroom/bus'
import {
  codeOf,
  GreenroomError,
  type Clock,
  type ErrorCode,
  type IssuedToken,
  type Timer,
  type TokenClaims,
} from '@greenroom/proto'
import { readGivenFile } from './platform/given-file.ts'

/** What a token file is given. */
export interface TokenFileOptions {
  readonly clock: Clock
  /**
   * Has a newer token taken (F3): rejects with why it is not. `CONNECT_FAILED` is no refusal.
   *
   * @param newer - the newer one
   * @param present - the one in use, while it holds
   */
  readonly take: (newer: string, present: string | undefined) => Promise<void>
  /** Called at each look (F1) with the present token. */
  readonly onLook: (token: IssuedToken) => void
  /** Says what a person has to do something about (F2). */
  readonly warn: (text: string) => void
  /** Says that a newer one is used from now on. */
  readonly inform: (text: string) => void
}

const [shortestMs, longestMs] = [1_000, 60_000]
/** F2, as a part of its time. */
const warned = 1 / 4

/** See F1 and F2. */
export class TokenFile implements Disposable {
  readonly #path: string
  readonly #options: TokenFileOptions
  #token: string
  /** What it says; undefined of a plain one. */
  #claims: TokenClaims | undefined
  #timer: Timer | undefined
  /** Why the file's content is of no use. */
  #obstacle = ''
  #isWarned = false
  /** What was warned of last (F3). */
  #refusal = ''
  #isOver = false

  /**
   * @param path - the file, closed to other users
   * @param options - see {@link TokenFileOptions}
   * @throws GreenroomError `BAD_OPTIONS`
   */
  constructor(path: string, options: TokenFileOptions) {
    this.#path = path
    this.#options = options
    this.#token = this.#read()
    this.#claims = claimsOf(this.#token)
    if (this.#claims !== undefined) this.#wait(this.#claims)
  }

  /** The present one. */
  get token(): string {
    return this.#claims === undefined ? this.#plain() : this.#token
  }

  /** For a bus that is given what is newer by `renew`. */
  get source(): TokenSource {
    return this.#claims === undefined ? () => this.#plain() : this.#token
  }

  /** Whose it is; undefined of a plain one. */
  get subject(): string | undefined {
    return this.#claims?.sub
  }

  /**
   * Why a bus turned its peer away, in the words of whoever has to write the file.
   *
   * @param code - the bus's
   * @param message - the bus's
   */
  explain(code: ErrorCode, message: string): GreenroomError {
    if (code === 'TOKEN_EXPIRED') return new GreenroomError('UNAUTHORIZED', `UNAUTHORIZED: ${this.#words('expired')}`)
    if (code !== 'UNAUTHORIZED' && code !== 'FORBIDDEN') return new GreenroomError(code, message)
    return new GreenroomError(code, `${code}: ${this.#name}: ${message}`)
  }

  [Symbol.dispose](): void {
    this.#isOver = true
    this.#timer?.cancel()
  }

  #read(): string {
    return readGivenFile('--token-file', this.#path, { secret: true }).trim()
  }

  #plain(): string {
    const token = this.#read()
    if (token !== this.#token) this.#options.inform(`${this.#name} was read again: there is a newer one`)
    this.#token = token
    return token
  }

  #wait(claims: TokenClaims): void {
    const { clock } = this.#options
    const leftMs = (endOf(claims) - clock.now()) / 3
    const delayMs = Math.min(longestMs, Math.max(shortestMs, leftMs))
    this.#timer = clock.timer(delayMs, () => void this.#look(claims), { background: true })
  }

  async #look(last: TokenClaims): Promise<void> {
    const { clock, onLook, warn } = this.#options
    const claims = (await this.#taken(last)) ?? last
    if (this.#isOver) return
    onLook({ token: this.#token, expiresAt: endOf(claims) })
    const isDue = endOf(claims) - clock.now() <= (claims.exp - claims.iat) * 1_000 * warned
    if (isDue && !this.#isWarned) warn(this.#words('expires'))
    this.#isWarned ||= isDue
    this.#wait(claims)
  }

  /** What the newer one says, when there is one and it is taken (F3). */
  async #taken(last: TokenClaims): Promise<TokenClaims | undefined> {
    const newer = this.#newer(last)
    if (newer === undefined) return undefined
    const { token, claims } = newer
    try {
      await this.#options.take(token, endOf(last) > this.#options.clock.now() ? this.#token : undefined)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const code = codeOf(error)
      if (code === 'CONNECT_FAILED') this.#obstacle = `: what is there was not shown yet: ${why}`
      else this.#refuse(token, `refused: ${code ?? 'INTERNAL'}: ${why}`)
      return undefined
    }
    this.#token = token
    this.#claims = claims
    this.#isWarned = false
    this.#refusal = ''
    this.#options.inform(
      `${this.#name} was read again: the newer one holds until ${new Date(endOf(claims)).toISOString()}`,
    )
    return claims
  }

  /** F2 */
  #newer({ sub }: TokenClaims): { readonly token: string; readonly claims: TokenClaims } | undefined {
    try {
      const token = this.#read()
      this.#obstacle = ''
      if (token === this.#token) return undefined
      const claims = claimsOf(token)
      if (claims === undefined) this.#obstacle = ': what is there is no signed token'
      else if (endOf(claims) <= this.#options.clock.now()) this.#obstacle = ': what is there has expired, too'
      // Names hold it, and those of a process that runs do not change.
      else if (claims.sub !== sub) this.#refuse(token, `of the subject "${claims.sub}", not of "${sub}"`)
      else return { token, claims }
    } catch (error) {
      this.#obstacle = `: ${error instanceof Error ? error.message : String(error)}`
    }
    return undefined
  }

  /** Says it once of each, not at each look. */
  #refuse(token: string, why: string): void {
    this.#obstacle = `: what is there is ${why}`
    const refusal = `${why} ${token}`
    if (refusal !== this.#refusal && !this.#isOver) this.#options.warn(`${this.#name} is not replaced${this.#obstacle}`)
    this.#refusal = refusal
  }

  get #name(): string {
    return `the token of --token-file ${this.#path}`
  }

  #words(verb: 'expires' | 'expired'): string {
    const at = this.#claims === undefined ? 'once' : new Date(endOf(this.#claims)).toISOString()
    return `${this.#name} ${verb} at ${at}, and no newer one is there${this.#obstacle}`
  }
}

function claimsOf(token: string): TokenClaims | undefined {
  try {
    return readToken(token)
  } catch {
    return undefined
  }
}

/** In milliseconds since the epoch. */
function endOf({ exp }: TokenClaims): number {
  return exp * 1_000
}
