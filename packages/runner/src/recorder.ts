/**
 * The recorder: the way of an attempt's events from the link into the journal, and from there to the readers.
 *
 * - *E1* Events reach the feed in order, entries only after they are committed; what the feed releases is acknowledged.
 * - *E2* One commit is under way at a time and takes all entries that came meanwhile.
 * - *E3* A commit is repeated until it holds (P1 and P2 of `persistence`): meanwhile nothing is
 *   acknowledged, so the worker waits when its window is full. Only a run that is cancelled gives up.
 * - *E5* What else is told of the run is recorded as it is when a commit begins.
 * - *E4* A delta that comes while nobody reads is let go of at once: only its place is kept.
 */
import { isDelta, type RunEvent, type RunRef, type WireEvent } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import { entryOperation } from './entry-journal.ts'
import type { Journal } from './journal.ts'
import type { FedEvent, Feed } from './reader.ts'

/** E3: so often at least, also when it is cancelled. */
const leastTries = 10

/** Learns of a `message` entry; returns what gives it to its session, in the same transaction. */
export type Transcribe = (ref: RunRef, seq: number, event: RunEvent | WireEvent) => readonly Operation[]

/** Where a message of the transcript stands in the journal. */
export interface MessagePlace {
  readonly epoch: number
  readonly seq: number
}

/** The place of a delta that came while nobody read. */
const unread: FedEvent = { bytes: 0 }

/** About what a delta takes in memory. */
function sizeOf(event: RunEvent | WireEvent): number {
  return 64 + ('text' in event && typeof event.text === 'string' ? event.text.length : 0)
}

/** Records one run's events. See E1 to E4. */
export class Recorder {
  readonly #runId: string
  readonly #journal: Journal
  readonly #feed: Feed
  readonly #signal: AbortSignal
  readonly #transcribe: Transcribe
  readonly #also: () => readonly Operation[]
  readonly #onBroken: (error: unknown) => void
  #waiting: FedEvent[] = []
  #operations: Operation[] = []
  #recording: Promise<void> | undefined

  /** @param options - `signal` aborts when the run is cancelled; `onBroken` learns that the store is of no more use */
  constructor(options: {
    readonly runId: string
    readonly journal: Journal
    readonly feed: Feed
    readonly signal: AbortSignal
    readonly transcribe?: Transcribe
    readonly also?: () => readonly Operation[]
    readonly onBroken: (error: unknown) => void
  }) {
    this.#runId = options.runId
    this.#journal = options.journal
    this.#feed = options.feed
    this.#signal = options.signal
    this.#also = options.also ?? (() => [])
    this.#transcribe = options.transcribe ?? (() => [])
    this.#onBroken = options.onBroken
  }

  /** Takes the next events of an attempt; `first` is the first one's number. */
  record(epoch: number, first: number, events: readonly (RunEvent | WireEvent)[]): void {
    const ref: RunRef = { runId: this.#runId, epoch }
    events.forEach((event, index) => {
      const seq = first + index
      if (isDelta(event.type)) {
        this.#waiting.push(this.#feed.isRead ? { event, bytes: sizeOf(event) } : unread)
        return
      }
      const operation = entryOperation(ref, seq, event)
      this.#operations.push(operation)
      this.#waiting.push({ event, bytes: operation.body.length })
      if (event.type === 'message') this.#operations.push(...this.#transcribe(ref, seq, event))
    })
    if (this.#recording !== undefined) return
    if (this.#operations.length === 0) return this.#publish()
    this.#recording = this.#commitAll()
    this.#recording.catch(this.#onBroken)
  }

  /** Resolves when all that was recorded is committed and with the readers; rejects when the store is of no more use. */
  async flushed(): Promise<void> {
    await this.#recording
  }

  async #commitAll(): Promise<void> {
    while (this.#operations.length > 0) {
      const operations = [...this.#operations, ...this.#also()]
      const events = this.#waiting
      this.#operations = []
      this.#waiting = []
      await this.#journal.entries.put(operations, { signal: this.#signal, leastTries })
      this.#feed.publish(events)
    }
    this.#recording = undefined
    this.#publish()
  }

  #publish(): void {
    const events = this.#waiting
    this.#waiting = []
    this.#feed.publish(events)
  }
}
