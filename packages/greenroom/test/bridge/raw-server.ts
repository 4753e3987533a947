/**
 * An MCP server without an SDK, for what none of them does: its argument is how it behaves.
 *
 * - `odd`: its tools misbehave, each as its name says
 * - `mute`: it answers nothing
 * - `deaf`: it closes its input when it is asked for its tools, and lives on
 * - `stubborn`: it answers, and ends neither with its input nor by TERM
 */
import { appendFileSync, closeSync } from 'node:fs'
import { createInterface } from 'node:readline'

const [how = 'odd'] = process.argv.slice(2)
appendFileSync(process.env['LEDGER'] ?? '/dev/null', `start ${process.pid}\n`)
if (how !== 'odd') setInterval(() => undefined, 1_000)
if (how === 'stubborn') process.on('SIGTERM', () => undefined)

let isMute = how === 'mute'

type Answer = Readonly<Record<string, unknown>>

function say(id: unknown, answer: Answer, before = ''): void {
  process.stdout.write(`${before}${JSON.stringify({ jsonrpc: '2.0', id, ...answer })}\n`)
}

const text = (words: string): Answer => ({ content: [{ type: 'text', text: words }] })
const schema = { type: 'object', properties: { sum: { type: 'number' } }, required: ['sum'] }
const names = ['noisy', 'huge', 'typed', 'refuse', 'hang']
const tools = names.map((name) => ({
  name,
  inputSchema: { type: 'object' },
  ...(name === 'typed' && { outputSchema: schema }),
}))

function call(id: unknown, name: unknown): void {
  switch (name) {
    case 'noisy':
      return say(id, { result: text('heard') }, '{"level":"info","message":"called"}\n')
    case 'huge':
      return say(id, { result: text('x'.repeat(40 * 1024 * 1024)) })
    case 'typed':
      return say(id, { result: { ...text('done'), structuredContent: { sum: 'many' } } })
    case 'refuse':
      say(id, { error: { code: -32_602, message: 'the money was sent, the receipt was not' } })
      return void setTimeout(() => process.exit(9), 20)
    case 'hang':
      isMute = true
      return
    default:
      return say(id, { error: { code: -32_602, message: 'no such tool' } })
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (isMute) return
  const { id, method, params } = JSON.parse(line)
  if (method === 'initialize')
    say(id, {
      result: {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: 'raw', version: '1' },
      },
    })
  if (method === 'tools/list' && how === 'deaf') {
    process.stdin.destroy()
    closeSync(0)
  }
  if (method === 'tools/list') say(id, { result: { tools } })
  if (method === 'tools/call') call(id, params.name)
})
