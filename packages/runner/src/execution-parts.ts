/** What an execution is made of. Types only. */
import type { BackupReceipt, GreenroomError, JsonValue, Outcome } from '@greenroom/proto'
import type { Admission } from './admission.ts'
import type { Arbiter } from './approval/index.ts'
import type { Budgets } from './budgets.ts'
import type { Config } from './config.ts'
import type { Drive, Question } from './drive/index.ts'
import type { Duty } from './duty.ts'
import type { AttemptRecord, Journal, Kin, OpenRun, RunRecord, StartKey } from './journal.ts'
import type { Full, Outlook, PlacedWorker, Placement, WorkerNeed } from './placement/index.ts'
import type { Places } from './places.ts'
import type { Pool } from './pool/index.ts'
import type { RunChildren } from './run-children.ts'
import type { RunSpec } from './run.ts'
import type { SessionStore } from './session-store.ts'
import type { Predecessor } from './stand-in.ts'
import type { StoreSessions } from './store-sessions.ts'

/** What executions work with: the runner's parts. */
export interface Surroundings {
  readonly config: Config
  readonly journal: Journal
  readonly sessions: SessionStore
  /** The same, when it is in the journal's database: then one transaction does both. */
  readonly ownSessions: StoreSessions | undefined
  readonly drive: Drive
  readonly placement: Placement
  readonly pool: Pool<WorkerNeed, PlacedWorker>
  readonly places: Places
  readonly admission: Admission
  readonly arbiter: Arbiter
  readonly budgets: Budgets
  /** Waits for the end of a worker of an earlier life; false when nobody knows. */
  readonly isGone: (record: AttemptRecord) => Promise<boolean>
  /** See `Runner.backup`. */
  readonly backUp: (path: string) => Promise<BackupReceipt>
  /** Why no run can be detached; undefined when it can. */
  readonly whyNotDetached: string | undefined
}

/** What is to be run. */
export type Spec = RunSpec & { readonly input?: JsonValue | undefined }

/** What is special about an execution. */
export interface ExecutionOptions {
  /** Why it is not even tried. */
  readonly refusal?: GreenroomError | undefined
  /** What whoever ordered it wants. */
  readonly duty?: Duty | undefined
  /** What an earlier life of the runner left of it. */
  readonly earlier?: OpenRun
  /** By which it is found when it is started again. */
  readonly start?: StartKey
  /** Whose child it is. */
  readonly kin?: Kin | undefined
  /** What else is recorded of it. */
  readonly mark?: Pick<RunRecord, 'isStandIn'>
  /** What it may have of children of its own. = none */
  readonly family?: Family
}

/** What a run may have of children of its own. */
export interface Family {
  /** Those of a parent, who is the last of the lineage. */
  readonly childrenOf: (lineage: readonly string[]) => RunChildren
  /** Cancels the children of a parent that was cancelled, or ended without having completed. */
  readonly endChildren: (parent: string, status: Outcome['status']) => void
  /** Asks another run in the stead of one that has ended. */
  readonly askStandIn: (run: Predecessor, question: Question, signal: AbortSignal) => Promise<string>
  /** See {@link makeRoom}. */
  readonly makeRoom: (path: readonly string[], full: Full) => Outlook
}
