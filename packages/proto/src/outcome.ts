/** How a run ends: exactly one of these, whatever crashes on the way. */
import type { ErrorCode, Retry } from './error.ts'
import type { JsonValue } from './json.ts'

/** What a run used. */
export interface Usage {
  /** Tokens that went into models. */
  readonly inputTokens?: number
  /** Tokens that came out of models. */
  readonly outputTokens?: number
  /** Money, in US dollars. */
  readonly costUsd?: number
  /** How many model or tool rounds it took. */
  readonly rounds?: number
}

/** A range of event sequence numbers, both ends included. */
export interface EventRange {
  /** The first of them. */
  readonly first: number
  /** The last of them. */
  readonly last: number
}

/** What every outcome may carry. */
export interface OutcomeBase {
  /** Events that were sent but never arrived, because their worker died. */
  readonly eventsLost?: EventRange
  /** What it used, over all attempts. */
  readonly usage?: Usage
}

/** It did what it was asked to. */
export interface Completed<Output = JsonValue> extends OutcomeBase {
  readonly status: 'completed'
  /** The executor's typed result. */
  readonly output: Output
  /** Its final words; empty when it had none. */
  readonly text: string
}

/** Somebody cancelled it. */
export interface Cancelled extends OutcomeBase {
  readonly status: 'cancelled'
  /** Why, for people. */
  readonly reason: string
}

/** It failed. */
export interface Failed extends OutcomeBase {
  readonly status: 'failed'
  /** One of the error table, or the executor's own from `ctx.fail(code, …)`. */
  readonly code: ErrorCode | (string & {})
  /** Whether trying again may help. */
  readonly retry: Retry
  /** What happened, for people. */
  readonly message: string
  /** True when the worker could not be proved dead: the work may go on somewhere. */
  readonly mayStillRun?: boolean
}

/** A watchdog ended it. */
export interface TimedOut extends OutcomeBase {
  readonly status: 'timeout'
  /** The watchdog that ended it. */
  readonly which: 'accept' | 'first-event' | 'no-progress' | 'tool' | 'total'
}

/** It was never started, for a reason that is no failure. */
export interface Skip extends OutcomeBase {
  readonly status: 'skipped'
  /** The reason, for people. */
  readonly why: string
}

/** The end of a run. */
export type Outcome<Output = JsonValue> = Completed<Output> | Cancelled | Failed | TimedOut | Skip
