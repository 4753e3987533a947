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

/** Texts that outlive a life of the runner have numbers of epoch 0 from here on: what was said before the run has less. */
const keptFrom = 1_000_000_000

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
    await this.#append([this.#lateEntry(ref, id, text)])
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

  #lateEntry({ runId, epoch }: RunRef, id: string, text: string): SessionEntry {
    const known = this.#late.get(id)
    if (known !== undefined) return known
    const message = { id, role: 'user', content: text } as const
    const kept = this.#options.journal.texts.of(runId).find((one) => one.id === id)
    // The next life of the runner may have to give it again, after another attempt: it has the same name then.
    if (kept !== undefined) return { runId, epoch: 0, seq: keptFrom + kept.place, message }
    this.#lateSeq += 1
    const entry: SessionEntry = { runId, epoch, seq: this.#lateSeq, message }
    this.#late.set(id, entry)
    return entry
  }
}

/** A `message` event as what a session takes. */
function messageEntry(ref: RunRef, seq: number, event: RunEvent | WireEvent): SessionEntry[] {
  return event.type === 'message' && isMessage(event.message) ? [{ ...ref, seq, message: event.message }] : []
}
