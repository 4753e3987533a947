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
  type BridgeCallArgs,
  type BridgedTool,
  type BridgeRequest,
  type BridgeResult,
  type Clock,
  type RunRef,
  type ToolResult,
} from '@greenroom/proto'
import { untilAbort } from '../abort.ts'
import { failureOf } from '../ending.ts'
import type { Logger } from '../launcher.ts'
import type { BridgeAllowance, ToolServer } from './tool-server.ts'

/** How long a server may take to tell its tools, in milliseconds. */
const listMs = 30_000

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
    const failed = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
    if (this.#over.signal.aborted) throw new GreenroomError('ABORTED')
    for (const error of failed) this.#options.logger.warn('a tool server is down', { error: String(error) })
    if (names.length > 0 && failed.length === names.length) throw failed[0]
    return asked.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  }

  async #listOf(server: string): Promise<readonly BridgedTool[]> {
    const { source, allows } = this.#serverOf(server)
    const late = new AbortController()
    const timer = this.#options.clock.timer(listMs, () => late.abort())
    const signal = AbortSignal.any([this.#over.signal, late.signal])
    try {
      const tools = await untilAbort(signal, source.listTools({ signal, timeoutMs: listMs }))
      const allowed = tools.filter(({ name }) => allows(name)).map((tool) => ({ ...tool, server }))
      checkJson(server, allowed)
      return allowed
    } catch (error) {
      if (!late.signal.aborted) throw asTold(error)
      throw new GreenroomError('TOOL_SERVER_DOWN', `${server} did not tell its tools within ${listMs} ms`)
    } finally {
      timer.cancel()
    }
  }

  async #call(requestId: string, { tool, input, timeoutMs }: BridgeCallArgs): Promise<ToolResult> {
    const { server, name } = tool
    const { source, allows } = this.#serverOf(server)
    if (!allows(name))
      throw new GreenroomError('UNKNOWN_TOOL', `the run's role may call no tool "${name}" of ${server}`)
    const abort = new AbortController()
    this.#calls.set(requestId, abort)
    const signal = AbortSignal.any([this.#over.signal, abort.signal])
    try {
      const result = await untilAbort(signal, source.callTool(name, input, { signal, timeoutMs }))
      if (!Array.isArray(result?.content)) throw new GreenroomError('TOOL_FAILED', `${server}.${name} gave no content`)
      checkJson(`${server}.${name}`, result)
      return result
    } catch (error) {
      throw signal.aborted ? new GreenroomError('ABORTED') : asTold(error)
    } finally {
      this.#calls.delete(requestId)
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

/** Servers are others' code. */
function checkJson(what: string, value: unknown): void {
  const flaw = jsonFlaw(value, what)
  if (flaw !== undefined) throw new GreenroomError('TOOL_FAILED', flaw)
}

function asTold(error: unknown): unknown {
  if (codeOf(error) !== undefined) return error
  return new GreenroomError('TOOL_FAILED', error instanceof Error ? error.message : String(error), { cause: error })
}
