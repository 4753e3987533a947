/** An MCP server of the tests, by the official SDK, over its standard input and output. `LEDGER` is a file that it writes to. */
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { z } from 'zod'

const ledger = process.env['LEDGER'] ?? ''
const note = (line: string): void => void (ledger === '' || appendFileSync(ledger, `${line}\n`))

if (process.env['FAIL'] === 'start') {
  console.error('no screen is connected')
  process.exit(3)
}
note(`start ${process.pid}`)

const text = (words: string): { content: { type: 'text'; text: string }[] } => ({
  content: [{ type: 'text', text: words }],
})

serveStdio(() => {
  const server = new McpServer({ name: 'test', version: '1' })
  server.registerTool(
    'add',
    {
      title: 'Sum',
      description: 'Adds',
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      outputSchema: z.object({ sum: z.number() }),
      annotations: { readOnlyHint: true },
    },
    ({ a, b }) => ({ ...text(String(a + b)), structuredContent: { sum: a + b } }),
  )
  server.registerTool('who', { description: 'Says who it is' }, () =>
    text(`${process.pid} ${process.env['SECRET'] ?? 'nobody'} ${process.env['NODE_ENV'] ?? '-'}`),
  )
  server.registerTool('fail', { description: 'Fails' }, () => ({ ...text('the lamp is off'), isError: true }))
  server.registerTool('big', { description: 'Says much', inputSchema: z.object({ size: z.number() }) }, ({ size }) =>
    text('x'.repeat(size)),
  )
  server.registerTool('crash', { description: 'Dies' }, () => {
    note('crash')
    console.error('the lamp exploded')
    process.exit(7)
  })
  server.registerTool('hang', { description: 'Takes its time' }, async (context) => {
    note('hang')
    await sleep(60_000, undefined, { signal: context.mcpReq.signal }).catch(() => note('told to stop'))
    return text('never')
  })
  return server
})
