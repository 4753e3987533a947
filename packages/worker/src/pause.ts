/** Waiting by a clock. */
import { codeOf, errors, isErrorCode, type Clock } from '@greenroom/proto'

/**
 * Waits by a clock.
 *
 * @param clock - the clock
 * @param delayMs - how long
 * @param signal - ends the wait early, with its reason
 */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.timer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/**
 * Waits for something, but no longer than that.
 *
 * @param clock - the clock
 * @param withinMs - how long at most
 * @param event - what is waited for
 * @returns whether it came
 */
export async function within(clock: Clock, withinMs: number, event: Promise<void>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<false>()
  const timer = clock.timer(withinMs, () => resolve(false))
  const hasCome = await Promise.race([event.then(() => true), promise])
  timer.cancel()
  return hasCome
}

/**
 * Waits for a promise, but no longer than until a signal aborts.
 *
 * @param signal - ends the waiting
 * @param promise - what is waited for
 * @throws the signal's reason; what the promise rejects with
 */
export async function untilEnd<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  // A signal tells only once: it may have aborted between two waits.
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, ended])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * Does something that somebody waits for again and again, while it is refused for want of room.
 *
 * @param clock - measures the pauses
 * @param signal - ends it
 * @param act - does it
 * @throws what `act` throws and no repetition helps against; the signal's reason
 */
export async function insist<T>(clock: Clock, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, 5_000)) {
    try {
      return await act()
    } catch (error) {
      const code = codeOf(error)
      if (!isErrorCode(code) || errors[code].retry !== 'later') throw error
      await pause(clock, delayMs, signal)
    }
  }
}
