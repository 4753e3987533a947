/** One connection to an MCP server, from its start to its end; and what its errors mean. */
import type { Clock } from '@greenroom/proto'
import type { Client, Transport } from '@modelcontextprotocol/client'
import { GuardedTransport } from './platform/guarded-transport.ts'
import { pickEnvironment } from './platform/surroundings.ts'
import { readVersion } from './platform/version.ts'
import type { McpToolServerOptions } from './mcp-tool-server.ts'

/** How long a connection may take until it is one, in milliseconds. */
const connectMs = 30_000
/** What a program is given beside its `env`. */
const inherited = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR']

/** The official SDK: loaded only where it is used, since that takes its time. */
type Sdk = typeof import('@modelcontextprotocol/client')

/** See above. */
export class McpConnection {
  /** Rejects when there will be none. */
  readonly ready: Promise<Client>
  /** Resolves when it has ended, or never came about, with why. */
  readonly ended: Promise<string>
  readonly #end: (why: string) => void
  #client: Client | undefined

  /**
   * Connects.
   *
   * @param options - to whom
   * @param clock - measures how long a program takes to end
   */
  constructor(options: McpToolServerOptions, clock: Clock) {
    const { promise, resolve } = Promise.withResolvers<string>()
    this.ended = promise
    this.#end = resolve
    this.ready = this.#connect(options, clock)
    this.ready.catch(() => undefined)
  }

  async #connect(options: McpToolServerOptions, clock: Clock): Promise<Client> {
    const sdk = await import('@modelcontextprotocol/client')
    const client = (this.#client = new sdk.Client({ name: 'greenroom', version: readVersion() }))
    const transport = transportOf(sdk, options, clock)
    const why = (other: string): string => (transport instanceof GuardedTransport ? transport.end : undefined) ?? other
    try {
      await client.connect(transport, { timeout: connectMs })
      client.onclose = () => this.#end(why('the connection ended'))
      return client
    } catch (error) {
      await client.close().catch(() => undefined)
      this.#end(why(messageOf(error)))
      throw error
    }
  }

  /** Nothing more comes of it. */
  async break(why: string): Promise<void> {
    await this.close()
    this.#end(why)
  }

  /** Ends it; a program has a second or two for that. */
  async close(): Promise<void> {
    await this.ready.catch(() => undefined)
    await this.#client?.close().catch(() => undefined)
  }
}

function transportOf(sdk: Sdk, options: McpToolServerOptions, clock: Clock): Transport {
  if (!('command' in options)) {
    const { url, headers = {} } = options
    return new sdk.StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { ...headers } } })
  }
  const { command, args = [], env = {}, cwd } = options
  const program = { command, args, env: { ...pickEnvironment(inherited), ...env }, ...(cwd && { cwd }) }
  return new GuardedTransport(program, { buffer: new sdk.ReadBuffer(), serialize: sdk.serializeMessage }, clock)
}

/** How a request came to nothing; `unknown`: nobody knows whether the server did it. */
export interface Failing {
  readonly how: 'down' | 'unknown' | 'refused' | 'late'
  readonly message: string
}

/**
 * What an error of the SDK means for the request.
 *
 * @param error - what it threw
 */
export function failingOf(error: unknown): Failing {
  return { how: howOf(error), message: messageOf(error) }
}

function howOf(error: unknown): Failing['how'] {
  const code = memberOf(error, 'code')
  // The server's own word, by JSON-RPC.
  if (typeof code === 'number') return 'refused'
  const status = memberOf(error, 'status')
  // It does not know the session: it was started anew. Any other refusal by HTTP was no start either.
  if (status === 404) return 'down'
  if (typeof status === 'number' && status < 500) return 'refused'
  if (code === 'REQUEST_TIMEOUT') return 'late'
  if (code === 'NOT_CONNECTED' || code === 'SEND_FAILED') return 'down'
  if (code === 'CONNECTION_CLOSED') return 'unknown'
  const cause = memberOf(memberOf(error, 'cause'), 'code')
  if (cause === 'ECONNREFUSED' || cause === 'ENOTFOUND') return 'down'
  // Another of the SDK's: what came cannot be used.
  return typeof code === 'string' && typeof status !== 'number' ? 'refused' : 'unknown'
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function messageOf(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error)
  const cause = memberOf(memberOf(error, 'cause'), 'message')
  return typeof cause === 'string' ? `${words}: ${cause}` : words
}
