/** The default launcher: a child process in a group of its own, with a guard beside it and a lifeline to this process. */
import { spawnGuarded } from '@greenroom/bus/process'
import { fileURLToPath } from 'node:url'
import type { CommandEntry } from '../entry.ts'
import type { Launcher } from '../launcher.ts'

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
  return start(() => ({ command, args: [...args, workerFlag], ...(entry.cwd === undefined ? {} : { cwd: entry.cwd }) }))
}

/**
 * Starts a worker's entry file in Node, with the module options of this process.
 *
 * @param url - a `file:` URL
 */
export function entryLauncher(url: URL): Launcher {
  return start(() => ({
    command: process.execPath,
    args: [smallNursery, ...moduleOptions(process.execArgv), fileURLToPath(url), workerFlag],
  }))
}

function start(program: () => { command: string; args: readonly string[]; cwd?: string }): Launcher {
  return { launch: ({ env }) => spawnGuarded({ ...program(), env, lifeline: true, background: true, killAfterMs }) }
}
