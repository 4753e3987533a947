/** The real clock and real chance, from what every JavaScript platform has (browsers included). */
import { idFromBytes, type Clock, type Random, type Timer } from '../clock.ts'

/** What `setTimeout` can wait at once; more would fire immediately. */
const LONGEST_MS = 2 ** 31 - 1

interface NodeTimer {
  unref(): void
}

function isNodeTimer(timer: unknown): timer is NodeTimer {
  return typeof timer === 'object' && timer !== null && 'unref' in timer
}

/** The platform's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(delayMs, fire, options): Timer {
    let handle: unknown
    const wait = (leftMs: number): void => {
      const step = leftMs > LONGEST_MS ? () => wait(leftMs - LONGEST_MS) : fire
      handle = setTimeout(step, Math.min(leftMs, LONGEST_MS))
      if (options?.background === true && isNodeTimer(handle)) handle.unref()
    }
    wait(delayMs)
    return { cancel: () => clearTimeout(handle as number) }
  },
}

/** The platform's cryptographic randomness. */
export const systemRandom: Random = {
  fraction: () => (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32,
  id: () => idFromBytes(crypto.getRandomValues(new Uint8Array(16))),
}
