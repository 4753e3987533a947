/** A worker file for tests of the process: what real executors do, and what they should not. */
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { command, defineExecutor, echo, serveWorker } from '@greenroom/worker'

const look = defineExecutor({
  version: '1',
  secrets: ['key'],
  async run(_, ctx) {
    const program = ctx.spawn('env', [], { cwd: '/' })
    const handed = ctx.spawn('sh', ['-c', 'echo "$KEY"'], { env: { KEY: ctx.secret('key') }, cwd: '/' })
    program.stderr.resume()
    handed.stderr.resume()
    const [inherited, key] = await Promise.all([text(program.stdout), text(handed.stdout)])
    return {
      output: {
        secret: ctx.secret('key').length,
        argv: process.argv,
        env: { ...process.env },
        environ: readFileSync('/proc/self/environ', 'latin1'),
        cmdline: readFileSync('/proc/self/cmdline', 'latin1'),
        program: inherited,
        handed: key.trim().length,
      },
    }
  },
})

const stray = defineExecutor({
  version: '1',
  async run(_, ctx) {
    void Promise.reject(new Error('nobody caught this'))
    await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  },
})

const deaf = defineExecutor({
  version: '1',
  async run() {
    await new Promise(() => setInterval(() => {}, 1_000))
  },
})

const obedient = defineExecutor({
  version: '1',
  async run(_, ctx) {
    for await (const { text: said, mode } of ctx.steering) await ctx.message(`${mode}: ${said}`)
    ctx.signal.throwIfAborted()
  },
})

/** Makes objects at one place and keeps them all: the clearest case for V8 to place the next ones among the old. */
const keeper = defineExecutor({
  version: '1',
  async run() {
    console.log('keeping')
    const kept: object[] = []
    for (let n = 0; n < 500_000; n += 1) kept.push({ n })
    return { output: kept.length }
  },
})

export const executors = { echo, command, look, stray, deaf, obedient, keeper }
await serveWorker({ executors })
