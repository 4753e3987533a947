/**
 * What one attempt asks of the tools beside its runner, and is answered.
 *
 * - *D1* A request is dealt with once, however often it comes, and answered whatever becomes of it.
 * - *D2* What is not allowed to the role that the runner gave the run does not exist for it.
 * - *D3* A call ends with its attempt, or when that gives it up: its server is told.
 * - *D4* So many requests are under way at once: a worker lets others wait at itself.
 */
import {
  codeOf,
  GreenroomError,
  jsonFlaw,
  limits,
  parseMessage,
  type BridgeCallArgs,
  type BridgedTool,
  type BridgeRequest,
  type BridgeResult,
  type Clock,
  type ErrorCode,
  type RunRef,
  type ToolResult,
} from '@greenroom/proto'
import { untilAbort } from '../abort.ts'
import { failureOf } from '../ending.ts'
import type { Logger } from '../launcher.ts'
import type { BridgeAllowance, ServedTool, ToolServer, ToolServerOptions } from './tool-server.ts'

/** How long a server may take to tell its tools, in milliseconds: the others' wait for that. */
const listMs = 10_000

/** D4: twice as many as a worker sends, since it may learn of an end before this does. */
const most = 2 * limits.bridgeCalls

/** Characters of what a server says went wrong: it may be a whole page. */
const maxWords = 500

/** Of which servers of which allowance it was told that they lack a tool: once is enough. */
const told = new WeakMap<BridgeAllowance, Set<string>>()

/** What a desk is made of. */
export interface BridgeDeskOptions {
  /** The runner's, by name. */
  readonly servers: ReadonlyMap<string, ToolServer>
  /** Of the run's role; undefined: nothing. */
  readonly allowance: BridgeAllowance | undefined
  readonly logger: Logger
  readonly clock: Clock
  /** Sends an answer. */
  readonly answer: (result: Omit<BridgeResult, keyof RunRef>) => void
}

/** See D1 to D3. */
export class BridgeDesk {
  readonly #options: BridgeDeskOptions
  readonly #known = new Set<string>()
  #underWay = 0
  readonly #calls = new Map<string, AbortController>()
  readonly #over = new AbortController()

  /** @param options - see {@link BridgeDeskOptions} */
  constructor(options: BridgeDeskOptions) {
    this.#options = options
  }

  /** Deals with a request. */
  take(request: BridgeRequest): void {
    const { requestId } = request
    if (this.#over.signal.aborted || this.#known.has(requestId)) return
    this.#known.add(requestId)
    this.#deal(request).then(
      (given) => this.#options.answer({ requestId, ...given }),
      (error: unknown) => this.#options.answer({ requestId, error: failureOf(error) }),
    )
  }

  /** Its attempt has ended. */
  close(): void {
    this.#over.abort()
  }

  async #deal({ requestId, op, args }: BridgeRequest): Promise<Pick<BridgeResult, 'tools' | 'result'>> {
    switch (op) {
      case 'list':
        return this.#counted(async () => ({ tools: await this.#list() }))
      case 'call':
        return this.#counted(async () => ({ result: await this.#call(requestId, args) }))
      case 'cancel':
        this.#calls.get(args.requestId)?.abort()
        return {}
    }
  }

  /** D4 */
  async #counted<T>(act: () => Promise<T>): Promise<T> {
    if (this.#underWay >= most) throw new GreenroomError('BUSY', `${most} requests of this run are under way`)
    this.#underWay += 1
    try {
      return await act()
    } finally {
      this.#underWay -= 1
    }
  }

  /** A server that is down is told to people; the others go on. */
  async #list(): Promise<readonly BridgedTool[]> {
    const names = Object.keys(this.#options.allowance ?? {})
    const asked = await Promise.allSettled(names.map((server) => this.#listOf(server)))
    if (this.#over.signal.aborted) throw new GreenroomError('ABORTED')
    const failed = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    for (const error of failed)
      this.#options.logger.warn('a tool server did not tell its tools', { error: String(error) })
    if (names.length > 0 && failed.length === names.length) throw failed[0]
    return asked.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  }

  async #listOf(server: string): Promise<readonly BridgedTool[]> {
    const { source, allows } = this.#serverOf(server)
    const late = new GreenroomError('TOOL_SERVER_DOWN', `it did not tell its tools within ${listMs} ms`)
    return this.#ask(server, listMs, late, this.#over.signal, async (options) => {
      const tools = await source.listTools(options)
      this.#tellMissing(server, tools)
      const allowed = tools.filter(({ name }) => allows(name)).map((tool) => ({ ...tool, server }))
      return checked({ tools: allowed }).tools ?? []
    })
  }

  /** What is misspelt in a role would be allowed in vain, if nobody said so. */
  #tellMissing(server: string, tools: readonly ServedTool[]): void {
    const { allowance = {}, logger } = this.#options
    const { [server]: allowed = 'all' } = allowance
    const missing = allowed === 'all' ? [] : allowed.filter((name) => !tools.some((tool) => tool.name === name))
    const servers = told.get(allowance) ?? new Set()
    if (missing.length === 0 || servers.has(server)) return
    told.set(allowance, servers.add(server))
    logger.warn('a role may call tools that the server does not have', { server, tools: missing })
  }

  async #call(requestId: string, { tool, input, timeoutMs }: BridgeCallArgs): Promise<ToolResult> {
    const { server, name } = tool
    const { source, allows } = this.#serverOf(server)
    if (!allows(name))
      throw new GreenroomError('UNKNOWN_TOOL', `the run's role may call no tool "${name}" of ${server}`)
    const abort = new AbortController()
    this.#calls.set(requestId, abort)
    const signal = AbortSignal.any([this.#over.signal, abort.signal])
    const late = new GreenroomError('TIMEOUT', `it gave no result within ${timeoutMs} ms`)
    try {
      return await this.#ask(`${server}.${name}`, timeoutMs, late, signal, async (options) => {
        const result = checked({ result: await source.callTool(name, input, options) }).result
        if (result === undefined) throw new GreenroomError('INTERNAL', 'a result that was checked is none')
        return result
      })
    } finally {
      this.#calls.delete(requestId)
    }
  }

  /** Asks a server: others' code, which may do anything and take any time. */
  async #ask<T>(
    what: string,
    timeoutMs: number,
    late: GreenroomError,
    signal: AbortSignal,
    act: (options: ToolServerOptions) => Promise<T>,
  ): Promise<T> {
    const over = new AbortController()
    const timer = this.#options.clock.timer(timeoutMs, () => over.abort())
    const until = AbortSignal.any([signal, over.signal])
    try {
      return await untilAbort(until, act({ signal: until, timeoutMs }))
    } catch (error) {
      if (signal.aborted) throw new GreenroomError('ABORTED')
      const { code = 'TOOL_FAILED', message } = over.signal.aborted ? late : flawOf(error)
      throw new GreenroomError(code, `${what}: ${message.slice(0, maxWords)}`, { cause: error })
    } finally {
      timer.cancel()
    }
  }

  /** D2 */
  #serverOf(server: string): { readonly source: ToolServer; readonly allows: (tool: string) => boolean } {
    const { servers, allowance = {} } = this.#options
    const source = servers.get(server)
    const tools = Object.hasOwn(allowance, server) ? allowance[server] : undefined
    if (source === undefined || tools === undefined)
      throw new GreenroomError('UNKNOWN_TOOL', `the run's role may call no tool of a server "${server}"`)
    return { source, allows: (tool) => tools === 'all' || tools.includes(tool) }
  }
}

/** What its worker could not read would never be answered. */
function checked(given: Pick<BridgeResult, 'tools' | 'result'>): Pick<BridgeResult, 'tools' | 'result'> {
  const flaw = jsonFlaw(given, 'answer')
  if (flaw !== undefined) throw new GreenroomError('TOOL_FAILED', flaw)
  try {
    const { tools, result } = parseMessage('bridge-result', { runId: 'any', epoch: 1, requestId: 'any', ...given })
    return { ...(tools && { tools }), ...(result && { result }) }
  } catch (error) {
    const flawed = flawOf(error).message.replace('the bridge-result message', 'what it gave')
    throw new GreenroomError('TOOL_FAILED', flawed, { cause: error })
  }
}

function flawOf(error: unknown): { readonly code?: ErrorCode; readonly message: string } {
  const code = codeOf(error)
  return { ...(code && { code }), message: error instanceof Error ? error.message : String(error) }
}
