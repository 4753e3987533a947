/**
 * One run's part of the journal, and of its session's transcript: its begin, the texts on their way to it, its end.
 *
 * - *B1* A session store of the caller's own is told of a run only when that is recorded, with what it is told: so what was
 *   refused leaves nothing there, and what a crash kept from it the next life tells.
 * - *B2* A text for a run that may outlive this life of the runner is recorded before its worker gets it: what has no entry
 *   when the run ends, in whichever life, is put into the transcript.
 */
import { GreenroomError, type Outcome, type RunEvent, type RunRef, type WireEvent } from '@greenroom/proto'
import { isStoreError, type Operation } from '@greenroom/store'
import type { BudgetedRun } from './budgeted-run.ts'
import type { Surroundings } from './execution-parts.ts'
import { attemptOperation, type AttemptRecord, type RunRecord, type StartKey } from './journal.ts'
import type { Patience } from './persistence.ts'
import type { MessagePlace } from './recorder.ts'
import type { SessionEntry } from './session-store.ts'
import type { Steer } from './steering.ts'
import { fromStore } from './store-error.ts'
import type { KeptText } from './text-journal.ts'
import { unfencedOperation } from './worker-journal.ts'
import { Transcript } from './transcript.ts'

/** What is written about whom. */
export interface RunJournalOptions {
  readonly around: Pick<Surroundings, 'journal' | 'sessions' | 'ownSessions' | 'config'>
  readonly runId: string
  readonly session: string
  /** By which it is found when it is started again. */
  readonly start: StartKey | undefined
  /** What it draws on; undefined: on no budget. */
  readonly budget: BudgetedRun | undefined
  /** Whether an earlier life has recorded it. */
  readonly isRecorded: boolean
}

/** How a run ended. */
export interface RunEnd {
  readonly outcome: Outcome
  /** How many attempts there were. */
  readonly attempts: number
  /** The last of them, or the first that there might have been. */
  readonly ref: RunRef
}

/** See B1 and B2. */
export class RunJournal {
  readonly #options: RunJournalOptions
  readonly #transcript: Transcript
  readonly #durable = Promise.withResolvers<void>()
  /** What records the ends of its attempts, in the transaction that records the outcome. */
  readonly #ends: Operation[] = []
  /** The `message` entries so far: the transcript is read back from the journal by these. */
  readonly #messages: MessagePlace[] = []
  /** The place of the last text; undefined when nobody has looked yet. */
  #texts: number | undefined
  #isDurable: boolean
  #isOpen: boolean
  #isRefused = false

  /** @param options - see {@link RunJournalOptions} */
  constructor(options: RunJournalOptions) {
    const { around, runId, session, isRecorded } = options
    const { journal, sessions, ownSessions, config } = around
    this.#options = options
    this.#isDurable = isRecorded
    this.#isOpen = isRecorded
    this.#transcript = new Transcript({ runId, session, journal, sessions, ownSessions, clock: config.clock })
    this.#durable.promise.catch(() => undefined)
    if (isRecorded) this.#durable.resolve()
  }

  /** Whether it is recorded that it is to be done. */
  get isDurable(): boolean {
    return this.#isDurable
  }

  /** Whether the journal has it as open, or may have it: after its end only the next life goes on with it. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /**
   * Resolves when it is recorded that it is to be done, or how it ended; rejects when neither can be: with `STORAGE_FULL`
   * when it is certain that nothing is stored.
   */
  get durable(): Promise<void> {
    return this.#durable.promise
  }

  /** Records the run together with what its session was told (B1). */
  async begin(record: RunRecord, told: readonly SessionEntry[], patience: Patience): Promise<void> {
    const { around, start, budget } = this.#options
    const also = budget?.operations ?? []
    this.#isOpen = true
    try {
      await around.journal.begin(record, [...this.#transcript.opening(told), ...also], start, patience)
    } catch (error) {
      if (isStoreError(error, 'STORAGE_FULL')) {
        this.#isOpen = false
        this.#isRefused = true
        this.#durable.reject(fromStore(error))
      }
      throw error
    }
    this.#isDurable = true
    this.#durable.resolve()
    if (around.ownSessions !== undefined) return
    await this.#transcript.give(told)
    this.#messages.push(...told)
  }

  /** What it said in an earlier life is part of its transcript. */
  recall(): void {
    const { around, runId } = this.#options
    const known = new Set(this.#messages.map(({ epoch, seq }) => `${epoch}/${seq}`))
    const places = around.journal.entries.messagePlaces(runId)
    this.#messages.push(...places.filter(({ epoch, seq }) => !known.has(`${epoch}/${seq}`)))
  }

  /** What its earlier attempts said reaches a session store of the caller's own only when they are settled. */
  async retell(): Promise<void> {
    if (this.#options.around.ownSessions === undefined) await this.#transcript.retell(this.#messages)
  }

  /** Notes a `message` entry; returns what gives it to the session, for the transaction that records it. */
  transcribe(ref: RunRef, seq: number, event: RunEvent | WireEvent): readonly Operation[] {
    this.#messages.push({ epoch: ref.epoch, seq })
    return this.#transcript.transcribe(ref, seq, event)
  }

  /**
   * Records a text (B2).
   *
   * @throws GreenroomError `STORAGE_FULL`, `COMMIT_UNKNOWN`
   */
  async keepText(text: KeptText): Promise<void> {
    const { around, runId } = this.#options
    this.#texts ??= around.journal.texts.of(runId).at(-1)?.place ?? 0
    this.#texts += 1
    const kept = around.journal.texts.keep(runId, { ...text, place: this.#texts })
    await kept.catch((error: unknown) => Promise.reject(fromStore(error)))
  }

  /** What is in the transcript so far. */
  said(): readonly (RunEvent | WireEvent)[] {
    const { around, runId } = this.#options
    return this.#messages.flatMap(({ epoch, seq }) => around.journal.entries.get({ runId, epoch }, seq) ?? [])
  }

  /** Notes how an attempt ended. */
  attemptEnded(ref: RunRef, record: AttemptRecord): void {
    this.#ends.push(attemptOperation(ref, record))
  }

  /** Notes that its worker has to be declared gone, also by a later life. */
  unfenced(ref: RunRef, record: AttemptRecord): void {
    this.#ends.push(unfencedOperation(ref, record))
  }

  /**
   * Records the end, but for a run for which there was no room: of that there is nothing.
   *
   * @param end - how it ended
   * @param late - texts that it did not take
   * @param also - for the same transaction; undefined when nobody has to be told of its end in another life
   * @returns whether it is recorded
   */
  async finish(
    { ref, outcome, attempts }: RunEnd,
    late: readonly Steer[],
    also: readonly Operation[] | undefined,
  ): Promise<boolean> {
    const { journal, config } = this.#options.around
    const settled = this.#options.budget?.settlement(outcome.usage) ?? []
    try {
      if (this.#isRefused && also === undefined) {
        if (attempts > 0) await journal.discard(ref)
        return false
      }
      // What a begin of unknown fate left in the journal is told all the same.
      if (!this.#isDurable) this.recall()
      const entries = await this.#transcript.move(this.#messages)
      const told = await this.#transcript.give([...entries, ...this.#transcript.late(late)])
      await journal.finish(ref, outcome, config.clock.now(), [...this.#ends, ...settled, ...told, ...(also ?? [])])
      this.#isOpen = false
      return true
    } catch (error) {
      const { runId } = this.#options
      config.logger.warn('the outcome of a run could not be recorded', { runId, error: String(error) })
      return false
    }
  }

  /** Tells who waits for it whether anything of it is recorded. */
  ended(isRecorded: boolean): void {
    // What is open in the journal stays so here.
    if (isRecorded || !this.#isOpen) this.#options.budget?.over(isRecorded)
    if (isRecorded) this.#durable.resolve()
    else this.#durable.reject(new GreenroomError('OUTCOME_UNKNOWN', 'the run could not be recorded'))
  }

  /** Appends a text that came after the end. */
  appendLate(id: string, text: string): Promise<'not-live'> {
    return this.#transcript.appendLate(id, text)
  }
}
