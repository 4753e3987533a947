/**
 * Sessions in the runner's own database.
 *
 * ```text
 * session          sessionId                               what was said of it
 * session_message  sessionId/position(12)                 the transcript, in order
 * session_source   sessionId/runId/epoch(6)/seq(10)       what is there already
 * ```
 */
import { decodePayload, encodePayload, GreenroomError, parseEvent, type Message } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import { briefly, type PatientStore } from './persistence.ts'
import {
  checkDescription,
  checkEntries,
  checkSessionId,
  type Session,
  type SessionDescription,
  type SessionEntry,
  type SessionStore,
} from './session-store.ts'

/** The collections that a store needs to hold sessions. */
export const sessionCollections: readonly string[] = ['session', 'session_message', 'session_source']

/** How many messages one transaction removes. */
const forgetAtOnce = 512

const digits = (value: number, count: number): string => String(value).padStart(count, '0')

/** A session store on a database. */
export class StoreSessions implements SessionStore {
  readonly #store: PatientStore
  /** Greater than every position given by this process, in whichever session: gaps do no harm. */
  #position = 0
  #appending: Promise<void> = Promise.resolve()

  /** @param store - one with {@link sessionCollections} */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** See {@link SessionStore.get}. */
  async get(sessionId: string): Promise<Session | undefined> {
    const [known] = this.#store.scan('session_source', { prefix: prefixOf(sessionId), limit: 1 })
    const description = this.#describedAs(sessionId)
    const isKnown = known !== undefined || description !== undefined
    return Promise.resolve(isKnown ? { ...description, id: sessionId } : undefined)
  }

  /** See {@link SessionStore.describe}. */
  async describe(sessionId: string, description: SessionDescription): Promise<void> {
    checkSessionId(sessionId)
    checkDescription(description)
    const { title, metadata } = { ...this.#describedAs(sessionId), ...description }
    const meta = { ...(title === undefined ? {} : { title }), ...(metadata === undefined ? {} : { metadata }) }
    await this.#store.commit([{ put: 'session', key: sessionId, meta }], briefly)
  }

  /** See {@link SessionStore.append}. One at a time, so that what is appended twice at once is there once. */
  async append(sessionId: string, entries: readonly SessionEntry[]): Promise<void> {
    checkSessionId(sessionId)
    checkEntries(entries)
    const appended = this.#appending.then(() => this.#store.commit(this.operations(sessionId, entries), briefly))
    this.#appending = appended.catch(() => undefined)
    return appended
  }

  /** See {@link SessionStore.messages}. */
  async messages(sessionId: string): Promise<readonly Message[]> {
    const records = this.#store.scan('session_message', { prefix: prefixOf(sessionId) })
    return Promise.resolve(records.flatMap(({ body }) => (body === undefined ? [] : [messageOf(body)])))
  }

  /**
   * Forgets the session that is named as a run. It stays when others have said something in it, or somebody described it.
   *
   * @param runId - the run, which has ended
   */
  async forgetOwn(runId: string): Promise<void> {
    const prefix = prefixOf(runId)
    while (this.#isOwn(runId)) {
      const operations = ['session_message', 'session_source'].flatMap((collection) =>
        this.#store
          .scan(collection, { prefix, limit: forgetAtOnce, bodies: false })
          .map(({ key }): Operation => ({ delete: collection, key })),
      )
      if (operations.length === 0) return
      await this.#store.commit(operations)
    }
  }

  /** Whether only the run has said something in the session of its name. */
  #isOwn(runId: string): boolean {
    const prefix = prefixOf(runId)
    const ends = [false, true].flatMap((reverse) =>
      this.#store.scan('session_source', { prefix, limit: 1, reverse, bodies: false }),
    )
    // In order of their keys: what is between two of the run is the run's.
    return this.#describedAs(runId) === undefined && ends.every(({ key }) => key.startsWith(`${prefix}${runId}/`))
  }

  #describedAs(sessionId: string): SessionDescription | undefined {
    const meta = this.#store.get('session', sessionId)?.meta
    if (meta === undefined) return undefined
    const { title, metadata } = meta
    return {
      ...(typeof title === 'string' ? { title } : {}),
      ...(isTexts(metadata) ? { metadata } : {}),
    }
  }

  /** What {@link append} does, for a transaction that does more. */
  operations(sessionId: string, entries: readonly SessionEntry[]): Operation[] {
    const prefix = prefixOf(sessionId)
    const [last] = this.#store.scan('session_message', { prefix, reverse: true, limit: 1, bodies: false })
    this.#position = Math.max(this.#position, Number(last?.key.slice(prefix.length) ?? 0))
    return entries.flatMap(({ runId, epoch, seq, message }): Operation[] => {
      const source = `${prefix}${runId}/${digits(epoch, 6)}/${digits(seq, 10)}`
      if (this.#store.get('session_source', source) !== undefined) return []
      this.#position += 1
      return [
        { put: 'session_source', key: source, meta: {} },
        {
          put: 'session_message',
          key: `${prefix}${digits(this.#position, 12)}`,
          meta: { role: message.role },
          body: encodePayload(message),
        },
      ]
    })
  }
}

function isTexts(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && Object.values(value).every((it) => typeof it === 'string')
}

function prefixOf(sessionId: string): string {
  checkSessionId(sessionId)
  return `${sessionId}/`
}

function messageOf(body: Uint8Array): Message {
  const event = parseEvent({ type: 'message', message: decodePayload(body) })
  if (event.type !== 'message' || !isMessage(event.message))
    throw new GreenroomError('STORE_DAMAGED', 'a message of a transcript cannot be read')
  return event.message
}

/** {@link parseEvent} has checked it; this only tells the compiler. */
function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'content' in value
}
