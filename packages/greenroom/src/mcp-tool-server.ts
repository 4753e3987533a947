/**
 * An MCP server beside the runner, whose tools runs may call over the bridge.
 *
 * - *M1* It is started, or connected to, when it is needed first, and again when it is needed after it ended. One that ended soon
 *   after its start is left alone for a while, longer each time; meanwhile who calls is told so at once.
 * - *M2* A call that may have been done is never repeated.
 * - *M3* A program ends with this process, however that ends.
 * - *M4* A program that lives and answers nothing any more is followed by another one when it is needed; what is under way by it may
 *   still be answered.
 */
import { Backoff } from '@greenroom/bus'
import {
  codeOf,
  GreenroomError,
  isJson,
  systemClock,
  systemRandom,
  type Clock,
  type JsonObject,
  type JsonValue,
  type ToolResult,
} from '@greenroom/proto'
import type { ServedTool, ToolServer, ToolServerOptions } from '@greenroom/runner'
import type { CallToolResult, Client, Tool } from '@modelcontextprotocol/client'
import { failingOf, McpConnection } from './mcp-connection.ts'

/** Who has been there for so long was well: it may be started again at once. */
const healthyMs = 10_000
const pauses = { minMs: 500, maxMs: 30_000 }

/** How long it may take to look which tools there are, in milliseconds. */
const lookMs = 5_000

const codes = { down: 'TOOL_SERVER_DOWN', unknown: 'OUTCOME_UNKNOWN', refused: 'TOOL_FAILED', late: 'TIMEOUT' } as const

const programOptions = ['command', 'args', 'env', 'cwd', 'log', 'maxConcurrent', 'clock']
const urlOptions = ['url', 'headers', 'maxConcurrent', 'clock']

/** Where an MCP server is: a program, or a URL. */
export type McpToolServerOptions = (
  | {
      /** A program that speaks MCP over its standard input and output: a name to look up in `PATH`, or a path. */
      readonly command: string
      /** Its arguments. = none */
      readonly args?: readonly string[]
      /** Its environment, beside PATH, HOME, LANG, TZ and TMPDIR. = nothing more */
      readonly env?: Readonly<Record<string, string>>
      /** Its working directory. = this process's */
      readonly cwd?: string
      /** Is given what it writes to standard error. = nobody; its last words are told when it ends */
      readonly log?: (text: string) => void
    }
  | {
      /** Where it listens: Streamable HTTP. It holds no user and no password: these go into `headers`. */
      readonly url: string | URL
      /** Headers of each request, such as `Authorization`. = none */
      readonly headers?: Readonly<Record<string, string>>
    }
) & {
  /** How many calls it takes at once, of all runs together; the others wait for their turn, within their own time. = 64 */
  readonly maxConcurrent?: number
  /** = the system's */
  readonly clock?: Clock
}

/**
 * An MCP server, by the official SDK: a program (stdio) or a URL (Streamable HTTP).
 *
 * @param options - where it is
 * @throws GreenroomError `BAD_OPTIONS`
 *
 * @example
 * ```ts
 * import { createRunner, mcpToolServer } from 'greenroom'
 *
 * await using runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   bridge: { screen: mcpToolServer({ command: 'screen-mcp', args: ['--stdio'] }) },
 *   roles: { tester: { executor: 'test', bridge: { screen: ['shot'] } } }, // any other tool does not exist for it
 * })
 * ```
 */
export function mcpToolServer(options: McpToolServerOptions): ToolServer {
  checkServer(options)
  return new McpToolServer(options)
}

class McpToolServer implements ToolServer {
  readonly maxConcurrent: number
  readonly #options: McpToolServerOptions
  readonly #clock: Clock
  readonly #backoff = new Backoff(pauses, systemRandom)
  #connection: McpConnection | undefined
  /** Since when it is one, by the monotonic clock. */
  #since = Infinity
  /** All that have not ended: by one that was replaced something may still be under way. */
  readonly #open = new Set<McpConnection>()
  /** Until when it is left alone, by the monotonic clock, and why. */
  #rest: { readonly until: number; readonly why: string } | undefined

  constructor(options: McpToolServerOptions) {
    this.#options = options
    this.maxConcurrent = options.maxConcurrent ?? 64
    this.#clock = options.clock ?? systemClock
  }

  async listTools(options: ToolServerOptions): Promise<readonly ServedTool[]> {
    try {
      const { tools } = await this.#ask(options, (client, bounds) =>
        client.listTools(undefined, { ...bounds, cacheMode: 'refresh' }),
      )
      return tools.map(servedOf)
    } catch (error) {
      // It does no harm to ask again.
      if (codeOf(error) !== 'OUTCOME_UNKNOWN') throw error
      throw new GreenroomError('TOOL_SERVER_DOWN', error instanceof Error ? error.message : '', { cause: error })
    }
  }

  async callTool(name: string, input: JsonObject, options: ToolServerOptions): Promise<ToolResult> {
    const params = { name, arguments: { ...input } }
    try {
      // Without its definition the SDK throws results away that do not match it: what was done was done.
      const toolDefinition = { name, inputSchema: { type: 'object' as const } }
      return resultOf(
        await this.#ask(options, (client, bounds) => client.callTool(params, { ...bounds, toolDefinition })),
      )
    } catch (error) {
      if (!(error instanceof Refused) || (await this.#mayHave(name, options))) throw error
      throw new GreenroomError('UNKNOWN_TOOL', `it has no tool "${name}"`)
    }
  }

  /** Whether it has a tool, as far as can be known. */
  async #mayHave(name: string, { signal, timeoutMs }: ToolServerOptions): Promise<boolean> {
    try {
      const tools = await this.listTools({ signal, timeoutMs: Math.min(timeoutMs, lookMs) })
      return tools.some((tool) => tool.name === name)
    } catch {
      return true
    }
  }

  async close(): Promise<void> {
    this.#connection = undefined
    await Promise.all([...this.#open].map((connection) => connection.close()))
  }

  /** M2: it is asked once more only where the server was not there to do it. */
  async #ask<T>(
    { signal, timeoutMs }: ToolServerOptions,
    ask: (client: Client, bounds: { readonly signal: AbortSignal; readonly timeout: number }) => Promise<T>,
  ): Promise<T> {
    for (let isAgain = false; ; isAgain = true) {
      signal.throwIfAborted()
      const connection = this.#connected()
      await connection.ready.catch(async () => this.#down(await connection.ended))
      signal.throwIfAborted()
      try {
        return await connection.use((client) => ask(client, { signal, timeout: timeoutMs }))
      } catch (error) {
        const { how, isOver, mayLackTool, message } = failingOf(error)
        if (isOver) this.#replace(connection, message)
        if (how === 'late' || signal.aborted) void this.#doubt(connection)
        if (how === 'down' && !isAgain) continue
        if (mayLackTool) throw new Refused(message, { cause: error })
        throw new GreenroomError(codes[how], connection.why ?? message, { cause: error })
      }
    }
  }

  /** What is under way by it may still be answered. Over HTTP it is the session that is over, and the server well. */
  #replace(connection: McpConnection, why: string): void {
    if ('command' in this.#options) this.#forget(connection, why)
    else if (this.#connection === connection) this.#connection = undefined
    connection.replaced()
  }

  /** M4 */
  async #doubt(connection: McpConnection): Promise<void> {
    if (!(await connection.answers())) this.#replace(connection, 'it answers nothing any more')
  }

  /** M1 */
  #connected(): McpConnection {
    if (this.#connection !== undefined) return this.#connection
    const restMs = (this.#rest?.until ?? 0) - this.#clock.monotonic()
    if (this.#rest !== undefined && restMs > 0)
      this.#down(`${this.#rest.why}; it may be started again in ${Math.ceil(restMs)} ms`)
    const connection = new McpConnection(this.#options, this.#clock)
    this.#connection = connection
    this.#open.add(connection)
    this.#since = Infinity
    connection.ready.then(() => this.#isThere(connection)).catch(() => undefined)
    void connection.ended.then((why) => {
      this.#open.delete(connection)
      this.#forget(connection, why)
    })
    return connection
  }

  #isThere(connection: McpConnection): void {
    if (this.#connection === connection) this.#since = this.#clock.monotonic()
  }

  /** M1: only who was well is followed at once. */
  #forget(connection: McpConnection, why: string): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    const now = this.#clock.monotonic()
    const isWell = now - this.#since >= healthyMs
    if (isWell) this.#backoff.reset()
    this.#rest = isWell ? undefined : { until: now + this.#backoff.next(), why }
  }

  #down(why: string): never {
    throw new GreenroomError('TOOL_SERVER_DOWN', why)
  }
}

/** The server refused it, and may not have the tool. */
class Refused extends GreenroomError {
  constructor(message: string, options: { readonly cause: unknown }) {
    super('TOOL_FAILED', message, options)
  }
}

function servedOf({ name, title, description, inputSchema, outputSchema, annotations }: Tool): ServedTool {
  return {
    name,
    inputSchema: objectOf(inputSchema),
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    ...(outputSchema === undefined ? {} : { outputSchema: objectOf(outputSchema) }),
    ...(annotations === undefined ? {} : { annotations: objectOf(annotations) }),
  }
}

function resultOf({ content, structuredContent, isError }: CallToolResult): ToolResult {
  return {
    content: content.map(objectOf),
    ...(structuredContent === undefined ? {} : { structuredContent: jsonOf(structuredContent) }),
    ...(isError === undefined ? {} : { isError }),
  }
}

/** It came as JSON. */
function jsonOf(value: unknown): JsonValue {
  if (!isJson(value)) throw new GreenroomError('TOOL_FAILED', 'the server gave what is not JSON')
  return value
}

function objectOf(value: unknown): JsonObject {
  const json = jsonOf(value)
  if (!isObject(json)) throw new GreenroomError('TOOL_FAILED', 'the server gave what is no object')
  return json
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @throws GreenroomError `BAD_OPTIONS` */
function checkServer(options: McpToolServerOptions): void {
  const given: Readonly<Record<string, unknown>> = { ...options }
  const { command, url, maxConcurrent = 1 } = given
  if ((command === undefined) === (url === undefined)) throw bad('either command or url must be given')
  const known = command === undefined ? urlOptions : programOptions
  const odd = Object.keys(given).find((name) => given[name] !== undefined && !known.includes(name))
  if (odd !== undefined) throw bad(`"${odd}" must be one of ${known.join(', ')}`)
  if (!Number.isInteger(maxConcurrent) || Number(maxConcurrent) < 1)
    throw bad('maxConcurrent must be a whole number, more than 0')
  if (command === undefined) checkUrl(given)
  else checkProgram(given)
}

function checkProgram({ command, args = [], env = {}, cwd, log }: Readonly<Record<string, unknown>>): void {
  if (typeof command !== 'string' || command === '') throw bad('command must be a program')
  if (!Array.isArray(args) || !args.every(isString)) throw bad('args must be a list of texts')
  if (!isTexts(env)) throw bad('env must be texts by their names')
  if (cwd !== undefined && !isString(cwd)) throw bad('cwd must be a path')
  if (log !== undefined && typeof log !== 'function') throw bad('log must be a function')
}

/** What errors would say of it later, workers would be told, too: no secret may be in that. */
function checkUrl({ url, headers = {} }: Readonly<Record<string, unknown>>): void {
  const parsed = URL.parse(String(url))
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) throw bad('url must be an http: or https: URL')
  if (parsed.username !== '' || parsed.password !== '')
    throw bad('url must hold no user and no password: they go into headers, as Authorization')
  if (!isTexts(headers)) throw bad('headers must be texts by their names')
  for (const [name, value] of Object.entries(headers))
    if (!isHeader(name, value)) throw bad(`headers: "${name}" is none`)
}

function isHeader(name: string, value: string): boolean {
  try {
    return new Headers([[name, value]]).has(name)
  } catch {
    return false
  }
}

const isString = (value: unknown): value is string => typeof value === 'string'
const isTexts = (value: unknown): value is Readonly<Record<string, string>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isString)

const bad = (message: string): GreenroomError => new GreenroomError('BAD_OPTIONS', `mcpToolServer: ${message}`)
