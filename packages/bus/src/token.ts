/** Tokens, as far as whoever shows one looks into it. */
import { parseTokenClaims } from '@greenroom/proto'

/**
 * A bearer token, or what gives the present one: it is asked before every connection. When a token expires the broker ends
 * the connection; with a function, or after `renew`, it comes back with the newer one.
 */
export type TokenSource = string | (() => string | Promise<string>)

/**
 * Whose a token is, as it says itself: nothing is verified.
 *
 * @param token - any
 * @returns undefined of a plain one
 */
export function subjectOf(token: string): string | undefined {
  try {
    const [, claims = ''] = token.split('.')
    return parseTokenClaims(JSON.parse(Buffer.from(claims, 'base64url').toString())).sub
  } catch {
    return undefined
  }
}
