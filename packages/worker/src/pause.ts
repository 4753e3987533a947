/** Waiting by a clock. */
import type { Clock } from '@greenroom/proto'

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
