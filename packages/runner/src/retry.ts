/**
 * Whether a run is tried again: the one place that decides it.
 *
 * - *R1* What can still run is never tried again: there is no second attempt without proof that the first cannot run.
 * - *R2* An assignment that was withdrawn because its worker was killed or did not answer is tried once more at once, and
 *   one that a worker would not take as often as {@link maxRefusals}: neither is the run's fault.
 * - *R3* Else as often as the role's `retry` says, after a pause, and only what may help: a failure with `retry: 'later'`, a
 *   timeout other than `total`. What was claimed has had effects: it is tried again only for a run that is declared
 *   idempotent.
 */
import { Backoff } from '@greenroom/bus'
import type { Outcome, Random } from '@greenroom/proto'

/** How often and when a role's runs are tried again. */
export interface RetryOptions {
  /** How many attempts there are in all. = 1 */
  readonly attempts?: number
  /** The pause before the second one, in milliseconds, less up to half of it; it doubles from then on. = 1,000 */
  readonly backoffMs?: number
  /** No pause is longer. = 60,000 */
  readonly maxBackoffMs?: number
}

/** How an attempt went, as far as it decides about the next one. */
export interface Tried {
  readonly outcome: Outcome
  /** Whether a worker had claimed it. */
  readonly claimed: boolean
  /** Whether the run may have its effects twice. */
  readonly idempotent: boolean
  /** Whether nobody knows that it has stopped (R1). */
  readonly mayStillRun: boolean
  /** Whether it says nothing about the run that it was withdrawn. */
  readonly blameless?: 'refused' | 'lost' | undefined
}

/** R2: a pool whose workers all leave must not be asked for ever. */
export const maxRefusals = 10

/** Decides about one run's attempts. See R1 to R3. */
export class Retry {
  readonly #attempts: number
  readonly #backoff: Backoff
  #counted: number
  #refusals = 0
  #losses = 0

  /**
   * @param options - the role's
   * @param random - for the jitter of the pauses
   * @param counted - attempts that were made before. = 0
   */
  constructor({ attempts = 1, backoffMs, maxBackoffMs }: RetryOptions, random: Random, counted = 0) {
    this.#counted = counted
    this.#attempts = attempts
    this.#backoff = new Backoff({ minMs: backoffMs ?? 1_000, maxMs: maxBackoffMs ?? 60_000 }, random)
  }

  /** How long to wait before the next attempt, in milliseconds; undefined when there is none. */
  after({ outcome, claimed, idempotent, mayStillRun, blameless }: Tried): number | undefined {
    if (blameless === 'refused' && this.#refusals < maxRefusals) {
      this.#refusals += 1
      return 0
    }
    if (blameless === 'lost' && this.#losses === 0) {
      this.#losses += 1
      return 0
    }
    this.#counted += 1
    if (mayStillRun || !mayHelp(outcome) || (claimed && !idempotent) || this.#counted >= this.#attempts)
      return undefined
    return this.#backoff.next()
  }
}

/**
 * Whether doing a run again may help.
 *
 * @param outcome - of an attempt
 */
export function mayHelp(outcome: Outcome): boolean {
  if (outcome.status === 'timeout') return outcome.which !== 'total'
  return outcome.status === 'failed' && outcome.retry === 'later'
}
