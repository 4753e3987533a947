/** A runner over HTTP, for any framework that speaks `Request` and `Response`. */
import { createApprovalHandler, type RunnerApprovals } from '@greenroom/runner'

/** What of a runner a handler shows. */
export interface HandledRunner {
  /** What its runs ask for. */
  readonly approvals: RunnerApprovals
}

/** How a handler is mounted. */
export interface HandlerOptions {
  /** What stands before its paths, as `/greenroom`. = nothing */
  readonly basePath?: string
}

/**
 * Makes a handler of HTTP requests. Whoever mounts it says who may use it: it lets everybody in.
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
 * import { createHandler, createRunner } from 'greenroom'
 *
 * const runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   roles: { releaser: { executor: 'release' } },
 *   approvals: { person: 'elsewhere' },
 * })
 * const handle = createHandler(runner, { basePath: '/greenroom' })
 * const response = await handle(new Request('http://localhost/greenroom/approvals?state=pending'))
 * console.log(await response.json())
 * ```
 */
export function createHandler(
  runner: HandledRunner,
  { basePath = '' }: HandlerOptions = {},
): (request: Request) => Promise<Response> {
  return createApprovalHandler(runner.approvals, basePath)
}
