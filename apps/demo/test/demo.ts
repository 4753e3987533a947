/** The demo as a real process, from its sources. */
import { spawn, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Report } from '../src/report.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const node = [process.execPath, '--conditions=@greenroom/source', main]

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Demo extends AsyncDisposable {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  /** Waits until standard error, or a terminal's screen, matches. */
  said(pattern: RegExp): Promise<RegExpExecArray>
}

/** Where the demo is started from, and what it may find in its environment. */
export interface Surroundings {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Options of Node's, which its programs inherit. */
  readonly options?: readonly string[]
}

/** Starts the demo with these arguments. */
export function startDemo(args: readonly string[], surroundings: Surroundings = {}): Demo {
  const [program = '', ...rest] = node
  return watch([program, ...(surroundings.options ?? []), ...rest], args, surroundings)
}

/** Starts the demo on a terminal of this size: all that it writes comes as standard output. */
export function startOnTerminal(
  args: readonly string[],
  { columns, rows }: { columns: number; rows: number },
  surroundings: Surroundings = {},
): Demo {
  const command = [...node, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  return watch(['script', '-qec', `stty cols ${columns} rows ${rows}; exec ${command}`, '/dev/null'], [], surroundings)
}

function watch(words: readonly string[], args: readonly string[], { cwd, env = {} }: Surroundings): Demo {
  const [program = '', ...first] = words
  const { INIT_CWD: _, ...own } = process.env
  const child = spawn(program, [...first, ...args], {
    ...(cwd !== undefined && { cwd }),
    env: { ...own, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const heard = { stdout: '', stderr: '' }
  const news = new EventEmitter()
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      heard[stream] += text
      news.emit('news')
    })
  const { promise: ended, resolve } = Promise.withResolvers<Ended>()
  let isOver = false
  child.on('close', (code) => {
    isOver = true
    resolve({ code, ...heard })
    news.emit('news')
  })
  return {
    process: child,
    ended,
    async said(pattern) {
      for (;;) {
        const match = pattern.exec(heard.stderr) ?? pattern.exec(heard.stdout)
        if (match !== null) return match
        if (isOver) throw new Error(`it ended without ${pattern}: ${heard.stdout}${heard.stderr}`)
        await once(news, 'news')
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Runs the demo to its end; JSON included. */
export async function runDemo(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Ended & { readonly report: Report }> {
  const folder = mkdtempSync(join(tmpdir(), 'greenroom-demo-json-'))
  try {
    const file = join(folder, 'report.json')
    await using demo = startDemo([...args, '--json', file], surroundings)
    const ended = await demo.ended
    if (!existsSync(file)) throw new Error(`no report: ${JSON.stringify(ended)}`)
    return { ...ended, report: JSON.parse(readFileSync(file, 'utf8')) as Report }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
