/** Keeps a session store that never answers from holding up a run, or the runner's end, for ever. */
import { GreenroomError, type Clock } from '@greenroom/proto'
import type { SessionStore } from './session-store.ts'

/** How long a session store may take for one call, in milliseconds. */
const deadlineMs = 30_000

/**
 * A session store whose calls end.
 *
 * @param sessions - a caller's own store; its calls reject with `TIMEOUT` after half a minute
 * @param clock - measures it
 */
export function withDeadline(sessions: SessionStore, clock: Clock): SessionStore {
  const within = async <T>(call: () => Promise<T>): Promise<T> => {
    const late = Promise.withResolvers<never>()
    const timer = clock.timer(deadlineMs, () =>
      late.reject(new GreenroomError('TIMEOUT', `the session store did not answer within ${deadlineMs} ms`)),
    )
    try {
      return await Promise.race([call(), late.promise])
    } finally {
      timer.cancel()
    }
  }
  return {
    get: (id) => within(() => sessions.get(id)),
    describe: (id, description) => within(() => sessions.describe(id, description)),
    append: (id, entries) => within(() => sessions.append(id, entries)),
    messages: (id) => within(() => sessions.messages(id)),
  }
}
