/**
 * One connection to an MCP server, from its start to its end; and what its errors mean.
 *
 * - *C1* A program's end is its connection's, and tells why. Over HTTP each request is for itself: none of another's failing ends it.
 * - *C2* Who was replaced takes nothing new, and ends when all that was under way is over.
 */
import type { Clock } from '@greenroom/proto'
import type { Client, JSONRPCMessage, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { boundedFetch } from './platform/bounded-fetch.ts'
import { GuardedTransport } from './platform/guarded-transport.ts'
import { pickEnvironment } from './platform/surroundings.ts'
import { readVersion } from './platform/version.ts'
import type { McpToolServerOptions } from './mcp-tool-server.ts'

/** How long a connection may take until it is one, in milliseconds. */
const connectMs = 30_000
/** How long a program may take to show that it answers at all, in milliseconds: a tool may keep its only thread busy. */
const pingMs = 60_000
/** How long a server over HTTP may take to hear that its session is over, in milliseconds. */
const farewellMs = 1_000
/** The longest message of a server, in bytes: what is too large for the bus is then told by who puts it there. */
const maxMessage = 32 * 1024 * 1024
/** What a program is given beside its `env`. */
const inherited = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR']
/** Of the range that JSON-RPC leaves to implementations: the stream of a request ended without an answer. */
const cutCode = -32_098

/** The official SDK: loaded only where it is used, since that takes its time. */
type Sdk = typeof import('@modelcontextprotocol/client')
type McpTransport = GuardedTransport | StreamableHTTPClientTransport

/** See C1 and C2. */
export class McpConnection {
  /** Resolves when it is one; rejects when there will be none. */
  readonly ready: Promise<Client>
  /** Resolves when it has ended, or never came about, with why. */
  readonly ended: Promise<string>
  readonly #clock: Clock
  readonly #end: (why: string) => void
  #client: Client | undefined
  #transport: McpTransport | undefined
  #why: string | undefined
  #underWay = 0
  #answers: Promise<boolean> | undefined
  #isClosing = false
  #isReplaced = false

  /**
   * Connects.
   *
   * @param options - to whom
   * @param clock - measures how long a server takes to end
   */
  constructor(options: McpToolServerOptions, clock: Clock) {
    const { promise, resolve } = Promise.withResolvers<string>()
    this.ended = promise
    this.#end = (why) => {
      this.#why ??= why
      resolve(why)
    }
    this.#clock = clock
    this.ready = this.#connect(options)
    this.ready.catch(() => undefined)
  }

  async #connect(options: McpToolServerOptions): Promise<Client> {
    const sdk = await import('@modelcontextprotocol/client')
    if (this.#isClosing) {
      this.#end('it was closed')
      throw new Error('it was closed')
    }
    const transport = (this.#transport = transportOf(sdk, options, this.#clock))
    const client = (this.#client = new sdk.Client({ name: 'greenroom', version: readVersion() }))
    const why = (other: string): string => (transport instanceof GuardedTransport ? transport.end : undefined) ?? other
    try {
      await client.connect(transport, { timeout: connectMs })
      client.onclose = () => this.#end(why('the connection ended'))
      return client
    } catch (error) {
      // Not that it was ended for that.
      const reason = why(messageOf(error))
      await client.close().catch(() => undefined)
      this.#end(reason)
      throw error
    }
  }

  /** Why it has ended; undefined while it has not. */
  get why(): string | undefined {
    return this.#why
  }

  /** Uses it; rejects as the SDK does. */
  async use<T>(act: (client: Client) => Promise<T>): Promise<T> {
    this.#underWay += 1
    try {
      return await act(await this.ready)
    } finally {
      this.#underWay -= 1
      this.#leave()
    }
  }

  /** Whether it answers anything, in a while. What it answers does not matter. */
  answers(): Promise<boolean> {
    if (!(this.#transport instanceof GuardedTransport)) return Promise.resolve(true)
    this.#answers ??= this.#ping().finally(() => (this.#answers = undefined))
    return this.#answers
  }

  async #ping(): Promise<boolean> {
    const late = new AbortController()
    const timer = this.#clock.timer(pingMs, () => late.abort(), { background: true })
    try {
      await this.#client?.ping({ signal: late.signal, timeout: 2 * pingMs })
    } catch {
      return !late.signal.aborted
    } finally {
      timer.cancel()
    }
    return true
  }

  /** C2 */
  replaced(): void {
    this.#isReplaced = true
    this.#leave()
  }

  #leave(): void {
    if (this.#isReplaced && this.#underWay === 0) void this.close()
  }

  /** Ends it, and whatever is under way: a program has two seconds for that. */
  async close(): Promise<void> {
    this.#isClosing = true
    const transport = this.#transport
    if (transport !== undefined && !(transport instanceof GuardedTransport)) await this.#takeLeave(transport)
    await this.#client?.close().catch(() => undefined)
  }

  async #takeLeave(transport: StreamableHTTPClientTransport): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = this.#clock.timer(farewellMs, late.resolve)
    await Promise.race([transport.terminateSession().catch(() => undefined), late.promise])
    timer.cancel()
  }
}

function transportOf(sdk: Sdk, options: McpToolServerOptions, clock: Clock): McpTransport {
  if (!('command' in options)) {
    const { url, headers = {} } = options
    const init = { requestInit: { headers: { ...headers } }, fetch: boundedFetch(maxMessage) }
    return answering(new sdk.StreamableHTTPClientTransport(new URL(url), init))
  }
  const { command, args = [], env = {}, cwd, log } = options
  const program = { command, args, env: { ...pickEnvironment(inherited), ...env }, ...(cwd && { cwd }) }
  const codec = { maxMessage, parse: sdk.deserializeMessage, serialize: sdk.serializeMessage }
  return new GuardedTransport(program, codec, clock, log)
}

/**
 * A request whose stream ends is answered by nobody: the SDK would wait until its time is over. One that was given up would stay
 * open until its server ends it: once that was told, it ends here.
 */
function answering(transport: StreamableHTTPClientTransport): StreamableHTTPClientTransport {
  const open = new Map<unknown, AbortController>()
  const start = transport.start.bind(transport)
  const send = transport.send.bind(transport)
  transport.start = async () => {
    const take = transport.onmessage
    transport.onmessage = (message: JSONRPCMessage) => {
      if (!('method' in message)) open.delete(message.id)
      take?.(message)
    }
    await start()
  }
  transport.send = async (message: JSONRPCMessage | JSONRPCMessage[], options = {}) => {
    const id = !Array.isArray(message) && 'id' in message && 'method' in message ? message.id : undefined
    if (id === undefined) {
      await send(message, options).finally(() => open.get(givenUpBy(message))?.abort())
      return
    }
    const over = new AbortController()
    open.set(id, over)
    const cut = { jsonrpc: '2.0', id, error: { code: cutCode, message: 'the connection ended' } } as const
    const onRequestStreamEnd = (): void => transport.onmessage?.(cut)
    try {
      await send(message, { ...options, requestSignal: over.signal, onRequestStreamEnd })
    } catch (error) {
      open.delete(id)
      throw error
    }
  }
  return transport
}

/** Which request a message gives up. */
function givenUpBy(message: JSONRPCMessage | JSONRPCMessage[]): unknown {
  return memberOf(message, 'method') === 'notifications/cancelled'
    ? memberOf(memberOf(message, 'params'), 'requestId')
    : undefined
}

/** How a request came to nothing. */
export interface Failing {
  /**
   * - `down`: it never came to the server
   * - `unknown`: nobody knows whether the server did it
   * - `refused`: the server did not do it, or says so
   * - `late`: its time was over
   */
  readonly how: 'down' | 'unknown' | 'refused' | 'late'
  /** Whether nothing will come of its connection any more: a new one is needed. */
  readonly isOver: boolean
  /** Whether the server may just not have the tool, or the method: JSON-RPC does not tell that from other flaws. */
  readonly mayLackTool: boolean
  readonly message: string
}

/**
 * What an error of the SDK means for the request.
 *
 * @param error - what it threw
 */
export function failingOf(error: unknown): Failing {
  const code = memberOf(error, 'code')
  const mayLackTool = code === -32_601 || code === -32_602
  const isRenewed = memberOf(error, 'status') === 400
  const how = howOf(error)
  return { how, isOver: how === 'down' || isRenewed, mayLackTool, message: messageOf(error) }
}

function howOf(error: unknown): Failing['how'] {
  const code = memberOf(error, 'code')
  // The server's own word, by JSON-RPC.
  if (typeof code === 'number') return code === cutCode ? 'unknown' : 'refused'
  const status = memberOf(error, 'status')
  // It does not know the session: it was started anew. Any other refusal by HTTP was no start either.
  if (status === 404) return 'down'
  if (typeof status === 'number') return status < 500 ? 'refused' : 'unknown'
  if (code === 'REQUEST_TIMEOUT') return 'late'
  if (code === 'NOT_CONNECTED' || code === 'SEND_FAILED') return 'down'
  if (code === 'CONNECTION_CLOSED') return 'unknown'
  // What came cannot be used.
  if (typeof code === 'string') return 'refused'
  const cause = memberOf(memberOf(error, 'cause'), 'code')
  const isUnsent = cause === 'ECONNREFUSED' || cause === 'ENOTFOUND'
  // The SDK has no code for a client without a transport.
  return isUnsent || memberOf(error, 'message') === 'Not connected' ? 'down' : 'unknown'
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function messageOf(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error)
  const cause = memberOf(memberOf(error, 'cause'), 'message')
  return typeof cause === 'string' ? `${words}: ${cause}` : words
}
