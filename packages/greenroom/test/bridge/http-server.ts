/** An MCP server over HTTP that remembers its sessions only as long as it lives. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { McpServer, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'
import { z } from 'zod'

type Huge = { id: number; params: { arguments: { mib: number; stream: boolean } } }

function huge({ id, params }: Huge): Response {
  const { mib, stream } = params.arguments
  function* parts(): Generator<Uint8Array> {
    yield Buffer.from(
      `${stream ? 'data: ' : ''}{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"`,
    )
    for (let n = 0; n < mib; n += 1) yield Buffer.alloc(1024 * 1024, 'x')
    yield Buffer.from('"}]}}\n\n')
  }
  const type = stream ? 'text/event-stream' : 'application/json'
  return new Response(ReadableStream.from(parts()), { headers: { 'content-type': type } })
}

/** A server that can be asked, and started anew. */
export interface HttpServer extends AsyncDisposable {
  readonly url: string
  /** Its `Authorization` headers. */
  readonly seen: Set<string | null>
  /** The methods of its requests. */
  readonly methods: string[]
  /** It forgets its sessions. */
  forget(): void
  /** Lets what is slow come to its end. */
  release(): void
}

/**
 * Serves `add`; `slow`, until it is released; `boom`, which is a 503; `cut`, whose answer never comes; and `huge`, which answers with
 * so many MiB, in a stream or not.
 */
export async function serveHttp(): Promise<HttpServer> {
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>()
  const seen = new Set<string | null>()
  const methods: string[] = []
  const slow = Promise.withResolvers<void>()

  async function begin(): Promise<WebStandardStreamableHTTPServerTransport> {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => void sessions.set(id, transport),
    })
    const server = new McpServer({ name: 'http', version: '1' })
    server.registerTool(
      'add',
      { description: 'Adds', inputSchema: z.object({ a: z.number(), b: z.number() }) },
      ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }] }),
    )
    server.registerTool('slow', { description: 'Takes its time' }, async () => {
      await slow.promise
      return { content: [{ type: 'text', text: 'at last' }] }
    })
    await server.connect(transport)
    return transport
  }

  async function answer(request: Request): Promise<Response> {
    seen.add(request.headers.get('authorization'))
    methods.push(request.method)
    const body = request.method === 'POST' ? await request.clone().text() : ''
    if (body.includes('"boom"')) return new Response('the lamp is overloaded', { status: 503 })
    if (body.includes('"huge"')) return huge(JSON.parse(body))
    // The stream of its answer ends before that has come.
    if (body.includes('"cut"')) return new Response(': wait\n\n', { headers: { 'content-type': 'text/event-stream' } })
    const id = request.headers.get('mcp-session-id')
    if (id === null) return (await begin()).handleRequest(request)
    return sessions.get(id)?.handleRequest(request) ?? new Response('no such session', { status: 404 })
  }

  const server = createServer((incoming, outgoing) => {
    const { method = 'GET', url = '/' } = incoming
    const headers = new Headers(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]))
    const body = method === 'POST' ? { body: Readable.toWeb(incoming), duplex: 'half' as const } : {}
    void answer(new Request(`http://127.0.0.1${url}`, { method, headers, ...body } as RequestInit)).then((response) => {
      outgoing.writeHead(response.status, Object.fromEntries(response.headers))
      if (response.body === null) return outgoing.end()
      return Readable.fromWeb(response.body).pipe(outgoing)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/mcp`,
    seen,
    methods,
    release: slow.resolve,
    forget: () => sessions.clear(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
