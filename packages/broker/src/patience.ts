/** Waiting for the core: with a signal, over commits of unknown fate, and never longer than its owner lives. */
import { ageOf, codeOf, GreenroomError, momentOf, type Clock, type Random, type Timer } from '@greenroom/proto'

const firstMs = 50
const longestMs = 5_000

/** What patience needs. */
export interface PatienceParts {
  readonly clock: Clock
  readonly random: Random
  readonly dedupeWindowMs: number
}

/** The pending calls of one owner. */
export class Patience {
  readonly #parts: PatienceParts
  readonly #pending = new Map<Promise<unknown>, (error: GreenroomError) => void>()
  #end: GreenroomError | undefined

  constructor(parts: PatienceParts) {
    this.#parts = parts
  }

  /**
   * Does work until its outcome is known.
   *
   * @param work - the same call each time
   * @throws GreenroomError what the work throws, `ABORTED`, `OUTCOME_UNKNOWN`, or how the owner ended
   */
  async until<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#end !== undefined) throw this.#end
    if (signal?.aborted === true) throw aborted(signal)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const stop = (): void => {
      if (signal !== undefined) reject(aborted(signal))
    }
    signal?.addEventListener('abort', stop, { once: true })
    this.#pending.set(promise, reject)
    void this.#attempt(work, { resolve, reject, isOver: () => !this.#pending.has(promise) })
    try {
      return await promise
    } finally {
      this.#pending.delete(promise)
      signal?.removeEventListener('abort', stop)
    }
  }

  async #attempt<T>(
    work: () => Promise<T>,
    call: { resolve: (value: T) => void; reject: (error: unknown) => void; isOver: () => boolean },
  ): Promise<void> {
    const { clock, random, dedupeWindowMs } = this.#parts
    const begun = momentOf(clock)
    for (let longest = firstMs; !call.isOver(); longest = Math.min(longest * 2, longestMs)) {
      try {
        call.resolve(await work())
        return
      } catch (error) {
        if (codeOf(error) !== 'COMMIT_UNKNOWN') return call.reject(error)
        await new Promise<void>((wake): Timer => clock.timer(longest * random.fraction(), wake, { background: true }))
        // Looked at last before it is done again: the machine may have slept.
        if (ageOf(clock, begun) > dedupeWindowMs / 2)
          return call.reject(new GreenroomError('OUTCOME_UNKNOWN', undefined, { cause: error }))
      }
    }
  }

  /** Resolves when every call made so far has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#pending.keys())
  }

  /** The owner ends: whoever waits learns it, and whoever calls later too. */
  give(error: GreenroomError): void {
    this.#end ??= error
    for (const reject of this.#pending.values()) reject(error)
  }
}

function aborted(signal: AbortSignal): GreenroomError {
  return new GreenroomError('ABORTED', undefined, { cause: signal.reason })
}
