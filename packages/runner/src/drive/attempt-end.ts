/** How an attempt may end. Types only. */
import type { EventRange, Terminal } from '@greenroom/proto'
import type { Trip } from './limiter.ts'

/** How an attempt ended. */
export type AttemptEnd = UntrippedEnd & {
  /** What ended it before its executor did; decides about the run, whatever the worker said after it. */
  readonly tripped?: Trip
}

/** The same, as its worker would have it. */
export type UntrippedEnd =
  | {
      /** The executor ended. */
      readonly how: 'terminal'
      /** What the worker said about it. */
      readonly terminal: Terminal
      /** Events that can never arrive any more. */
      readonly eventsLost?: EventRange
      /** To be called when the end is recorded: the worker may forget it. */
      readonly confirm: () => void
      /** To be called when nobody has to be told any more: the broker may forget it too. */
      readonly acknowledge: () => void
    }
  | {
      /** The assignment was withdrawn: nothing ran (A2). */
      readonly how: 'unclaimed'
      /** The worker ended, did not answer in time, or would not take it; or the caller cancelled. */
      readonly why: 'gone' | 'silent' | 'refused' | 'cancelled'
    }
  | {
      /** The worker ended without saying how the run went. */
      readonly how: 'lost'
      /** Whether it is unknown that the executor has stopped. */
      readonly mayStillRun: boolean
      /** Events that it sent and that never arrived. */
      readonly eventsLost?: EventRange
    }
  | {
      /** It goes on without its runner, which closes. */
      readonly how: 'left'
    }
  | {
      /** The attempt could not be made, or not be followed to its end. */
      readonly how: 'failed'
      /** Why. */
      readonly error: unknown
    }
