/**
 * Approvals over HTTP, as `Request` and `Response`.
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
 */
import { codeOf, GreenroomError, isErrorCode, isId } from '@greenroom/proto'
import type { ApprovalFilter, RunnerApprovals, Verdict } from './approval.ts'
import { isVerdict } from './route.ts'

/** The largest body that is read, in characters: an edited input is no document. */
const maxBody = 1024 * 1024

const statusOf: Readonly<Record<string, number>> = {
  UNKNOWN_APPROVAL: 404,
  BAD_OPTIONS: 400,
  CLOSED: 503,
  STORAGE_FULL: 507,
}

/**
 * Makes a handler of HTTP requests for approvals. Whoever mounts it says who may use it: it lets everybody in.
 *
 * @param approvals - a runner's
 * @param basePath - what stands before its paths, as `/greenroom`. = nothing
 * @returns answers a request; never rejects
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function createApprovalHandler(
  approvals: RunnerApprovals,
  basePath = '',
): (request: Request) => Promise<Response> {
  if (!/^(?:\/[^/?#]+)*$/.test(basePath))
    throw new GreenroomError('BAD_OPTIONS', 'basePath must begin with "/" and not end with it, as /greenroom')
  return async (request) => {
    try {
      return await answer(approvals, request, basePath)
    } catch (error) {
      const code = codeOf(error)
      const message = error instanceof Error ? error.message : String(error)
      return failure(statusOf[code ?? ''] ?? 500, isErrorCode(code) ? code : 'INTERNAL', message)
    }
  }
}

async function answer(approvals: RunnerApprovals, request: Request, basePath: string): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url)
  const path = pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : ''
  const [, collection, id, ...more] = path.split('/')
  const isKnown = (collection === 'approvals' || collection === 'grants') && more.length === 0
  // Ids are out of an alphabet that needs no escapes.
  if (!isKnown || (id !== undefined && !isId(id))) return failure(404, 'UNKNOWN_PATH', `there is no ${pathname}`)
  const { method } = request
  if (collection === 'approvals') {
    if (method === 'GET' && id === undefined) return json({ approvals: approvals.list(filterOf(searchParams)) })
    if (method === 'GET' && id === 'events') return events(approvals, request.signal)
    if (method === 'GET' && id !== undefined) return json({ approval: approvals.get(id) })
    if (method === 'POST' && id !== undefined)
      return json({ approval: await approvals.answer(id, await verdictIn(request)) })
  } else {
    if (method === 'GET' && id === undefined) return json({ grants: approvals.grants() })
    if (method === 'DELETE' && id !== undefined) return json({ revoked: await approvals.revoke(id) })
  }
  return failure(405, 'UNKNOWN_METHOD', `${method} is not for ${pathname}`)
}

function filterOf(params: URLSearchParams): ApprovalFilter {
  const unknown = [...params.keys()].find((name) => name !== 'runId' && name !== 'state')
  if (unknown !== undefined) throw new GreenroomError('BAD_OPTIONS', `there is no parameter "${unknown}": runId, state`)
  const [runId, state] = [params.get('runId'), params.get('state')]
  if (state !== null && state !== 'pending' && state !== 'decided')
    throw new GreenroomError('BAD_OPTIONS', 'state is pending or decided')
  return { ...(runId === null ? {} : { runId }), ...(state === null ? {} : { state }) }
}

async function verdictIn(request: Request): Promise<Verdict> {
  const text = await request.text()
  if (text.length > maxBody) throw new GreenroomError('BAD_OPTIONS', `the body may have ${maxBody} characters`)
  const given = jsonOf(text)
  if (isVerdict(given)) return given
  throw new GreenroomError('BAD_OPTIONS', 'the body must be { "allow": true or false, "reason"?, "input"?, "scope"? }')
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new GreenroomError('BAD_OPTIONS', 'the body must be JSON', { cause })
  }
}

/** One event for each change, as long as the client listens. */
function events(approvals: RunnerApprovals, signal: AbortSignal): Response {
  const over = new AbortController()
  const changes = approvals.watch({ signal: AbortSignal.any([signal, over.signal]) })[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    // Servers hold headers back until there is something to write.
    start: (stream) => stream.enqueue(encoder.encode(': listening\n\n')),
    async pull(stream) {
      const next = await changes.next()
      if (next.done === true) return stream.close()
      stream.enqueue(encoder.encode(`id: ${next.value.id}\nevent: approval\ndata: ${JSON.stringify(next.value)}\n\n`))
    },
    cancel: () => over.abort(),
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } })
}

function json(document: object, status = 200): Response {
  return Response.json(document, { status, headers: { 'cache-control': 'no-store' } })
}

function failure(status: number, code: string, message: string): Response {
  return json({ error: { code, message } }, status)
}
