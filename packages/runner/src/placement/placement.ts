/** The seam between a run and the place where its worker is found or made. */
import type { JsonValue, ServedExecutor } from '@greenroom/proto'
import type { WorkerExit } from '../launcher.ts'
import type { WorkerLog } from './worker-log.ts'

/** What a run needs of its worker. */
export interface WorkerNeed {
  /** The role that it is for. */
  readonly role: string
  /** The executor that it has to serve. */
  readonly executor: string
  /** Values of the secrets that it may ask for. */
  readonly secrets: Readonly<Record<string, string>>
  /** Names of environment variables beside those that every worker gets. */
  readonly env: readonly string[]
  /** Whether it is to outlive this runner: then it has one run, and leaves after it. */
  readonly detached: boolean
  /** How long its run may take, in milliseconds, if it is detached. = without a bound */
  readonly totalMs?: number
  /** What it has to have been provisioned with, by field: workers that agree in it may be used for each other's runs. */
  readonly fixed: Readonly<Record<string, JsonValue>>
}

/** Where a worker may be: started here, at an endpoint of its own, in a pool on the runner's bus or in a folder. */
export type PlaceKind = 'local' | 'remote' | 'pool' | 'fabric'

/** How a worker ended. */
export interface WorkerEnd {
  /** Whether it ever attached to the bus. */
  readonly attached: boolean
  /** How its process ended. */
  readonly exit: WorkerExit
  /** What it said about itself before it ended: a code of the error table, or its own. */
  readonly error?: {
    /** What went wrong, for programs. */
    readonly code: string
    /** The same, for people. */
    readonly message: string
  }
  /** Of a resident: its supervisor saw its process end. = false */
  readonly seenDead?: boolean
  /** For people: how it ended, and the last it wrote. */
  readonly message: string
}

/** A worker that a run may use. */
export interface PlacedWorker {
  /** What kind of place it is in. */
  readonly kind: PlaceKind
  /** Whether it is shared with others: it cannot be ended from here, and what it is not asked back may still run. = false */
  readonly isResident?: boolean
  /** The machine it runs on. */
  readonly host: string
  /** Its mailbox on the bus. */
  readonly address: string
  /** Which life of that mailbox's owner it is. */
  readonly incarnation: string
  /** Its process id, where it has one on this machine. */
  readonly pid: number | undefined
  /** Tells its process from later ones with the same id, where the system says. */
  readonly process: string | undefined
  /** Resolves with true when it is attached to the bus, with false when it ended before. Never rejects. */
  readonly attached: Promise<boolean>
  /** What it serves; undefined before it is attached. */
  readonly serves: readonly ServedExecutor[] | undefined
  /** How many runs it takes at a time, as far as is known. */
  readonly slots: number
  /** What it writes. */
  readonly log: WorkerLog
  /** Resolves when its process is gone, after it was declared gone on the bus. Never rejects. */
  readonly gone: Promise<WorkerEnd>
  /** Ends it in order, by force when that takes too long. */
  retire(): void
  /** Ends it by force, with all it started. */
  kill(): void
  /** Lets it go on without this runner: nobody here waits for it, or ends it, any more. */
  leave(): void
}

/** A detached worker that an earlier life of the runner started. */
export interface LeftWorker {
  /** Its mailbox on the bus. */
  readonly address: string
  /** Which life of that mailbox's owner it is. */
  readonly incarnation: string
  /** The machine it runs on. */
  readonly host: string
  /** Its process id. */
  readonly pid?: number
  /** Tells its process from later ones with the same id. */
  readonly process?: string
}

/** Finds or makes workers. */
export interface Placement {
  /** How many processes there are. */
  readonly processes: number
  /**
   * Gets a worker. It may be used at once: its mailbox takes messages before it is attached.
   *
   * @throws GreenroomError `SPEC_TOO_LARGE`
   */
  acquire(need: WorkerNeed): PlacedWorker
  /** Takes over a worker that an earlier life left, whether it is still there or not. */
  adopt(worker: LeftWorker): PlacedWorker
  /** Resolves when every process that was retired or killed is gone. */
  settled(): Promise<void>
  /** Ends every process by force, but for those that were left; resolves when they are gone. */
  close(): Promise<void>
}
