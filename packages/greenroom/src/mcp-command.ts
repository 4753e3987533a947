/**
 * `greenroom mcp`: a runner whose children an MCP client starts and leads, over standard input and output: so that Claude Code, Codex
 * or any other agent that speaks MCP can be the parent.
 *
 * - *M1* Standard output is the protocol's alone; all else goes to standard error.
 * - *M2* It ends when its standard input does, or a signal says so, and its runs and workers with it. `kill -9` leaves no worker
 *   either, and the next one goes on with the runs, if they are kept in a data folder.
 * - *M3* A request that is cancelled ends the waiting, and no child.
 */
import type { McpServer, ServerContext } from '@modelcontextprotocol/server'
import { systemClock, type Clock } from '@greenroom/proto'
import { createRunner, type AnyRunner } from '@greenroom/runner'
import { delegateTools, type DelegateResult, type DelegateTool, type DelegateTools } from './delegate-tools.ts'
import { readDelegation } from './mcp-file.ts'
import { endProgram, onGone, takeStdio } from './platform/own-stdio.ts'
import { readVersion } from './platform/version.ts'

/** How often a client that asks for progress is told that a call goes on: many give it more time for that. */
const progressMs = 5_000

/**
 * Serves until the client is gone, or a signal stops it.
 *
 * @param file - the user's: see `Delegation`
 * @throws GreenroomError `BAD_OPTIONS` for the file; what keeps a runner from being created
 */
export async function runMcp(file: string): Promise<void> {
  const { input, output } = takeStdio()
  const gone = Promise.withResolvers<void>()
  onGone(input, gone.resolve)
  const warn = (text: string): void => void process.stderr.write(`greenroom: ${text}\n`)
  const { runner: options, delegates } = await readDelegation(file, warn)
  const runner: AnyRunner = await createRunner(options)
  try {
    const tools = delegateTools(runner.children, delegates)
    for (const run of await runner.resume()) warn(`goes on with run ${run.id}`)
    // Loaded only where it is used: other commands start without it.
    const [{ McpServer: Server }, { serveStdio, StdioServerTransport }] = await Promise.all([
      import('@modelcontextprotocol/server'),
      import('@modelcontextprotocol/server/stdio'),
    ])
    const transport = new StdioServerTransport(input, output)
    const handle = serveStdio(() => register(new Server({ name: 'greenroom', version: readVersion() }), tools), {
      transport,
      onerror: (error) => warn(error.message),
    })
    await Promise.race([gone.promise, runner.closed])
    await handle.close()
  } finally {
    await runner.close()
  }
  endProgram(0)
}

function register(server: McpServer, tools: DelegateTools): McpServer {
  const add = <Input>(
    name: string,
    { description, inputSchema, execute }: DelegateTool<Input>,
    readOnlyHint: boolean,
  ): void =>
    void server.registerTool(
      name,
      { description, inputSchema, annotations: { readOnlyHint, openWorldHint: false } },
      async (given: Input, context: ServerContext) => {
        using _told = tellProgress(context, systemClock)
        return answerOf(await execute(given, { abortSignal: context.mcpReq.signal }))
      },
    )
  add('spawn', tools.spawn, false)
  add('send', tools.send, false)
  add('ask', tools.ask, false)
  add('await', tools.await, true)
  add('cancel', tools.cancel, false)
  add('list', tools.list, true)
  return server
}

function answerOf(result: DelegateResult): {
  content: { type: 'text'; text: string }[]
  structuredContent: DelegateResult
  isError: boolean
} {
  const isError = result['error'] !== undefined
  return { content: [{ type: 'text', text: JSON.stringify(result) }], structuredContent: result, isError }
}

/** Tells a client that asked for it that its call goes on. */
function tellProgress({ mcpReq }: ServerContext, clock: Clock): Disposable {
  const progressToken = mcpReq._meta?.progressToken
  if (progressToken === undefined) return { [Symbol.dispose]: () => undefined }
  let progress = 0
  const again = (): ReturnType<Clock['timer']> =>
    clock.timer(progressMs, () => {
      progress += 1
      const message = `waiting for ${(progress * progressMs) / 1_000} s`
      mcpReq
        .notify({ method: 'notifications/progress', params: { progressToken, progress, message } })
        .catch(() => undefined)
      timer = again()
    })
  let timer = again()
  return { [Symbol.dispose]: () => timer.cancel() }
}
