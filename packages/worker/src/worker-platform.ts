/** What a worker needs of the process it lives in. */
import type { GuardedOptions, GuardedProcess } from '@greenroom/bus/process'

/** A worker's process, or what stands in for it in tests and simulations. */
export interface WorkerPlatform {
  /** Told to the runner when a run is accepted. */
  readonly pid?: number
  /** The version of this package, shown in presence. */
  readonly version?: string
  /** What programs inherit: nothing secret. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Starts a program that does not outlive this process. */
  readonly spawn: (options: GuardedOptions) => GuardedProcess
  /** How late the main loop has been since the last call, in milliseconds. */
  readonly loopLag?: () => number
  /** The process's resident memory, in MiB; without it, memory is not bounded from within. */
  readonly rssMb?: () => number
  /**
   * Resolves when what was published so far has left: an executor may keep the thread from its first line on. = at once
   */
  readonly sent?: () => Promise<void>
  /** Writes a line to the log. */
  readonly log: (line: string) => void
}
