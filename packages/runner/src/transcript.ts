/** The way of one run's messages into its session's transcript. */
import type { RunEvent, RunRef, WireEvent } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import type { Journal } from './journal.ts'
import type { MessagePlace } from './recorder.ts'
import type { SessionEntry, SessionStore } from './session-store.ts'
import { isMessage } from './steering.ts'
import type { StoreSessions } from './store-sessions.ts'

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
}

/** One run's part of a transcript. */
export class Transcript {
  readonly #options: TranscriptOptions
  /** The number of the last text that came too late. */
  #lateSeq = 0
  /** Those texts by id: one that is given twice, since nobody knows whether it is there, is the same one. */
  readonly #late = new Map<string, SessionEntry>()

  /** @param options - see {@link TranscriptOptions} */
  constructor(options: TranscriptOptions) {
    this.#options = options
  }

  /** What gives a `message` event to the session in the transaction that records it; nothing where it is kept elsewhere. */
  transcribe(ref: RunRef, seq: number, event: RunEvent | WireEvent): readonly Operation[] {
    const { ownSessions, session } = this.#options
    return ownSessions?.operations(session, messageEntry(ref, seq, event)) ?? []
  }

  /** Gives entries to the session: as operations for the transaction at hand, or at once where it is kept elsewhere. */
  async give(entries: readonly SessionEntry[]): Promise<Operation[]> {
    const { ownSessions, sessions, session } = this.#options
    if (entries.length === 0) return []
    if (ownSessions !== undefined) return ownSessions.operations(session, entries)
    await sessions.append(session, entries)
    return []
  }

  /**
   * Gives the run's messages to the session, but for the last page.
   *
   * @param places - where they stand in the journal
   * @returns the last page
   */
  async move(places: readonly MessagePlace[]): Promise<SessionEntry[]> {
    const { sessions, session } = this.#options
    for (let at = 0; ; at += page) {
      const entries = places.slice(at, at + page).flatMap((place) => this.#entryAt(place))
      if (at + page >= places.length) return entries
      await sessions.append(session, entries)
    }
  }

  /**
   * Texts that the run did not take, behind its events.
   *
   * @param ref - its last attempt
   * @param last - the number of that attempt's last event
   * @param texts - in the order in which they came
   */
  late(ref: RunRef, last: number, texts: readonly { readonly id: string; readonly text: string }[]): SessionEntry[] {
    this.#lateSeq = Math.max(this.#lateSeq, last)
    return texts.map(({ id, text }) => this.#lateEntry(ref, id, text))
  }

  /** Appends a text that came after the end. */
  async appendLate(ref: RunRef, id: string, text: string): Promise<'not-live'> {
    const { sessions, session } = this.#options
    await sessions.append(session, [this.#lateEntry(ref, id, text)])
    return 'not-live'
  }

  #entryAt({ epoch, seq }: MessagePlace): SessionEntry[] {
    const { journal, runId } = this.#options
    const ref: RunRef = { runId, epoch }
    const [entry] = journal.read(ref, seq - 1, seq + 1, 1)
    return entry === undefined ? [] : messageEntry(ref, seq, entry.event)
  }

  #lateEntry({ runId, epoch }: RunRef, id: string, text: string): SessionEntry {
    const known = this.#late.get(id)
    if (known !== undefined) return known
    this.#lateSeq += 1
    const entry: SessionEntry = { runId, epoch, seq: this.#lateSeq, message: { id, role: 'user', content: text } }
    this.#late.set(id, entry)
    return entry
  }
}

/** A `message` event as what a session takes. */
function messageEntry(ref: RunRef, seq: number, event: RunEvent | WireEvent): SessionEntry[] {
  return event.type === 'message' && isMessage(event.message) ? [{ ...ref, seq, message: event.message }] : []
}
