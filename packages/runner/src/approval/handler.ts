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
 * An error is `{ error: { code, message } }`. Who may see and answer what says {@link HandlerOptions.mayAnswer}.
 */
import { codeOf, GreenroomError, isErrorCode, isId } from '@greenroom/proto'
import type { AnswerOptions, Approval, ApprovalFilter, ApprovalRecord, RunnerApprovals, Verdict } from './approval.ts'
import { isVerdict } from './route.ts'

/** As much of a body is read, in bytes: an edited input is no document. */
const maxBody = 1024 * 1024

const statusOf: Readonly<Record<string, number>> = {
  UNAUTHORIZED: 401,
  TOKEN_EXPIRED: 401,
  UNKNOWN_APPROVAL: 404,
  BAD_OPTIONS: 400,
  CLOSED: 503,
  STORAGE_FULL: 507,
}

/** What an approval, and the grant that was given for it, are about. */
export type ApprovalSubject = Pick<Approval, 'role' | 'session' | 'tool' | 'permission' | 'resource'>

/** Who asks, and which approvals are for them. */
export interface Answerer {
  /** Who it is, as it is recorded with what they decide. = nobody says */
  readonly by?: string
  /** Whether they may see and answer one. */
  readonly may: (subject: ApprovalSubject) => boolean
}

/**
 * Who may see and answer what: is asked once for each request, before anything else, and says who its sender is and which
 * approvals they may answer. What those are not, and grants for the like, are for them as if they were not there. Both throw
 * `UNAUTHORIZED` or `TOKEN_EXPIRED` to have nothing answered at all (401), and to end a stream of events.
 *
 * @param request - its body is not to be read
 */
export type MayAnswer = (request: Request) => Answerer | Promise<Answerer>

/** How a handler is mounted. */
export interface HandlerOptions {
  /** What stands before its paths, as `/greenroom`. = nothing */
  readonly basePath?: string
  /** Who may see and answer what. = everybody all of it */
  readonly mayAnswer?: MayAnswer
}

/**
 * Makes a handler of HTTP requests for approvals. Without `mayAnswer` it lets everybody in: whoever mounts it says who may use it.
 *
 * @param approvals - a runner's
 * @param options - see {@link HandlerOptions}
 * @returns answers a request; never rejects
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function createApprovalHandler(
  approvals: RunnerApprovals,
  { basePath = '', mayAnswer = () => ({ may: () => true }) }: HandlerOptions = {},
): (request: Request) => Promise<Response> {
  if (!/^(?:\/[^/?#]+)*$/.test(basePath))
    throw new GreenroomError('BAD_OPTIONS', 'basePath must begin with "/" and not end with it, as /greenroom')
  return async (request) => {
    try {
      const { by, may: isFor } = await mayAnswer(request)
      return await answer({ approvals, isFor, ...(by === undefined ? {} : { by }) }, request, basePath)
    } catch (error) {
      const code = codeOf(error)
      const message = error instanceof Error ? error.message : String(error)
      return failure(statusOf[code ?? ''] ?? 500, isErrorCode(code) ? code : 'INTERNAL', message)
    }
  }
}

/** Approvals, which of them are for whoever asks, and who that is. */
interface Desk extends AnswerOptions {
  readonly approvals: RunnerApprovals
  readonly isFor: (subject: ApprovalSubject) => boolean
}

async function answer(desk: Desk, request: Request, basePath: string): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url)
  const path = pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : ''
  const [, collection, id, ...more] = path.split('/')
  const isKnown = (collection === 'approvals' || collection === 'grants') && more.length === 0
  // Ids are out of an alphabet that needs no escapes.
  if (!isKnown || (id !== undefined && !isId(id))) return failure(404, 'UNKNOWN_PATH', `there is no ${pathname}`)
  const { approvals, isFor, by } = desk
  const grants = () => approvals.grants().filter(isFor)
  switch (`${request.method} ${collection}${id === undefined ? '' : '/'}`) {
    case 'GET approvals':
      return json({ approvals: approvals.list(filterOf(searchParams)).filter(isFor) })
    case 'GET approvals/':
      return id === 'events' ? events(desk, request.signal) : json({ approval: found(desk, id ?? '') })
    case 'POST approvals/': {
      // Before anything is read of what its sender may not answer.
      const approval = found(desk, id ?? '')
      return json({
        approval: await approvals.answer(approval.id, await verdictIn(request), by === undefined ? {} : { by }),
      })
    }
    case 'GET grants':
      return json({ grants: grants() })
    case 'DELETE grants/':
      return json({ revoked: grants().some((grant) => grant.id === id) && (await approvals.revoke(id ?? '')) })
    default:
      return failure(405, 'UNKNOWN_METHOD', `${request.method} is not for ${pathname}`)
  }
}

function found({ approvals, isFor }: Desk, id: string): ApprovalRecord {
  const record = approvals.get(id)
  if (!isFor(record)) throw new GreenroomError('UNKNOWN_APPROVAL')
  return record
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
  const given = jsonOf(await textIn(request))
  if (isVerdict(given)) return given
  throw new GreenroomError('BAD_OPTIONS', 'the body must be { "allow": true or false, "reason"?, "input"?, "scope"? }')
}

async function textIn(request: Request): Promise<string> {
  const body: AsyncIterable<Uint8Array> | null = request.body
  const decoder = new TextDecoder()
  let [text, bytes] = ['', 0]
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > maxBody) throw new GreenroomError('BAD_OPTIONS', `the body may have ${maxBody} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new GreenroomError('BAD_OPTIONS', 'the body must be JSON', { cause })
  }
}

/** One event for each change, as long as the client listens, and may. */
function events({ approvals, isFor }: Desk, signal: AbortSignal): Response {
  const over = new AbortController()
  const changes = approvals.watch({ signal: AbortSignal.any([signal, over.signal]) })[Symbol.asyncIterator]()
  const leave = (): unknown => {
    over.abort()
    // Between two events nobody waits for that signal.
    return changes.return?.()
  }
  const next = async (): Promise<string | undefined> => {
    for (;;) {
      const change = await changes.next()
      if (change.done === true) return undefined
      const record = change.value
      if (isFor(record)) return `id: ${record.id}\nevent: approval\ndata: ${JSON.stringify(record)}\n\n`
    }
  }
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    // Servers hold headers back until there is something to write.
    start: (stream) => stream.enqueue(encoder.encode(': listening\n\n')),
    async pull(stream) {
      try {
        const event = await next()
        if (event === undefined) stream.close()
        else stream.enqueue(encoder.encode(event))
      } catch (error) {
        await leave()
        throw error
      }
    },
    cancel: () => void leave(),
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } })
}

function json(document: object, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json(document, { status, headers: { 'cache-control': 'no-store', ...headers } })
}

function failure(status: number, code: string, message: string): Response {
  return json({ error: { code, message } }, status, status === 401 ? { 'www-authenticate': 'Bearer' } : {})
}
