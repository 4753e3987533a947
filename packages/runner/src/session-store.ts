/**
 * Sessions: conversations with a transcript. The transcript is the fold of the `message` entries of a session's runs;
 * the journal feeds it, idempotently, so feeding it twice after a crash changes nothing.
 */
import { GreenroomError, isId, type Message } from '@greenroom/proto'
import { checkSessionLimits } from './limits.ts'
import { bad, check, checkId, checkNames, isObject, isTextsByName } from './option-check.ts'
import { checkMessage } from './payload-check.ts'

/** A message together with where it came from: the same three are the same message. */
export interface SessionEntry {
  /** The run that said it, or before which it was said. */
  readonly runId: string
  /** Which attempt of it; 0 for what was said before the run. */
  readonly epoch: number
  /** The event's sequence number; in epoch 0 the message's place, from 0, or that of a late text, from 1,000,000,000. */
  readonly seq: number
  /** The message itself. */
  readonly message: Message
}

/** What may be said of a session beside its transcript. */
export interface SessionDescription {
  /** Stands in for a run's task when the session has no user message. */
  readonly title?: string
  /**
   * More about it. Bounds its runs by `watchdog.totalSecs` (executing time) and `watchdog.idleSecs` (time without
   * progress), each a whole positive number of seconds. `describe` refuses anything else, and other names that begin with
   * `watchdog.`; where another store has it all the same it counts as not there.
   */
  readonly metadata?: Readonly<Record<string, string>>
}

/** What is known of a session beside its transcript. */
export interface Session extends SessionDescription {
  /** Its name, given by whoever started its first run. */
  readonly id: string
}

/** Keeps transcripts. A call that takes longer than half a minute counts as failed: `TIMEOUT`. */
export interface SessionStore {
  /** A session, or undefined before its first `append` or `describe`. */
  get(sessionId: string): Promise<Session | undefined>
  /**
   * Sets title or metadata, each that is given in place of the old one. Makes the session when it is new.
   *
   * @throws GreenroomError `BAD_OPTIONS` naming the field
   */
  describe(sessionId: string, description: SessionDescription): Promise<void>
  /**
   * Adds what is not there yet, in the given order, after what is there. Makes the session when it is new. All or
   * nothing; resolves when it is stored.
   *
   * @throws GreenroomError `BAD_OPTIONS` naming what is no id, no entry or no message; `SPEC_TOO_LARGE` for a message that
   * no worker could be sent
   */
  append(sessionId: string, entries: readonly SessionEntry[]): Promise<void>
  /** The transcript, oldest first; empty for a session that is not there. */
  messages(sessionId: string): Promise<readonly Message[]>
}

/**
 * Checks the id of a session.
 *
 * @param id - what a caller named
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkSessionId(id: string): void {
  const isValid: boolean = isId(id)
  if (!isValid) throw new GreenroomError('BAD_OPTIONS', `session: "${id}" is no id`)
}

/**
 * Checks what is said of a session.
 *
 * @param description - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS` naming the field
 */
export function checkDescription(description: SessionDescription): void {
  if (!isObject(description)) throw bad('description', 'an object')
  checkNames('description', description, { title: true, metadata: true })
  const { title, metadata } = description
  check('title', title, (it) => typeof it === 'string', 'a text')
  check('metadata', metadata, isTextsByName, 'texts by their names')
  checkSessionLimits('metadata', metadata)
}

/**
 * Checks what is to be appended to a session, before any of it is.
 *
 * @param entries - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS` naming the field, `SPEC_TOO_LARGE`
 */
export function checkEntries(entries: readonly SessionEntry[]): void {
  check('entries', entries ?? null, Array.isArray, 'a list')
  for (const [index, entry] of entries.entries()) {
    const name = `entries.${index}`
    if (!isObject(entry)) throw bad(name, 'an object')
    checkId(`${name}.runId`, entry.runId)
    for (const field of ['epoch', 'seq'] as const)
      if (!Number.isSafeInteger(entry[field]) || entry[field] < 0) throw bad(`${name}.${field}`, 'a whole number')
    checkMessage(`${name}.message`, entry.message)
  }
}

/**
 * A session store in memory.
 *
 * @example
 * ```ts
 * import { createMemorySessions } from '@greenroom/runner'
 *
 * const sessions = createMemorySessions()
 * await sessions.append('s1', [{ runId: 'r1', epoch: 1, seq: 0, message: { role: 'user', content: 'Tag it' } }])
 * console.log(await sessions.messages('s1'))
 * ```
 */
export function createMemorySessions(): SessionStore {
  const sessions = new Map<string, Map<string, Message>>()
  const descriptions = new Map<string, SessionDescription>()
  return {
    get(id) {
      const description = descriptions.get(id)
      const isKnown = description !== undefined || sessions.has(id)
      return Promise.resolve(isKnown ? { ...description, id } : undefined)
    },
    async describe(id, description) {
      checkSessionId(id)
      checkDescription(description)
      descriptions.set(id, { ...descriptions.get(id), ...description })
      return Promise.resolve()
    },
    async append(id, entries) {
      checkSessionId(id)
      checkEntries(entries)
      const session = sessions.get(id) ?? new Map<string, Message>()
      sessions.set(id, session)
      for (const { runId, epoch, seq, message } of entries) {
        const key = `${runId}/${epoch}/${seq}`
        if (!session.has(key)) session.set(key, message)
      }
      return Promise.resolve()
    },
    messages: (id) => Promise.resolve([...(sessions.get(id)?.values() ?? [])]),
  }
}
