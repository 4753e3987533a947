/**
 * Processes that never outlive the one that started them.
 *
 * - *S1* The program leads a process group of its own: a signal goes to all it started. Only what leaves the group on
 *   purpose, as daemons do by `setsid`, is out of reach.
 * - *S2* Beside it sits a guard ({@link startGuard}), which ends that group when this process is gone, even by `kill -9`.
 * - *S3* There is no moment in between: the program waits at a gate, a pipe, until its guard knows its group. When this
 *   process dies before it opened the gate, the program ends without having begun.
 *   {@link GuardedOptions.output} makes an exception: the program goes on, with its guard, which ends what it leaves behind.
 * - *S4* No text given here is ever read as a script: programs and arguments are passed as words.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { GreenroomError } from '@greenroom/proto'
import { findExecutable } from './executable.ts'
import { tailOf } from './file-tail.ts'
import { startGuard, unref, type Guard } from './guard.ts'

export { tailOf } from './file-tail.ts'

/** Reads the gate, then becomes the program: same process id. 4 is the gate, 3 may be the lifeline. */
const gate = 'read -r go <&4 && exec "$@" 4<&-'

/** What to start. */
export interface GuardedOptions {
  /** A name to look up in `env.PATH`, or a path. */
  readonly command: string
  /** = none */
  readonly args?: readonly string[]
  /** The whole environment: nothing is inherited (a shell on the way adds `PWD`). */
  readonly env: Readonly<Record<string, string>>
  /** = this process's */
  readonly cwd?: string
  /** Gives the program, as file descriptor 3, a pipe that ends when this process does. = false */
  readonly lifeline?: boolean
  /** When this process is gone: how long the group may take after TERM, in milliseconds. = 300 */
  readonly killAfterMs?: number
  /** The process and its pipes do not keep this program alive. = false */
  readonly background?: boolean
  /**
   * A file that all its outputs are appended to, in place of pipes; its folder has to be there. Then the process outlives
   * this one: its guard is its own, which ends what it leaves in its group (once nobody has the descriptors that it opened
   * to others, as shells do). `stderr` shows what comes in the file.
   */
  readonly output?: string
}

/** How a process ended. */
export interface ProcessExit {
  /** Its exit code; null when a signal ended it or it never started. */
  readonly code: number | null
  /** The signal that ended it. */
  readonly signal: NodeJS.Signals | null
  /**
   * Why it could not be started: `COMMAND_NOT_FOUND`; `BAD_OPTIONS` when arguments and environment are too large or hold
   * a NUL character; `INTERNAL` when the system refused, also the file for its outputs.
   */
  readonly error?: GreenroomError
}

/**
 * A process with its guard. Its output pipes have to be read (or `resume()`d), else it blocks when they are full; what
 * nobody has begun to read when the process ends is dropped by Node.
 */
export interface GuardedProcess {
  /** Its process id, which is its group's too; undefined when it could not be started. */
  readonly pid: number | undefined
  /** Its standard input: end it, when it is to see an end. */
  readonly stdin: Writable
  /** What it writes to standard output. */
  readonly stdout: Readable
  /** What it writes to standard error. */
  readonly stderr: Readable
  /** Resolves when the process itself is gone; what it left in its group is then being ended. Never rejects. */
  readonly exited: Promise<ProcessExit>
  /** Signals the whole group, as far as this user may. Does nothing once the process is gone. */
  readonly kill: (signal: 'SIGTERM' | 'SIGKILL' | 'SIGINT') => void
}

/**
 * Starts a program with a guard beside it. Never throws: what fails is told by `exited`.
 *
 * @param options - what to start
 *
 * @example
 * ```ts
 * import { spawnGuarded } from '@greenroom/bus/process'
 *
 * const program = spawnGuarded({ command: 'git', args: ['--version'], env: { PATH: '/usr/bin:/bin' } })
 * program.stdin.end()
 * program.stderr.resume()
 * for await (const chunk of program.stdout) console.log(String(chunk))
 * console.log((await program.exited).code) // 0
 * ```
 */
export function spawnGuarded(options: GuardedOptions): GuardedProcess {
  let guard: Guard | undefined
  try {
    const program = findExecutable(options.command, options.cwd ?? process.cwd(), options.env['PATH'])
    guard = startGuard(options.killAfterMs ?? 300)
    if (guard === undefined) return notStarted(failed())
    return start(options, program, guard)
  } catch (error) {
    guard?.release()
    return notStarted(failed(refusal(error)))
  }
}

function start(options: GuardedOptions, program: string, guard: Guard): GuardedProcess {
  const child = launch(options, program, guard)
  const { pid, stdin } = child
  const { promise: exited, resolve } = Promise.withResolvers<ProcessExit>()
  const [stdout, stderr] = outputsOf(child, options.output, exited)
  let running = pid !== undefined
  const end = (exit: ProcessExit): void => {
    running = false
    guard.release()
    resolve(exit)
  }
  child.once('error', (cause) => end(failed(new GreenroomError('INTERNAL', cause.message, { cause }))))
  child.once('exit', (code, signal) => end({ code, signal }))
  // Writing to a program that has ended is no reason to crash: its exit tells.
  for (const stream of child.stdio) stream?.on('error', () => {})
  if (pid === undefined || stdin === null || stdout === null || stderr === null)
    return { ...notStarted(failed()), exited }
  guard.watch(pid)
  if (options.output !== undefined) guard.handOver()
  open(child)
  if (options.background === true) {
    child.unref()
    for (const stream of child.stdio) if (stream) unref(stream)
  }
  const kill = (signal: NodeJS.Signals): void => void (running && signalGroup(pid, signal))
  return { pid, stdin, stdout, stderr, exited, kill }
}

function launch(options: GuardedOptions, program: string, guard: Guard): ChildProcess {
  const { args = [], cwd, env, lifeline = false, output } = options
  const file = output === undefined ? undefined : openSync(output, 'a', 0o600)
  try {
    return spawn('/bin/sh', ['-c', gate, 'greenroom-gate', program, ...args], {
      detached: true,
      cwd,
      env: { ...env },
      stdio: [
        'pipe',
        file ?? 'pipe',
        file ?? 'pipe',
        lifeline ? 'pipe' : 'ignore',
        'pipe',
        ...(file === undefined ? [] : [guard.pipe]),
      ],
    })
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

function outputsOf(
  { stdout, stderr }: ChildProcess,
  output: string | undefined,
  exited: Promise<unknown>,
): readonly [Readable | null, Readable | null] {
  return output === undefined ? [stdout, stderr] : [new PassThrough().end(), tailOf(output, exited)]
}

/** Opens the gate: only after the guard was told (S3). */
function open({ stdio: [, , , , gateway] }: ChildProcess): void {
  if (gateway && 'end' in gateway) gateway.end('go\n')
}

/**
 * Signals a process group. One whose last process has just ended is no error, nor is one that became another user's
 * (`sudo`).
 *
 * @param group - the process id of its leader
 * @param signal - what to send
 */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch (error) {
    if (!['ESRCH', 'EPERM'].includes(systemCode(error))) throw error
  }
}

const systemCode = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')

function refusal(error: unknown): GreenroomError {
  if (error instanceof GreenroomError) return error
  const code = systemCode(error)
  if (code === 'E2BIG')
    return new GreenroomError('BAD_OPTIONS', 'arguments and environment are larger than the system allows')
  // Node's own words quote the value, and that may be a secret.
  if (code === 'ERR_INVALID_ARG_VALUE')
    return new GreenroomError('BAD_OPTIONS', 'an argument or a variable holds a NUL character')
  return new GreenroomError('INTERNAL', `the system refused to start the process: ${code}`, { cause: error })
}

function failed(error = new GreenroomError('INTERNAL', 'the system refused to start the process')): ProcessExit {
  return { code: null, signal: null, error }
}

/** What stands in for a process that never was: streams at their end. */
function notStarted(exit: ProcessExit): GuardedProcess {
  const [stdin, stdout, stderr] = [new PassThrough().resume(), new PassThrough().end(), new PassThrough().end()]
  return { pid: undefined, stdin, stdout, stderr, exited: Promise.resolve(exit), kill() {} }
}
