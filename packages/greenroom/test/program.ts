/** A program under test: a real process whose output is kept; killed when its scope ends. */
import { spawn, type ChildProcess } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program extends AsyncDisposable {
  readonly process: ChildProcess
  /** What it wrote so far. */
  readonly stdout: string
  /** Waits for a line on standard output that matches. */
  line(pattern: RegExp): Promise<RegExpExecArray>
  /** The same on standard error. */
  error(pattern: RegExp): Promise<RegExpExecArray>
  /** Waits for its end. */
  readonly ended: Promise<Ended>
}

/** Starts a TypeScript file of the sources with these arguments. */
export function start(file: string, args: readonly string[], options: { readonly cwd?: string } = {}): Program {
  const child = spawn(process.execPath, ['--conditions=@greenroom/source', file, ...args], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
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
  child.on('close', (code, signal) => {
    isOver = true
    resolve({ code, signal, ...heard })
    news.emit('news')
  })
  const said = async (stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(heard[stream])
      if (match !== null) return match
      if (isOver) throw new Error(`it ended without ${pattern}: ${heard.stdout}${heard.stderr}`)
      await once(news, 'news')
    }
  }
  return {
    process: child,
    ended,
    get stdout() {
      return heard.stdout
    },
    line: (pattern) => said('stdout', pattern),
    error: (pattern) => said('stderr', pattern),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** A folder that is gone with its scope. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'greenroom-cli-')))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Whether a process is there and not only waits to be noticed. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !existsSync('/proc/self') || !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
