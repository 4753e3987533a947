/**
 * The launcher: how a worker process comes into being. A container or a sandbox is another implementation of it.
 *
 * - *L1* `launch` never throws: what fails is told by `exited`.
 * - *L2* The process is alone in its group, and ends, with all it started, when the runner's process ends; with `output` it
 *   goes on.
 * - *L3* `exited` resolves once, when the process itself is gone; it never rejects.
 * - *L4* `kill` reaches the whole group and does nothing once that is gone.
 */
import type { Readable, Writable } from 'node:stream'

/** What a launcher is told. What the worker does is written to its standard input, by the runner. */
export interface LaunchSpec {
  /** The role that it is for: to tell processes apart. */
  readonly role: string
  /** The worker's mailbox: its name on the bus. */
  readonly address: string
  /** Its whole environment: nothing else is inherited. */
  readonly env: Readonly<Record<string, string>>
  /**
   * The process is to outlive the runner (L2): a file, whose folder is there, for all that it writes, since pipes would end
   * with the runner. Only for a launcher that `canDetach`.
   */
  readonly output?: string
}

/** How a process ended. */
export interface WorkerExit {
  /** Its exit code; null when a signal ended it or it never started. */
  readonly code: number | null
  /** The signal that ended it. */
  readonly signal: string | null
  /** Why it could not be started; with the code `COMMAND_NOT_FOUND` trying again is no help. */
  readonly error?: Error
}

/** A launched process. */
export interface Launched {
  /** Its process id, where it has one on this machine. */
  readonly pid?: number | undefined
  /** Takes the provisioning document, then its end. */
  readonly stdin: Writable
  /** What it writes; forwarded to the {@link Logger}. Absent where there is none to read. */
  readonly stdout?: Readable | undefined
  /** What it writes here is forwarded too; the last lines explain how it ended. */
  readonly stderr: Readable
  /** Resolves when the process is gone. Never rejects. */
  readonly exited: Promise<WorkerExit>
  /** Signals the process with all that it started. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
}

/** What a launcher would start now. */
export interface LaunchIdentity {
  /** Which program, and how. */
  readonly program: string
  /** Its content: changes when a byte of it does. */
  readonly bundle: string
}

/** Starts worker processes. */
export interface Launcher {
  /**
   * Says what `launch` would start now: a warm worker is used again only while that is the same. Called for each run. By
   * default it always is.
   */
  readonly identify?: () => LaunchIdentity
  /** Whether it does as {@link LaunchSpec.output} says: without that, runs that are to be detached are refused. = false */
  readonly canDetach?: boolean
  /**
   * Whether its workers see this machine's files under the same paths: then a run whose workspace is no folder here is
   * refused (`BAD_OPTIONS`) before anything is started. = false
   */
  readonly sharesFiles?: boolean
  /**
   * Whether a worker that an earlier life of the runner started has ended, with all that it started. Asked again and again
   * for some seconds. By default its process is looked for on this machine; of one without a process id nobody knows.
   *
   * @param address - its mailbox, as `launch` was told
   */
  readonly hasEnded?: (address: string) => boolean | Promise<boolean>
  /** Starts one. See L1 to L4. */
  launch(spec: LaunchSpec): Launched
}

/** Where the runner tells what nobody waits for. */
export interface Logger {
  /** What went wrong, but ended no run. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** A line that a worker wrote to its standard output or error. `source` is `role/pid`. */
  output(source: string, line: string): void
}
