/** Attaching waits for a broker for ever; whoever waits here wants to know that there is none. */
import { codeOf, GreenroomError, type Clock } from '@greenroom/proto'

/**
 * Attaches, or says why it could not for so long.
 *
 * @param clock - measures the time
 * @param withinMs - how long
 * @param todo - what to look at then
 * @param attach - does it, until the signal aborts
 * @param over - aborts when nobody wants it any more
 * @throws GreenroomError `CONNECT_FAILED`; `UNAUTHORIZED`, `TOKEN_EXPIRED` when that was the answer to the last token; what `attach`
 *   rejects with before
 */
export async function attachWithin<T>(
  clock: Clock,
  withinMs: number,
  todo: string,
  attach: (signal: AbortSignal) => Promise<T>,
  over?: AbortSignal,
): Promise<T> {
  const late = new AbortController()
  const timer = withinMs === Infinity ? undefined : clock.timer(withinMs, () => late.abort())
  try {
    return await attach(over === undefined ? late.signal : AbortSignal.any([late.signal, over]))
  } catch (cause) {
    if (!late.signal.aborted || !(cause instanceof Error)) throw cause
    const last = codeOf(cause.cause) === undefined || !(cause.cause instanceof Error) ? cause : cause.cause
    const code = codeOf(last)
    // Whoever answers so is there: it is the token that did not become another one.
    if (code === 'UNAUTHORIZED' || code === 'TOKEN_EXPIRED') throw new GreenroomError(code, last.message, { cause })
    throw new GreenroomError('CONNECT_FAILED', `${last.message}; tried for ${withinMs} ms: ${todo}`, { cause })
  } finally {
    timer?.cancel()
  }
}
