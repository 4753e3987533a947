/** Asking: what may be asked, and the one deadline that holds for all of it. */
import { codeOf, GreenroomError } from './error.ts'
import type { AskMode, AskOptions } from './children.ts'
import type { Clock } from './clock.ts'
import { namesFlaw } from './names.ts'

/** The most that {@link AskOptions.timeoutMs} may be. */
const longestMs = 300_000

/** What was asked, with its defaults. */
export interface Asked {
  /** The question, in words. */
  readonly question: string
  /** How it is asked. */
  readonly mode: AskMode
  /** How long the answer may take, in milliseconds. */
  readonly timeoutMs: number
  /** Gives it up. */
  readonly signal: AbortSignal | undefined
}

/**
 * Checks what was asked.
 *
 * @param question - anything, when the caller is not compiled
 * @param options - as {@link AskOptions}
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function readAsk(question: string, options: AskOptions = {}): Asked {
  const { mode = 'query', timeoutMs = 60_000, signal } = options
  const odd = namesFlaw('options', options, ['mode', 'timeoutMs', 'signal'])
  if (odd !== undefined) throw bad(odd)
  if (typeof question !== 'string') throw bad('question must be a text')
  if (mode !== 'query' && mode !== 'steer') throw bad("mode must be 'query' or 'steer'")
  if (!(Number.isFinite(timeoutMs) && timeoutMs > 0 && timeoutMs <= longestMs))
    throw bad(`timeoutMs must be a number of milliseconds, more than 0 and at most ${longestMs}`)
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') throw bad('signal must be an AbortSignal')
  return { question, mode, timeoutMs, signal }
}

/**
 * Asks, as long as that may take.
 *
 * @param clock - measures it
 * @param asked - how long, and what else gives it up
 * @param ask - asks; rejects with `ABORTED` once its signal has aborted
 * @throws GreenroomError `ASK_TIMEOUT`, `ABORTED`; what `ask` rejects with
 */
export async function withinDeadline<T>(
  clock: Clock,
  { timeoutMs, signal }: Pick<Asked, 'timeoutMs' | 'signal'>,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal?.aborted === true) throw new GreenroomError('ABORTED')
  const over = new AbortController()
  const timer = clock.timer(timeoutMs, () => over.abort())
  try {
    return await ask(signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]))
  } catch (error) {
    if (!over.signal.aborted || codeOf(error) !== 'ABORTED') throw error
    throw new GreenroomError('ASK_TIMEOUT', `no answer within ${timeoutMs} ms`)
  } finally {
    timer.cancel()
  }
}

const bad = (message: string): GreenroomError => new GreenroomError('BAD_OPTIONS', `ask: ${message}`)
