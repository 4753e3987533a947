/**
 * The token that a program shows, out of a file: whoever renews it writes the file anew, and nothing is restarted.
 *
 * - *F1* A signed one is looked for again at each third of the time that is left, at least each minute and at most each second.
 *   What is there is told each time: of what its listener passes on, two may be lost. A plain one, which does not expire, is
 *   read for each connection.
 * - *F2* What cannot be read, is no signed token or has expired takes the place of none. When a quarter of its time is left, it
 *   is said that no newer one has come, and why.
 */
import { readToken } from '@greenroom/broker'
import type { TokenSource } from '@greenroom/bus'
import {
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
  /** Called at each look (F1) with the token, and whether it was not there at the last one. */
  readonly onLook: (token: IssuedToken, isNewer: boolean) => void
  /** Says what a person has to do something about (F2). */
  readonly warn: (text: string) => void
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
    return this.#claims === undefined ? this.#read() : this.#token
  }

  /** For a bus that is given what is newer by `renew`. */
  get source(): TokenSource {
    return this.#claims === undefined ? () => this.#read() : this.#token
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
    if (code !== 'TOKEN_EXPIRED') return new GreenroomError(code, message)
    return new GreenroomError('UNAUTHORIZED', `UNAUTHORIZED: ${this.#words('expired')}`)
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel()
  }

  #read(): string {
    return readGivenFile('--token-file', this.#path, { secret: true }).trim()
  }

  #wait(claims: TokenClaims): void {
    const { clock } = this.#options
    const leftMs = (endOf(claims) - clock.now()) / 3
    const delayMs = Math.min(longestMs, Math.max(shortestMs, leftMs))
    this.#timer = clock.timer(delayMs, () => this.#look(claims), { background: true })
  }

  #look(last: TokenClaims): void {
    const { clock, onLook, warn } = this.#options
    const newer = this.#newer()
    const claims = newer?.claims ?? last
    this.#claims = claims
    this.#token = newer?.token ?? this.#token
    if (newer !== undefined) this.#isWarned = false
    onLook({ token: this.#token, expiresAt: endOf(claims) }, newer !== undefined)
    const isDue = endOf(claims) - clock.now() <= (claims.exp - claims.iat) * 1_000 * warned
    if (isDue && !this.#isWarned) warn(this.#words('expires'))
    this.#isWarned ||= isDue
    this.#wait(claims)
  }

  /** F2 */
  #newer(): { readonly token: string; readonly claims: TokenClaims } | undefined {
    try {
      const token = this.#read()
      this.#obstacle = ''
      if (token === this.#token) return undefined
      const claims = claimsOf(token)
      if (claims !== undefined && endOf(claims) > this.#options.clock.now()) return { token, claims }
      this.#obstacle = claims === undefined ? ': what is there is no signed token' : ': what is there has expired, too'
    } catch (error) {
      this.#obstacle = `: ${error instanceof Error ? error.message : String(error)}`
    }
    return undefined
  }

  #words(verb: 'expires' | 'expired'): string {
    const at = this.#claims === undefined ? 'once' : new Date(endOf(this.#claims)).toISOString()
    return `the token of --token-file ${this.#path} ${verb} at ${at}, and no newer one is there${this.#obstacle}`
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
