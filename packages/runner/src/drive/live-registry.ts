/**
 * The attempts in progress of one drive, and so of one runner.
 *
 * - *L1* An attempt is known by its run and its epoch together: a later epoch neither hides nor ends an earlier one.
 * - *L2* Whoever registered an attempt can take out that one only, never a newer one in its place.
 */
import type { LiveMessage, RunRef } from '@greenroom/proto'
import type { Attempt } from './attempt.ts'

/** The attempts in progress, by run and epoch. */
export class LiveRegistry implements Iterable<Attempt> {
  readonly #attempts = new Map<string, Attempt>()

  /**
   * Makes an attempt known.
   *
   * @param attempt - takes the place of one with the same run and epoch
   * @returns takes it out again when it is disposed of; more than once, or after another took its place, does nothing
   */
  register(attempt: Attempt): Disposable {
    const key = keyOf(attempt.ref)
    this.#attempts.set(key, attempt)
    return {
      [Symbol.dispose]: () => {
        if (this.#attempts.get(key) === attempt) this.#attempts.delete(key)
      },
    }
  }

  /**
   * The attempt that a frame belongs to: the one it names, if its worker sent it.
   *
   * @param ref - the run and epoch that the frame names
   * @param sender - who sent it, as the broker says
   */
  find(ref: RunRef, sender: Pick<LiveMessage, 'from' | 'fromIncarnation'>): Attempt | undefined {
    const attempt = this.named(ref)
    return attempt?.owns(ref, sender) === true ? attempt : undefined
  }

  /**
   * The attempt with this run and epoch, whoever asks: only for what the runner sent to itself.
   *
   * @param ref - its run and epoch
   */
  named(ref: RunRef): Attempt | undefined {
    return this.#attempts.get(keyOf(ref))
  }

  /** All of them, in the order of their registration. */
  [Symbol.iterator](): Iterator<Attempt> {
    return this.#attempts.values()
  }
}

/** The epoch first: it is a number, so no run id can look like another pair. */
export function keyOf({ runId, epoch }: RunRef): string {
  return `${epoch} ${runId}`
}
