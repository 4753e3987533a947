/** The default launcher: a child process in a group of its own, with a guard beside it and a lifeline to this process. */
import { spawnGuarded } from '@greenroom/bus/process'
import { GreenroomError } from '@greenroom/proto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { CommandEntry } from '../entry.ts'
import type { Launched, Launcher } from '../launcher.ts'
import { bundleDigest } from './bundle-digest.ts'

/** Node options of this process that decide how its modules are found and read: a worker's must be found the same way. */
const passedOn = /^(?:--conditions|-C|--import|--require|-r|--loader|--experimental-loader)$/

/**
 * The options in `argv` that a worker needs too; never an inspector's, whose port would be taken.
 *
 * @param argv - `process.execArgv`
 */
export function moduleOptions(argv: readonly string[]): string[] {
  return argv.flatMap((option, index) => {
    const [name = ''] = option.split('=', 1)
    if (passedOn.test(name)) return option === name ? [name, argv[index + 1] ?? ''] : [option]
    return /^-C./.test(option) ? [option] : []
  })
}

/** The last argument of every worker: tells its file that it was started as one, and not imported for its types. */
const workerFlag = '--greenroom-worker'

/** V8 lets its young generation grow to 64 MiB under a stream of events, which are short-lived: a quarter of it does. */
const smallNursery = '--max-semi-space-size=8'

/** When this process dies, a worker may still clean up for this long; its programs' guards need a moment after it. */
const killAfterMs = 1_500

/**
 * Starts a program.
 *
 * @param entry - program, arguments and folder
 */
export function programLauncher(entry: CommandEntry): Launcher {
  const [command = '', ...args] = entry.command
  const folder = entry.cwd ?? process.cwd()
  const program = { command, args: [...args, workerFlag], ...(entry.cwd === undefined ? {} : { cwd: entry.cwd }) }
  // Words that name files are what it loads: `node worker.js`, `./worker`.
  const files = (): string[] => entry.command.map((word) => resolve(folder, word))
  return start(() => program, files)
}

/**
 * The launcher that a worker's entry file stands for: starts it in Node, with the module options of this process.
 *
 * @param url - a `file:` URL
 * @param options - `inspect`: with a debugger on a free port of this machine
 *
 * @example
 * ```ts
 * import { createRunner, entryLauncher, type Launcher } from '@greenroom/runner'
 *
 * const plain = entryLauncher(new URL('./worker.ts', import.meta.url))
 * const worker: Launcher = { ...plain, launch: (spec) => (console.log('starting', spec.role), plain.launch(spec)) }
 * await using runner = await createRunner({ worker, roles: { tester: { executor: 'test' } } })
 * console.log(runner.roles)
 * ```
 */
export function entryLauncher(url: URL, { inspect = false }: { readonly inspect?: boolean } = {}): Launcher {
  const file = fileURLToPath(url)
  const inspector = inspect ? ['--inspect=127.0.0.1:0'] : []
  const program = (): Program => ({
    command: process.execPath,
    args: [smallNursery, ...inspector, ...moduleOptions(process.execArgv), file, workerFlag],
  })
  const launcher = start(program, () => [file])
  return { ...launcher, launch: (spec) => (existsSync(file) ? launcher.launch(spec) : nothing(file)) }
}

/** What could be started only to end with a trace that says so. */
function nothing(file: string): Launched {
  const error = new GreenroomError('COMMAND_NOT_FOUND', `there is no file ${file}`)
  return {
    stdin: new PassThrough().resume(),
    stderr: new PassThrough().end(),
    exited: Promise.resolve({ code: null, signal: null, error }),
    kill: () => undefined,
  }
}

interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
}

function start(program: () => Program, files: () => readonly string[]): Launcher {
  return {
    launch({ env, output }) {
      const owner = output === undefined ? { lifeline: true } : { output }
      return spawnGuarded({ ...program(), ...owner, env, background: true, killAfterMs })
    },
    canDetach: true,
    sharesFiles: true,
    identify: () => ({ program: JSON.stringify(program()), bundle: bundleDigest(files()) }),
  }
}
