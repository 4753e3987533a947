/**
 * Signed tokens (PROTOCOL.md §2, T1 and T2): made and read here, and nowhere else.
 *
 * A key is text of 32 bytes at least. Its id is a digest of it, so that nobody has to invent one, and a token says by
 * which of several keys it was signed.
 */
import {
  GreenroomError,
  parseTokenClaims,
  systemClock,
  type Clock,
  type Grants,
  type TokenClaims,
} from '@greenroom/proto'
import { decodeJwt, errors, jwtVerify, SignJWT } from 'jose'
import { createHash } from 'node:crypto'

const algorithm = 'HS256'
const type = 'greenroom+jwt'
const keyBytes = 32
/** As many as a `renew` takes. */
const tokenChars = 8_192

/** How much clocks of those who sign and those who verify may differ, in milliseconds. */
export const clockLeewayMs = 5_000

const bytesOf = (key: string): Uint8Array => new TextEncoder().encode(key)

/**
 * Refuses what is no key.
 *
 * @param name - how to call it in the error
 * @param key - the text
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkTokenKey(name: string, key: string): void {
  if (bytesOf(key).length < keyBytes)
    throw new GreenroomError('BAD_OPTIONS', `${name} must have at least ${keyBytes} bytes`)
}

/** The id of a key. */
export function keyIdOf(key: string): string {
  return createHash('sha256').update(`greenroom kid${key}`).digest('base64url').slice(0, 16)
}

/** What to put into a token. */
export interface TokenContent {
  /** Whose it is: an id, for people and logs. */
  readonly subject: string
  /** What it allows. */
  readonly grants: Grants
  /** When it ends, in milliseconds since the epoch; whole seconds count. */
  readonly expiresAt: number
}

/**
 * Signs a token.
 *
 * @param key - one of the broker's `tokenKeys`
 * @param content - what it says
 * @param clock - tells when it was made. = the system's
 * @throws GreenroomError `BAD_OPTIONS` when the key is too short, or what it says is not valid; `FRAME_TOO_LARGE` when it
 * would have more than 8,192 characters
 *
 * @example
 * ```ts
 * import { signToken } from '@greenroom/broker'
 *
 * const token = await signToken('a key of thirty-two bytes or more', {
 *   subject: 'reader',
 *   grants: { consume: ['inbox.reader'], send: [{ to: ['outbox'], kinds: ['note'] }] },
 *   expiresAt: Date.now() + 3_600_000,
 * })
 * console.log(token.length)
 * ```
 */
export async function signToken(
  key: string,
  { subject, grants, expiresAt }: TokenContent,
  clock: Clock = systemClock,
): Promise<string> {
  checkTokenKey('the key', key)
  const claims = { sub: subject, iat: Math.floor(clock.now() / 1000), exp: Math.floor(expiresAt / 1000), grants }
  try {
    parseTokenClaims(claims)
  } catch (cause) {
    throw new GreenroomError('BAD_OPTIONS', cause instanceof Error ? cause.message : String(cause), { cause })
  }
  const header = { alg: algorithm, typ: type, kid: keyIdOf(key) }
  const token = await new SignJWT(claims).setProtectedHeader(header).sign(bytesOf(key))
  if (token.length > tokenChars)
    throw new GreenroomError('FRAME_TOO_LARGE', `the token would have more than ${tokenChars} characters`)
  return token
}

/** A token that was verified. */
export interface VerifiedToken extends TokenClaims {
  /** The id of the key that signed it. */
  readonly kid: string
}

/**
 * Verifies a token.
 *
 * @param keys - any of them may have signed it
 * @param token - what was shown
 * @param clock - tells whether it has expired. = the system's
 * @throws GreenroomError `UNAUTHORIZED`, `TOKEN_EXPIRED`; neither says anything of the token
 */
export async function verifyToken(
  keys: readonly string[],
  token: string,
  clock: Clock = systemClock,
): Promise<VerifiedToken> {
  const byId = new Map(keys.map((key) => [keyIdOf(key), key]))
  try {
    const { payload, protectedHeader } = await jwtVerify(
      token,
      ({ kid = '' }) => {
        const key = byId.get(kid)
        if (key === undefined) throw new GreenroomError('UNAUTHORIZED')
        return bytesOf(key)
      },
      {
        algorithms: [algorithm],
        typ: type,
        requiredClaims: ['sub', 'exp'],
        currentDate: new Date(clock.now()),
        clockTolerance: clockLeewayMs / 1000,
      },
    )
    return { ...parseTokenClaims(payload), kid: protectedHeader.kid ?? '' }
  } catch (error) {
    // The library's words may quote what was shown.
    throw new GreenroomError(error instanceof errors.JWTExpired ? 'TOKEN_EXPIRED' : 'UNAUTHORIZED')
  }
}

/**
 * What a token says, whoever made it: nothing is verified.
 *
 * @param token - a signed token
 * @throws GreenroomError `UNAUTHORIZED` when it is none
 */
export function readToken(token: string): TokenClaims {
  try {
    return parseTokenClaims(decodeJwt(token))
  } catch {
    throw new GreenroomError('UNAUTHORIZED', 'this is no signed token of Greenroom')
  }
}
