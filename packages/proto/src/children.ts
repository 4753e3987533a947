/** Child runs: the same interface for a parent program (`runner.children`) and for an executor (`ctx.children`). */
import type { Budget } from './budget.ts'
import { GreenroomError } from './error.ts'
import type { JsonValue } from './json.ts'
import type { ChildOutcome, SteerMode, WaitArgs } from './message.ts'
import type { Outcome } from './outcome.ts'

/** A child to start. */
export interface ChildSpec {
  /** One of the runner's roles. */
  readonly role: string
  /** What to do, in words. */
  readonly task?: string
  /** What to do, typed: checked by the executor's schema. */
  readonly input?: JsonValue
  /** Names the child for its parent: the same key again is the same child, in whichever attempt. = another child each time */
  readonly key?: string
  /**
   * What it and its descendants may use. It is set aside out of what its parent draws on, until all of them have ended; what
   * is absent they draw from there. = all of it
   */
  readonly budget?: Budget
}

/** A started child. */
export interface ChildRef {
  /** The child's run. */
  readonly runId: string
  /** The key under which it was started. */
  readonly key: string
}

/** What names a child: its {@link ChildRef}, or a part of it. */
export type ChildId = Pick<ChildRef, 'runId'>

/**
 * How to ask: `query` beside its work, answered by what its executor says for that (`ctx.onAsk`), without a trace in its
 * transcript; `steer` within its work, as a text of the user, answered by the next message of the assistant.
 */
export type AskMode = 'query' | 'steer'

/** How to ask, and for how long. */
export interface AskOptions {
  /** = `query` */
  readonly mode?: AskMode
  /** How long all of it may take, admission included, in milliseconds; at most 300,000. = 60,000 */
  readonly timeoutMs?: number
  /** Gives the question up. */
  readonly signal?: AbortSignal
}

/** A child among the others of its parent. */
export interface ChildStatus extends ChildRef {
  /** What it was started as. */
  readonly role: string
  /** How it ended; `running` until that is recorded, also while it waits for its turn or for children of its own. */
  readonly status: 'running' | Outcome['status']
}

/** Until when to wait: for `all` of the children, for `any` one, or for the `first-error`, else all. */
export type WaitMode = 'all' | 'any' | 'first-error'

/**
 * Starts, awaits, steers, asks and ends child runs. A child goes on when its parent has completed; a parent that ends otherwise
 * takes its children with it.
 */
export interface Children {
  /**
   * Starts a child; resolves when its run is stored.
   *
   * @throws GreenroomError `UNKNOWN_ROLE`, `BAD_OPTIONS`, `INPUT_INVALID`, `SPEC_TOO_LARGE`; `DEPTH_EXCEEDED`; `ID_CONFLICT` when the key
   * named another order; `LIMIT_BUDGET` when what its parent draws on does not cover it; `STORAGE_FULL`; `DRAINING`, `CLOSED`
   */
  spawn(spec: ChildSpec): Promise<ChildRef>
  /**
   * Waits for children. A child that failed is an outcome, not an exception. Meanwhile the parent counts as not executing:
   * it needs no permit, and its times stand still. One that waits more than once at a time does so until the last has returned.
   *
   * @param refs - which
   * @param options - `mode`: until when. = `all`. `signal`: ends the waiting
   * @returns those that ended, in the order of `refs`
   * @throws GreenroomError `UNKNOWN_RUN` for one that is not a child of this parent, `BAD_OPTIONS`, `ABORTED`
   */
  wait(
    refs: readonly ChildId[],
    options?: { readonly mode?: WaitMode; readonly signal?: AbortSignal },
  ): Promise<readonly ChildOutcome[]>
  /**
   * Steers a child; see {@link SteerMode}. Says what became of the text.
   *
   * @throws GreenroomError `UNKNOWN_RUN`, `BAD_OPTIONS`
   */
  send(
    ref: ChildId,
    text: string,
    options?: { readonly mode?: SteerMode },
  ): Promise<'delivered' | 'queued' | 'not-live'>
  /**
   * Asks a child and waits for the answer, as long as `timeoutMs` says; many at a time are told apart. The asker counts as
   * one that waits, as in {@link Children.wait}, but is not suspended before it is answered. What happens depends on where the child stands when it is asked:
   *
   * - *at work*: `query` is answered by the executor's `ctx.onAsk`; `steer` is a text in `ctx.steering`, and the next message
   *   of the assistant is the answer, else the final words of the run.
   * - *not yet, or suspended*: the question waits for it.
   * - *ended*: another run of its role is started, with what the child's session has and the question as its task; its final
   *   words are the answer. With `steer` the session goes on: the question is in it, and what its executor says by `ctx.message`;
   *   `query` leaves it alone.
   *
   * A question that is given up, or not answered in time, is taken back: who answers is told so, and what comes later is
   * dropped. A child that completes before it has answered is asked as one that has ended.
   *
   * @param ref - whom
   * @param question - in words
   * @param options - see {@link AskOptions}
   * @returns the answer
   * @throws GreenroomError `UNKNOWN_RUN`, `BAD_OPTIONS`, `ABORTED`; `ASK_TIMEOUT`; `ASK_UNSUPPORTED` when its executor answers no
   *   questions; `ASK_FAILED` with its own words; `ASK_UNANSWERED` when it ended otherwise than completed, and `WORKER_LOST` when
   *   its worker did; what starting a run may fail with, such as `INPUT_INVALID` when its executor does not work by words alone
   */
  ask(ref: ChildId, question: string, options?: AskOptions): Promise<string>
  /**
   * Cancels a child, and with it its own; {@link Children.wait} tells how it ended.
   *
   * @throws GreenroomError `UNKNOWN_RUN`, `BAD_OPTIONS`
   */
  cancel(ref: ChildId, reason?: string): Promise<void>
  /**
   * The children, also those of earlier attempts or lives, oldest first: all that run, and of those that ended the newest, as
   * many as make 1,000. One that is forgotten (`retentionMs`) is not among them.
   */
  list(): Promise<readonly ChildStatus[]>
}

/**
 * What to wait for, as it is sent.
 *
 * @param name - who is asked, for people
 * @param refs - the children; anything, when the caller is not compiled
 * @param mode - until when
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function waitArgs(name: string, refs: readonly ChildId[], mode: WaitMode): WaitArgs {
  if (!Array.isArray(refs)) throw new GreenroomError('BAD_OPTIONS', `${name}: its argument must be a list of children`)
  if (!['all', 'any', 'first-error'].includes(mode))
    throw new GreenroomError('BAD_OPTIONS', `${name}: mode must be 'all', 'any' or 'first-error'`)
  return { runIds: refs.map(childIdOf), mode }
}

/**
 * Which child is meant.
 *
 * @param ref - it; anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function childIdOf(ref: ChildId): string {
  if (typeof ref?.runId === 'string') return ref.runId
  throw new GreenroomError('BAD_OPTIONS', 'children: a child is what spawn gave')
}
