/** A run as its caller holds it. */
import type { PlaceKind } from './placement/index.ts'
import type { PoolMiss } from './pool/index.ts'
import type { AskOptions, Budget, JsonValue, Message, Outcome, ReadEvent, SteerMode } from '@greenroom/proto'
import type { BudgetOptions } from './budget.ts'
import type { LimitOptions } from './limits.ts'
import type { ReadAfter } from './reader.ts'

/** What to run, but for its input. */
export interface RunSpec<Role extends string = string> {
  /** One of the runner's roles. */
  readonly role: Role
  /** What to do, in words. = the session's latest user message, else its title */
  readonly task?: string
  /** The session it belongs to: made when it is not there. = a new one, named as the run */
  readonly session?: string
  /** Added to the session before this run. */
  readonly messages?: readonly Message[]
  /** A folder that is there. = the role's */
  readonly workspace?: string
  /** = the role's */
  readonly model?: string
  /** Waits so long before it is let in, in milliseconds. = 0 */
  readonly delayMs?: number
  /** Who waits with a larger number is let in first. = the role's */
  readonly priority?: number
  /** Its bounds. = the session's, the role's, the runner's, each for itself */
  readonly limits?: LimitOptions
  /** What it and all of its descendants may use together. = the runner's, each amount for itself */
  readonly budget?: BudgetOptions
  /**
   * Whether it goes on when its runner ends, however that ends: a later life with the same `dataDir` follows it again, by
   * `attach` or `resume`, for up to 7 days. It needs a broker outside the runner (`bus`) and a `dataDir`
   * (`MISSING_FEATURE`), and has a worker of its own, which writes to a file. Its entries are stored at the broker; its
   * deltas are dropped. = the role's
   */
  readonly detached?: boolean
  /** Cancels the run when it aborts. */
  readonly signal?: AbortSignal
}

/** A run that may be started again by whoever does not know whether it was. */
export interface StartOptions {
  /**
   * Names the start, for whoever starts it again after a crash: the same key gives the first run, in whichever life of
   * the runner. With another order it is refused with `ID_CONFLICT`.
   */
  readonly idempotencyKey?: string
}

/** Where to go on reading a run. */
export interface AttachOptions {
  /** The last event that was read; reading goes on after it. = from the first */
  readonly after?: ReadAfter
}

/** What to run, with the input that the role's executor takes. */
export type TypedRunSpec<Role extends string, Input> = RunSpec<Role> &
  (undefined extends Input
    ? {
        /** What the executor is given beside the task: JSON, checked against what it declares (`INPUT_INVALID`). */
        readonly input?: Input
      }
    : {
        /** What the executor is given beside the task: JSON, checked against what it declares (`INPUT_INVALID`). */
        readonly input: Input
      })

/**
 * Where a steering text is: `delivered` (the executor, which waited for one, has it), `queued` (its worker has it, for
 * when the executor asks next; mode `queue`: when it would end), or `not-live` (the run is over, or ended first).
 *
 * While the runner lives, and for a detached run also when it ends, none is lost: what the executor takes is in the
 * transcript as a message of the user, from then on; what it never asks for is added at the run's end, for the session's
 * next run, as is what was `not-live`.
 */
export type SteerStatus = 'delivered' | 'queued' | 'not-live'

/** What else {@link Run.send} may be told. */
export interface SendOptions {
  /** `now`: at the executor's next safe point; `queue`: when it would end. = `now` */
  readonly mode?: SteerMode
}

/**
 * Where a run stands: `planning` (nothing is started; of one that an earlier life left: it is found out how far it came),
 * `delayed` (until its time comes, or before it is tried again),
 * `suspended` (it waits for its children, without a worker),
 * `queued` (as many as may execute do, or as many processes as may are there), `starting` (it has a worker, which comes
 * up), `running` (accepted), `cancelling`, `ending`
 * (its outcome is being stored), `ended`.
 */
export type RunPhase =
  | 'planning'
  | 'delayed'
  | 'suspended'
  | 'queued'
  | 'starting'
  | 'running'
  | 'cancelling'
  | 'ending'
  | 'ended'

/** A run's state at one moment: for a live view or a report. */
export interface RunStatus {
  /** The run's id. */
  readonly runId: string
  /** The role that it runs. */
  readonly role: string
  /** The session that it belongs to. */
  readonly session: string
  /** How far it has come. */
  readonly phase: RunPhase
  /** Where its worker runs; set before anything is connected. */
  readonly placement?: {
    /** Which kind of place. */
    readonly kind: PlaceKind
    /** The machine's name; that of the pool, as long as no worker of it is chosen, or when that does not say where it is. */
    readonly host: string
  }
  /** Its worker, while it has one; after its end the last. */
  readonly worker?: {
    /** Its mailbox on the bus. */
    readonly address: string
    /** Its process id, where it has one on this machine. */
    readonly pid?: number
    /** Whether it was there before the run. */
    readonly warm: boolean
    /** Why it was not. */
    readonly miss?: PoolMiss
  }
  /** How many attempts were started. */
  readonly attempts: number
  /** How many events of the present attempt have arrived. */
  readonly events: number
  /** How many decisions it waits for; absent when for none. */
  readonly approvals?: number
  /** What is left of the budgets that it draws on, its own and its ancestors'; absent when nothing is bounded. */
  readonly budget?: Budget
  /** When the run was asked for, in milliseconds since the epoch. */
  readonly startedAt: number
  /** How long it has taken, or took, in milliseconds. */
  readonly ms: number
  /** The outcome's status, once it ended. */
  readonly status?: Outcome['status']
}

/**
 * One execution.
 *
 * Reading it (`for await`) yields its events from the first on: entries always, deltas from when the first reader
 * opened; what was dropped before shows as `skipped`. An open reader holds the run back when it does not read, until its
 * executor has ended or the runner drains; leaving the loop lets it go. Without a reader nothing waits.
 */
export interface Run<Output = JsonValue> extends AsyncIterable<ReadEvent>, AsyncDisposable {
  /** Unique and unguessable; names the run in the journal and in messages. */
  readonly id: string
  /** How it ended. Never rejects. */
  readonly outcome: Promise<Outcome<Output>>
  /**
   * Says something to it while it works. Answered once its worker has the text; it does not wait for an executor that is
   * busy, or never asks for any.
   *
   * @param text - a user's message
   * @param options - when it is taken up
   * @throws what the session store throws, when the text came too late for the run and could not be kept either;
   *   GreenroomError `BAD_OPTIONS`; `STORAGE_FULL`, `COMMIT_UNKNOWN` when one for a detached run cannot be recorded, and `CLOSED` when its
   *   runner has left it: then the run does not get it (but for `COMMIT_UNKNOWN`)
   */
  send(text: string, options?: SendOptions): Promise<SteerStatus>
  /**
   * Asks it something and waits for the answer, as a parent asks its child: see `Children.ask`. One that has ended is
   * asked by another run, which has its session.
   *
   * @param question - in words
   * @param options - how, and for how long
   * @throws GreenroomError as `Children.ask`, but for `UNKNOWN_RUN`
   */
  ask(question: string, options?: AskOptions): Promise<string>
  /**
   * Ends it: what has not started never does; an executor has the runner's `cancelGraceMs`. Idempotent.
   *
   * @returns the outcome, which is `completed` when the run was faster
   */
  cancel(reason?: string): Promise<Outcome<Output>>
  /** What its present or last worker wrote for it to standard output and error, in lines: the last 64 KiB. */
  workerLog(): readonly string[]
  /** Where it stands. */
  status(): RunStatus
}
