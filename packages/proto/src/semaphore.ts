/** So many at once; the others wait, in the order in which they came. */

/** See above. */
export class Semaphore {
  readonly #most: number
  #taken = 0
  readonly #waiting = new Set<() => void>()

  /** @param most - how many at once */
  constructor(most: number) {
    this.#most = most
  }

  /**
   * Does something when it is its turn.
   *
   * @param signal - ends the waiting, and nothing else
   * @param act - what is done
   * @throws the signal's reason: it was not done; what `act` throws
   */
  async take<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#taken < this.#most) this.#taken += 1
    else await this.#turn(signal)
    try {
      return await act()
    } finally {
      const [next] = this.#waiting
      // Whoever is next has this one's place.
      if (next === undefined) this.#taken -= 1
      else next()
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = (settle: () => void): void => {
      this.#waiting.delete(go)
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const go = (): void => leave(resolve)
    const onAbort = (): void => leave(() => reject(signal.reason))
    this.#waiting.add(go)
    signal.addEventListener('abort', onAbort, { once: true })
    await promise
  }
}
