/**
 * What one attempt asks of the tools beside its runner, and is answered.
 *
 * - *D1* A request is dealt with once, however often it comes, and answered whatever becomes of it.
 * - *D2* What is not allowed to the role that the runner gave the run does not exist for it.
 * - *D3* A call ends with its attempt, or when that gives it up: its server is told.
 */
import {
  codeOf,
  GreenroomError,
  jsonFlaw,
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
import type { BridgeAllowance, ToolServer, ToolServerOptions } from './tool-server.ts'

/** How long a server may take to tell its tools, in milliseconds: the others' wait for that. */
const listMs = 10_000

/** How many calls of one attempt may be open at a time. */
const maxCalls = 64

/** The tools that roles may call and servers do not have, as far as people were told of them: once is enough. */
const missed = new WeakMap<ToolServer, Set<string>>()

/** Characters of what a server says went wrong: it may be a whole page. */
const maxWords = 500

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
        return { tools: await this.#list() }
      case 'call':
        return { result: await this.#call(requestId, args) }
      case 'cancel':
        this.#calls.get(args.requestId)?.abort()
        return {}
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
    const { source, allows, named } = this.#serverOf(server)
    const late = new GreenroomError('TOOL_SERVER_DOWN', `it did not tell its tools within ${listMs} ms`)
    return this.#ask(server, listMs, late, this.#over.signal, async (options) => {
      const tools = await source.listTools(options)
      const allowed = tools.filter(({ name }) => allows(name)).map((tool) => ({ ...tool, server }))
      const listed = checked({ tools: allowed }).tools ?? []
      const names = new Set(listed.map(({ name }) => name))
      this.#tellMissing(
        source,
        server,
        named.filter((name) => !names.has(name)),
      )
      return listed
    })
  }

  /** An allowance of what is not there is a misspelt one, most likely. */
  #tellMissing(source: ToolServer, server: string, names: readonly string[]): void {
    const known = missed.get(source) ?? new Set()
    missed.set(source, known)
    for (const tool of names.filter((name) => !known.has(name))) {
      known.add(tool)
      this.#options.logger.warn('a role may call a tool that its server does not have', { server, tool })
    }
  }

  async #call(requestId: string, { tool, input, timeoutMs }: BridgeCallArgs): Promise<ToolResult> {
    const { server, name } = tool
    const { source, allows } = this.#serverOf(server)
    if (!allows(name))
      throw new GreenroomError('UNKNOWN_TOOL', `the run's role may call no tool "${name}" of ${server}`)
    if (this.#calls.size >= maxCalls)
      throw new GreenroomError('BUSY', `${maxCalls} calls of this run are open already: await some of them first`)
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
      const { code = 'TOOL_FAILED', message } = over.signal.aborted ? late : told(error)
      throw new GreenroomError(code, `${what}: ${message.slice(0, maxWords)}`, { cause: error })
    } finally {
      timer.cancel()
    }
  }

  /** D2 */
  #serverOf(server: string): {
    readonly source: ToolServer
    readonly allows: (tool: string) => boolean
    /** Those that the allowance names. */
    readonly named: readonly string[]
  } {
    const { servers, allowance = {} } = this.#options
    const source = servers.get(server)
    const tools = Object.hasOwn(allowance, server) ? allowance[server] : undefined
    if (source === undefined || tools === undefined)
      throw new GreenroomError('UNKNOWN_TOOL', `the run's role may call no tool of a server "${server}"`)
    const named = tools === 'all' ? [] : tools
    return { source, allows: (tool) => tools === 'all' || tools.includes(tool), named }
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
    const flawed = told(error).message.replace('the bridge-result message', 'what it gave')
    throw new GreenroomError('TOOL_FAILED', flawed, { cause: error })
  }
}

function told(error: unknown): { readonly code?: ErrorCode; readonly message: string } {
  const code = codeOf(error)
  return { ...(code && { code }), message: error instanceof Error ? error.message : String(error) }
}
