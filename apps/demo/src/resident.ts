/**
 * A resident worker as a real program: `greenroom worker` with this demo's worker file.
 *
 * It ends with this program, also when that is killed: its guard sees to it, as a runner's does for its workers.
 */
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { spawnGuarded } from '@greenroom/bus/process'
import { z } from 'zod'

/** How long it may take to become ready, and to end when it was asked to, in milliseconds. */
const READY = 60_000
const END = 2_000

/** How many of its last lines tell why it did not become ready. */
const LINES = 3

/** What a resident worker is started with. */
export interface ResidentOptions {
  /** What follows `greenroom worker FILE`. */
  readonly args: readonly string[]
  /** Its working directory. */
  readonly folder: string
  /** Gives up waiting for it to be ready. */
  readonly signal: AbortSignal
  /** Takes what it has to say. */
  readonly onLine: (line: string) => void
}

/** A resident worker. */
export interface Resident extends AsyncDisposable {
  /** Resolves with the URL that it serves at or has joined; rejects when it ended before, or takes too long. */
  readonly ready: Promise<string>
}

/** `.ts` from the sources, `.js` when built. */
const extension = extname(import.meta.filename)

/** The worker's entry file. */
export const workerFile = new URL(`worker${extension}`, import.meta.url)

/** How it says that it is ready. */
const readiness = z.object({ event: z.literal('ready'), url: z.string() })

const command = new URL(
  extension === '.ts' ? 'src/bin.ts' : 'dist/bin.js',
  import.meta.resolve('greenroom/package.json'),
)

/** Starts one. */
export function startResident({ args, folder, signal, onLine }: ResidentOptions): Resident {
  const { promise: ready, resolve, reject } = Promise.withResolvers<string>()
  ready.catch(() => undefined)
  // Modules are to be found as here; a debugger's port would be taken.
  const options = process.execArgv.filter((option) => !option.startsWith('--inspect'))
  const program = spawnGuarded({
    command: process.execPath,
    args: [...options, fileURLToPath(command), 'worker', fileURLToPath(workerFile), ...args, '--json'],
    env: environment(),
    cwd: folder,
  })
  const last: string[] = []
  program.stdin.end()
  createInterface({ input: program.stdout }).on('line', (line) => {
    const url = urlIn(line)
    if (url !== undefined) resolve(url)
  })
  createInterface({ input: program.stderr }).on('line', (line) => {
    last.push(line)
    if (last.length > LINES) last.shift()
    onLine(line)
  })
  const late = AbortSignal.any([signal, AbortSignal.timeout(READY)])
  late.addEventListener('abort', () => reject(late.reason), { once: true })
  void program.exited.then(({ code, signal: by, error }) =>
    reject(new Error(error?.message ?? [`it ended (${by ?? `exit code ${code}`})`, ...last].join(': '))),
  )
  return {
    ready,
    async [Symbol.asyncDispose]() {
      program.kill('SIGTERM')
      const timer = setTimeout(() => program.kill('SIGKILL'), END)
      await program.exited
      clearTimeout(timer)
    },
  }
}

/** Where it is ready, if a line of its standard output says so. */
function urlIn(line: string): string | undefined {
  try {
    return readiness.safeParse(JSON.parse(line)).data?.url
  } catch {
    return undefined
  }
}

/** What a program needs of the environment, and no more. */
function environment(): Record<string, string> {
  return Object.fromEntries(
    ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR'].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
