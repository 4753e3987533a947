/** What whoever ordered a run wants to happen around it. */
import type { Outcome } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'

/** A run's duty to whoever ordered it. */
export interface Duty {
  /** Whom it is for: is told in another life of the runner, too. */
  readonly parent: string
  /** Whether it is bounded elsewhere how many of its kind wait to be let in. */
  readonly exempt: boolean
  /** Called once it waits no more: it executes, or is over. Perhaps more than once. */
  readonly admitted: () => void
  /** Asked before anything is planned: why the run is not to be done at all. */
  readonly skip: () => Promise<string | undefined>
  /** What is to be stored in the transaction that records the outcome. */
  readonly operations: (runId: string) => readonly Operation[]
  /**
   * Called when the outcome is recorded, or cannot be, before the broker may forget the run. Never rejects.
   */
  readonly deliver: (runId: string, outcome: Outcome) => Promise<void>
}
