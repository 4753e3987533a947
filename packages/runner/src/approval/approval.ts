/** Approvals as deciders, people and callers see them. Types only. */
import type { ApprovalScope, Decider, JsonValue } from '@greenroom/proto'

/** Something that a run wants to do, and that somebody has to allow. */
export interface Approval {
  /** Unguessable. */
  readonly id: string
  /** The run that asks. */
  readonly runId: string
  /** Which attempt of it. */
  readonly epoch: number
  /** The run ids from the root of its tree to the one that asks. */
  readonly path: readonly string[]
  /** The run's role. */
  readonly role: string
  /** The run's session. */
  readonly session: string
  /** The run's folder: an absolute path. */
  readonly workspace: string
  /** The tool that is to be called. */
  readonly tool: string
  /** The kind of permission it needs, such as `execute`. */
  readonly permission: string
  /** What it acts upon, such as a path. */
  readonly resource: string
  /** What exactly it is to be called with. Written by whoever asks: not to be believed, nor run. */
  readonly input: JsonValue
  /** SHA-256 of the canonical input, in hex. */
  readonly digest: string
  /** It is asked after this event of the attempt. */
  readonly afterSeq: number
  /** In milliseconds since the epoch. */
  readonly createdAt: number
  /** When it is denied, in milliseconds since the epoch; null: never. */
  readonly deadline: number | null
}

/** What a decider says. */
export interface Verdict {
  /** Whether it may be done. */
  readonly allow: boolean
  /** Why, for people. = who decided */
  readonly reason?: string
  /** What it is to be called with instead: the same members of the same kinds, or the executor does nothing. */
  readonly input?: JsonValue
  /** For how much it holds: this call, or all of its role with the same tool, permission and exact resource in the run or session. = `once` */
  readonly scope?: ApprovalScope
}

/** The one decision on an approval. */
export interface ApprovalDecided {
  /** Whether it may be done. */
  readonly allowed: boolean
  /** Why, for people: for a denial the true reason. */
  readonly reason: string
  /** Who decided. */
  readonly decider: Decider
  /** Which person, where that is known: what `answer` was told, such as the subject of a token. */
  readonly by?: string
  /** For how much it holds. */
  readonly scope: ApprovalScope
  /** What it may be called with instead, when the decider edited it. */
  readonly input?: JsonValue
  /** In milliseconds since the epoch. */
  readonly decidedAt: number
}

/** An approval, with its decision once there is one. */
export interface ApprovalRecord extends Approval {
  /** Absent while it waits. */
  readonly decision?: ApprovalDecided
}

/** An answer that holds for more than one call. */
export interface Grant {
  /** Names it. */
  readonly id: string
  /** Whether it holds for a run or a session. */
  readonly scope: Exclude<ApprovalScope, 'once'>
  /** Which one. */
  readonly of: string
  /** The role that it was given to: it holds for no other. */
  readonly role: string
  /** The session in which it was given. */
  readonly session: string
  /** The tool that may be called. */
  readonly tool: string
  /** With which permission. */
  readonly permission: string
  /** On what exactly. */
  readonly resource: string
  /** The approval that it was given for. */
  readonly approval: string
  /** Who gave it. */
  readonly decider: Decider
  /** Which person, where that is known. */
  readonly by?: string
  /** In milliseconds since the epoch. */
  readonly grantedAt: number
}

/** How {@link RunnerApprovals.answer} decides. */
export interface AnswerOptions {
  /** Which person decides, as it is recorded: a name or an account. Whoever calls vouches for it. = nobody says */
  readonly by?: string
}

/** What a decider gets beside the approval. */
export interface DecideOptions {
  /** Aborts when somebody else has decided, in time, or nobody wants to know any more. */
  readonly signal: AbortSignal
}

/** Decides by rules, promptly; undefined: it has nothing to say about this one. */
export type Decide = (approval: Approval, options: DecideOptions) => Verdict | undefined | Promise<Verdict | undefined>

/** Decides by looking closely, a model for example; `unavailable`: it could not. So does whatever it throws. */
export type Review = (approval: Approval, options: DecideOptions) => Promise<Verdict | 'unavailable'>

/** Asks a person. What it throws denies. */
export type Ask = (approval: Approval, options: DecideOptions) => Promise<Verdict>

/** Who decides on what runs ask for: the reviewer, else the policy, else a person. */
export interface ApprovalOptions {
  /** Has the first word, and the last where it is available. = none */
  readonly reviewer?: Review
  /** What happens when the reviewer is not available: all goes on without it, or is denied. = `person` */
  readonly onUnavailable?: 'person' | 'deny'
  /** = none */
  readonly policy?: Decide
  /**
   * Whom to ask when nobody else has decided; `elsewhere`: nobody from here, it waits for {@link RunnerApprovals.answer}. =
   * nobody: roles are unattended, and what gets here is denied at once
   */
  readonly person?: Ask | 'elsewhere'
  /** How long all of that may take, in milliseconds; then it is denied. null: for ever. = 300,000 */
  readonly deadlineMs?: number | null
}

/** Which approvals. */
export interface ApprovalFilter {
  /** Of this run. */
  readonly runId?: string
  /** Those that wait for a decision, or have one. */
  readonly state?: 'pending' | 'decided'
}

/** What runs ask for, and answers to it. */
export interface RunnerApprovals {
  /**
   * Approvals of runs that are in the journal, oldest first.
   *
   * @param filter - = all
   * @throws GreenroomError `BAD_OPTIONS`
   */
  list(filter?: ApprovalFilter): readonly ApprovalRecord[]
  /**
   * One of them.
   *
   * @throws GreenroomError `UNKNOWN_APPROVAL`; `BAD_OPTIONS` for what is no id
   */
  get(id: string): ApprovalRecord
  /**
   * Decides, as a person. The first decision that is recorded counts, whoever makes it.
   *
   * @param id - which
   * @param verdict - what is decided
   * @param options - `by`: which person decides
   * @returns the approval with the decision that counts, be it another one; once that is recorded
   * @throws GreenroomError `UNKNOWN_APPROVAL`; `BAD_OPTIONS`, also for an `input` of another shape than what was asked: then it is
   *   still open; `COMMIT_UNKNOWN` when an earlier decision could not be recorded; `CLOSED`
   */
  answer(id: string, verdict: Verdict, options?: AnswerOptions): Promise<ApprovalRecord>
  /**
   * Those that wait, then each that is asked for, and again when it is decided. Ends with the signal, and with the runner.
   *
   * @param options - `signal`: ends it
   */
  watch(options?: { readonly signal?: AbortSignal }): AsyncIterable<ApprovalRecord>
  /** The answers that hold for more than one call. */
  grants(): readonly Grant[]
  /**
   * Takes one back: from now on it is asked again. What was allowed by it stays allowed.
   *
   * @returns whether it was there
   * @throws GreenroomError `BAD_OPTIONS` for what is no id
   */
  revoke(grantId: string): Promise<boolean>
}
