/** An answer that is slow to come: whoever waits in front of a terminal is told for what. */
import type { Clock } from '@greenroom/proto'

/** How long silence needs no explanation, in milliseconds. */
const PATIENCE = 2_000

/**
 * Says it once, after two seconds, unless it is disposed of before.
 *
 * @param clock - measures them
 * @param say - says what is waited for
 */
export function sayWhenSlow(clock: Clock, say: () => void): Disposable {
  const timer = clock.timer(PATIENCE, say, { background: true })
  return { [Symbol.dispose]: () => timer.cancel() }
}
