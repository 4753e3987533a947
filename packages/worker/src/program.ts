/** A program that an executor started, tied to its run. */
import type { GuardedOptions, GuardedProcess, ProcessExit } from '@greenroom/bus/process'
import { GreenroomError, namesFlaw, type Clock } from '@greenroom/proto'
import { resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'

/** How to start a program. */
export interface ProgramOptions {
  /** Its folder; a relative one is one of the run's workspace. = the workspace */
  readonly cwd?: string
  /** Added to the worker's environment, which holds no secrets; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** How long its group may take after TERM before KILL, in milliseconds. = 1,000 */
  readonly killAfterMs?: number
}

/**
 * A running program. Read its output, or `resume()` it: a program whose pipes are full waits. Begin before it ends: what
 * nobody has begun to read by then Node drops.
 */
export interface Program {
  /** Its process id; undefined when it could not be started. */
  readonly pid: number | undefined
  /** Its standard input: end it, when it is to see an end. */
  readonly stdin: Writable
  /** What it writes to standard output. */
  readonly stdout: Readable
  /** What it writes to standard error. */
  readonly stderr: Readable
  /** Resolves when it is gone; `error` tells why it could not be started. Never rejects. */
  readonly exited: Promise<ProcessExit>
  /** Ends it: TERM to its group, KILL after `killAfterMs`. Resolves when it is gone. */
  kill(): Promise<ProcessExit>
}

/** What starting a program needs of its run. */
export interface ProgramHost {
  readonly spawn: (options: GuardedOptions) => GuardedProcess
  readonly clock: Clock
  /** The environment that programs inherit. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where they run unless told otherwise. */
  readonly workspace: string
  /** Ends them. */
  readonly signal: AbortSignal
}

/**
 * Starts a program that ends with the host's signal.
 *
 * @param host - the run
 * @param command - the program
 * @param args - its arguments
 * @param options - see {@link ProgramOptions}
 */
export function startProgram(
  host: ProgramHost,
  command: string,
  args: readonly string[] = [],
  options: ProgramOptions = {},
): Program {
  const odd = namesFlaw('spawn', options, ['cwd', 'env', 'killAfterMs'])
  if (odd !== undefined) throw new GreenroomError('BAD_OPTIONS', odd)
  const {
    pid,
    stdin,
    stdout,
    stderr,
    exited,
    kill: signalGroup,
  } = host.spawn({
    command,
    args,
    cwd: resolve(host.workspace, options.cwd ?? ''),
    env: environment({ ...host.env, ...options.env }),
  })
  const kill = (): Promise<ProcessExit> => {
    signalGroup('SIGTERM')
    const timer = host.clock.timer(options.killAfterMs ?? 1_000, () => signalGroup('SIGKILL'))
    return exited.finally(() => timer.cancel())
  }
  const onAbort = (): void => void kill()
  if (host.signal.aborted) onAbort()
  else {
    host.signal.addEventListener('abort', onAbort, { once: true })
    void exited.then(() => host.signal.removeEventListener('abort', onAbort))
  }
  return { pid, stdin, stdout, stderr, exited, kill }
}

function environment(variables: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const set: Record<string, string> = {}
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) set[name] = value
  return set
}
