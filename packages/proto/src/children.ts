/** Child runs: the same interface for a parent program (`runner.children`) and for an executor (`ctx.children`). */
import type { JsonValue } from './json.ts'
import type { SteerMode } from './message.ts'
import type { Outcome } from './outcome.ts'

/** A child to start. */
export interface ChildSpec {
  /** One of the runner's roles. */
  readonly role: string
  /** What to do, in words. */
  readonly task?: string
  /** What to do, typed: checked by the executor's schema. */
  readonly input?: JsonValue
  /** Idempotent per parent: the same key again is the same child. */
  readonly key?: string
}

/** A started child. */
export interface ChildRef {
  /** The child's run. */
  readonly runId: string
  /** The key under which it was started. */
  readonly key: string
}

/** Starts, awaits, steers and ends child runs. */
export interface Children {
  /**
   * Starts a child; resolves when its run is stored.
   *
   * @throws GreenroomError `UNKNOWN_ROLE`, `DEPTH_EXCEEDED`, `QUEUE_FULL`, `LIMIT_BUDGET`, `INPUT_INVALID`
   */
  spawn(spec: ChildSpec): Promise<ChildRef>
  /**
   * Waits for children: for `all` of them, for `any` one, or until the `first-error` (else all). A child that failed is an
   * outcome, not an exception.
   *
   * @returns the outcomes of those that ended, in the order of `refs`
   * @throws GreenroomError `UNKNOWN_RUN`, `ABORTED`
   */
  wait(
    refs: readonly ChildRef[],
    options?: { readonly mode?: 'all' | 'any' | 'first-error'; readonly signal?: AbortSignal },
  ): Promise<readonly Outcome[]>
  /** Steers a child; see {@link SteerMode}. Says what became of the text. */
  send(
    ref: ChildRef,
    text: string,
    options?: { readonly mode?: SteerMode },
  ): Promise<'delivered' | 'queued' | 'not-live'>
  /** Cancels a child. Resolves when that is recorded; {@link Children.wait} tells how it ended. */
  cancel(ref: ChildRef, reason?: string): Promise<void>
  /**
   * Puts a question to a child and waits for its answer, without a trace in its transcript.
   *
   * @throws GreenroomError `UNKNOWN_RUN`, `TIMEOUT` after `deadlineMs`, `ABORTED`
   */
  ask(
    ref: ChildRef,
    question: string,
    options?: { readonly deadlineMs?: number; readonly signal?: AbortSignal },
  ): Promise<string>
}
