/** The way of one run's messages into its session's transcript. */
import { codeOf, type Clock, type RunEvent, type RunRef, type WireEvent } from '@greenroom/proto'
import { isStoreError, type Operation } from '@greenroom/store'
import { entryOperation } from './entry-journal.ts'
import type { Journal } from './journal.ts'
import { briefly, repeat } from './persistence.ts'
import type { MessagePlace } from './recorder.ts'
import type { SessionEntry, SessionStore } from './session-store.ts'
import { isMessage } from './steering.ts'
import type { StoreSessions } from './store-sessions.ts'

/** Late texts have numbers of epoch 0 from here on: what was said before the run has less. */
const lateFrom = 1_000_000_000
/** How many characters of a text's id make its number: as many as fit. */
const tellingCharacters = 7

/** How many messages are moved at a time. */
const page = 256

/** What a transcript is written with. */
export interface TranscriptOptions {
  readonly runId: string
  readonly session: string
  readonly journal: Journal
  readonly sessions: SessionStore
  /** The same, when it is in the journal's database: then one transaction does both. */
  readonly ownSessions: StoreSessions | undefined
  /** Measures the pauses between two tries. */
  readonly clock: Clock
}

/** One run's part of a transcript. */
export class Transcript {
  readonly #options: TranscriptOptions

  /** @param options - see {@link TranscriptOptions} */
  constructor(options: TranscriptOptions) {
    this.#options = options
  }

  /** What gives a `message` event to the session in the transaction that records it; nothing where it is kept elsewhere. */
  transcribe(ref: RunRef, seq: number, event: RunEvent | WireEvent): readonly Operation[] {
    const { ownSessions, session } = this.#options
    return ownSessions?.operations(session, messageEntry(ref, seq, event)) ?? []
  }

  /**
   * What the session is told first, for the transaction that records the run: to the session itself, or, where that is
   * kept elsewhere, to the journal as entries of epoch 0, so that it can be told again after a crash.
   */
  opening(entries: readonly SessionEntry[]): Operation[] {
    const { ownSessions, session } = this.#options
    if (ownSessions !== undefined) return ownSessions.operations(session, entries)
    return entries.map(({ runId, epoch, seq, message }) =>
      entryOperation({ runId, epoch }, seq, { type: 'message', message }),
    )
  }

  /** Gives entries to the session: as operations for the transaction at hand, or at once where it is kept elsewhere. */
  async give(entries: readonly SessionEntry[]): Promise<Operation[]> {
    const { ownSessions, session } = this.#options
    if (entries.length === 0) return []
    if (ownSessions !== undefined) return ownSessions.operations(session, entries)
    await this.#append(entries)
    return []
  }

  /**
   * Gives the run's messages to the session, but for the last page.
   *
   * @param places - where they stand in the journal
   * @returns the last page
   */
  async move(places: readonly MessagePlace[]): Promise<SessionEntry[]> {
    for (let at = 0; ; at += page) {
      const entries = places.slice(at, at + page).flatMap((place) => this.#entryAt(place))
      if (at + page >= places.length) return entries
      await this.#append(entries)
    }
  }

  /** Gives all of them to a session that is kept elsewhere. */
  async retell(places: readonly MessagePlace[]): Promise<void> {
    await this.give(await this.move(places))
  }

  /**
   * Texts that the run did not take, behind its events.
   *
   * A crash may come before the run has its outcome, and another attempt follow; the text may be given again, since nobody
   * knows whether it is there. So its place is its own, the same in every life: no entry of an attempt has it.
   */
  late(texts: readonly { readonly id: string; readonly text: string }[]): SessionEntry[] {
    const { runId } = this.#options
    return texts.map(({ id, text }) => {
      const message = { id, role: 'user', content: text } as const
      return { runId, epoch: 0, seq: lateFrom + numberOf(id), message }
    })
  }

  /** Appends a text that came after the end. */
  async appendLate(id: string, text: string): Promise<'not-live'> {
    await this.#append(this.late([{ id, text }]))
    return 'not-live'
  }

  /** A store of the caller's own is given the benefit of the doubt, but for one that does not answer. */
  #append(entries: readonly SessionEntry[]): Promise<void> {
    const { sessions, session, clock } = this.#options
    const mayHelp = (error: unknown): boolean => !isStoreError(error) && codeOf(error) === undefined
    return repeat(() => sessions.append(session, entries), mayHelp, clock, briefly)
  }

  #entryAt({ epoch, seq }: MessagePlace): SessionEntry[] {
    const { journal, runId } = this.#options
    const ref: RunRef = { runId, epoch }
    const event = journal.entries.get(ref, seq)
    return event === undefined ? [] : messageEntry(ref, seq, event)
  }
}

/** Out of the random characters of an id: the same for the same one, and hardly for any other. */
function numberOf(id: string): number {
  let number = 0
  for (let at = 0; at < tellingCharacters; at += 1) number = number * 128 + ((id.charCodeAt(at) || 0) & 127)
  return number
}

/** A `message` event as what a session takes. */
function messageEntry(ref: RunRef, seq: number, event: RunEvent | WireEvent): SessionEntry[] {
  return event.type === 'message' && isMessage(event.message) ? [{ ...ref, seq, message: event.message }] : []
}
