/** A gate: where a script waits until its test lets it go on. */

/** See {@link createGate}. */
export interface Gate {
  /** Lets all through who wait, and all who come. */
  open(): void
  /** Whether it was opened. */
  readonly isOpen: boolean
  /** Resolves when somebody first comes to it. What they told before may still be on its way to the runner. */
  readonly reached: Promise<void>
  /**
   * Waits until it is open: for executors that are no scripts.
   *
   * @param signal - ends the waiting
   * @throws the signal's reason
   */
  pass(signal?: AbortSignal): Promise<void>
}

/**
 * Makes a gate, closed.
 *
 * @example
 * ```ts
 * import { createGate, createTestRunner, scripted } from 'greenroom/testing'
 *
 * const gate = createGate()
 * await using runner = await createTestRunner({ executors: { work: scripted([{ wait: gate }, { return: 'done' }]) } })
 * const run = runner.run({ role: 'work' })
 * await gate.reached
 * gate.open()
 * console.log((await run.outcome).status) // completed
 * ```
 */
export function createGate(): Gate {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let isOpen = false
  return {
    open() {
      isOpen = true
      opened.resolve()
    },
    get isOpen() {
      return isOpen
    },
    reached: reached.promise,
    async pass(signal) {
      reached.resolve()
      const aborted = Promise.withResolvers<never>()
      const onAbort = (): void => aborted.reject(signal?.reason)
      if (signal?.aborted === true) onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        await Promise.race([opened.promise, aborted.promise])
      } finally {
        signal?.removeEventListener('abort', onAbort)
      }
    },
  }
}
