/** A runner over HTTP, for any framework that speaks `Request` and `Response`. */
import { createApprovalHandler, type HandlerOptions, type RunnerApprovals } from '@greenroom/runner'

/** What of a runner a handler shows. */
export interface HandledRunner {
  /** What its runs ask for. */
  readonly approvals: RunnerApprovals
}

/**
 * Makes a handler of HTTP requests. Without `mayAnswer` it lets everybody in: mount it behind your own authentication, or let
 * signed tokens say which roles' approvals their bearers may answer.
 *
 * ```text
 * GET    /approvals?runId=…&state=pending|decided   { approvals }
 * GET    /approvals/events                          server-sent events: those that wait, then each change
 * GET    /approvals/ID                              { approval }
 * POST   /approvals/ID   { allow, reason?, input?, scope? }   { approval }: with the decision that counts
 * GET    /grants                                    { grants }
 * DELETE /grants/ID                                 { revoked }
 * ```
 *
 * An error is `{ error: { code, message } }`.
 *
 * @param runner - a runner
 * @param options - see {@link HandlerOptions}
 * @returns answers a request; never rejects
 * @throws GreenroomError `BAD_OPTIONS`
 *
 * @example
 * ```ts
 * import { bySignedToken, createHandler, createRunner } from 'greenroom'
 *
 * const runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   roles: { releaser: { executor: 'release' } },
 *   approvals: { person: 'elsewhere' },
 * })
 * const keys = [process.env['TOKEN_KEY'] ?? '']
 * const handle = createHandler(runner, { basePath: '/greenroom', mayAnswer: bySignedToken(keys) })
 * const headers = { authorization: `Bearer ${process.env['TOKEN']}` }
 * const response = await handle(new Request('http://localhost/greenroom/approvals?state=pending', { headers }))
 * console.log(await response.json())
 * ```
 */
export function createHandler(
  runner: HandledRunner,
  options: HandlerOptions = {},
): (request: Request) => Promise<Response> {
  return createApprovalHandler(runner.approvals, options)
}
