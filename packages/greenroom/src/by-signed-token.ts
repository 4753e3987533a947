/** Who may answer what, as signed tokens say it. */
import { checkTokenKey, clockLeewayMs, verifyToken } from '@greenroom/broker'
import { GreenroomError, isGranted, systemClock, type Clock } from '@greenroom/proto'
import type { MayAnswer } from '@greenroom/runner'

/**
 * For `createHandler`: whoever shows a signed token (`Authorization: Bearer TOKEN`) may see and answer the approvals of the
 * roles that its grants name (`approvals`, patterns), and the grants that were given to those. Others are for it as if they
 * were not there. Without a token that is worth something nothing is answered (401: `UNAUTHORIZED`, `TOKEN_EXPIRED`), and a
 * stream of events ends with the first event after its token. The token's subject is recorded with what it decides.
 *
 * @param keys - the broker's, or others: any of them may have signed it. Each has at least 32 bytes
 * @param clock - tells whether it has expired. = the system's
 * @throws GreenroomError `BAD_OPTIONS`
 *
 * @example
 * ```ts
 * import { bySignedToken, createHandler, createRunner } from 'greenroom'
 *
 * await using runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   roles: { releaser: { executor: 'release' } },
 *   approvals: { person: 'elsewhere' },
 * })
 * // For whoever has one of: greenroom token --key-file KEYS --subject jo --approvals releaser
 * export const handle = createHandler(runner, { mayAnswer: bySignedToken([process.env['TOKEN_KEY'] ?? '']) })
 * ```
 */
export function bySignedToken(keys: readonly string[], clock: Clock = systemClock): MayAnswer {
  for (const key of keys) checkTokenKey('each key', key)
  return async ({ headers }) => {
    const [, token = ''] = /^Bearer +(\S+)$/i.exec(headers.get('authorization') ?? '') ?? []
    const { exp, sub, grants } = await verifyToken(keys, token, clock)
    return {
      by: sub,
      may({ role }) {
        if (clock.now() >= exp * 1000 + clockLeewayMs) throw new GreenroomError('TOKEN_EXPIRED')
        return isGranted(grants.approvals, role)
      },
    }
  }
}
