/**
 * Reading a run: from its first event on, late or live, by several readers.
 *
 * ```text
 *            journal: every entry                 feed: the latest events
 *   ├──────────────────────────────────────┤├──────────────┬─────────────┤
 *   1                                 first-1 first      released       last
 *            ▲ a late reader catches up here,      ▲ a live one takes from here
 * ```
 *
 * - *F1* `released` is the greatest number up to which no open reader lacks a delta: it may be acknowledged. Entries
 *   never hold it back: whoever comes late finds them in the journal.
 * - *F2* The feed holds at most what is not released (the worker's window bounds that) and {@link keepBytes} more.
 *   Without readers it holds nothing.
 * - *F3* What is neither in the feed nor in the journal was a delta that nobody waited for: its place shows as `skipped`.
 * - *F4* The journal is read a page a turn of the event loop, the first one at once: the program around a late reader goes
 *   on meanwhile.
 */
import {
  GreenroomError,
  isDelta,
  type ReadEvent,
  type RunEvent,
  type RunRef,
  type Skipped,
  type WireEvent,
} from '@greenroom/proto'
import type { Journal } from './journal.ts'
import { nextTurn } from './platform/turn.ts'

/** How many bytes of released events stay at hand for readers that are a little behind. */
const keepBytes = 1024 * 1024
/** How many entries are read from the journal at a time. */
const page = 64

/** A committed event on its way to readers, or the place of a delta that nobody read; `bytes` is about what it takes. */
export interface FedEvent {
  readonly event?: RunEvent | WireEvent
  readonly bytes: number
}

interface Position {
  epoch: number
  seq: number
}

/** An event's place in its run: that of the last one that a reader has seen. */
export interface ReadAfter {
  /** Which attempt. */
  readonly epoch: number
  /** Its number there. */
  readonly seq: number
}

function isReadable(event: (RunEvent | WireEvent | Skipped) & Position): event is ReadEvent & Position {
  return typeof event.type === 'string'
}

/**
 * The one place where an event of a type that this version does not know becomes one that readers see: entries of
 * newer executors survive, and a reader's `switch` passes them by.
 */
function shown(event: RunEvent | WireEvent, { epoch, seq }: Position): ReadEvent {
  const placed = { ...event, seq, epoch }
  if (!isReadable(placed)) throw new GreenroomError('INTERNAL', 'an event without a type')
  return placed
}

/** The events of one run for its readers. See F1 to F4. */
export class Feed {
  readonly #runId: string
  readonly #journal: Journal
  readonly #readers = new Set<Position>()
  /** The last event of each attempt before the present one. */
  readonly #lasts = new Map<number, number>()
  #epoch = 1
  #buffer: FedEvent[] = []
  #bytes = 0
  #first = 1
  #released = 0
  #release: (upTo: number) => void = () => undefined
  /** Whether no reader holds back this attempt, or any. */
  #hurried: 'attempt' | 'run' | undefined
  #ended = false
  #change = Promise.withResolvers<void>()

  /**
   * @param runId - whose
   * @param journal - has its entries
   * @param earlier - its attempts of an earlier life of the runner, each with the number of its last entry
   */
  constructor(
    runId: string,
    journal: Journal,
    earlier: readonly { readonly epoch: number; readonly lastSeq: number }[] = [],
  ) {
    this.#runId = runId
    this.#journal = journal
    for (const { epoch, lastSeq } of earlier) this.#lasts.set(epoch, lastSeq)
    this.#epoch = Math.max(0, ...this.#lasts.keys()) + 1
  }

  /** The present attempt's last event. */
  get last(): number {
    return this.#first + this.#buffer.length - 1
  }

  /** Whether somebody reads: else deltas need not be kept until they are published. */
  get isRead(): boolean {
    return this.#readers.size > 0
  }

  /**
   * Begins an attempt, or goes on with it where the journal has more.
   *
   * @param epoch - which
   * @param release - called with F1 whenever it grows
   * @param after - the last of its events that only the journal has. = none
   */
  begin(epoch: number, release: (upTo: number) => void, after = 0): void {
    if (epoch !== this.#epoch) {
      if (this.#first > 1 || this.#buffer.length > 0) this.#lasts.set(this.#epoch, this.last)
      this.#drop(this.#buffer.length)
      this.#epoch = epoch
      this.#first = 1
      this.#released = 0
      if (this.#hurried === 'attempt') this.#hurried = undefined
    }
    this.#release = release
    if (after <= this.last) return
    this.#drop(this.#buffer.length)
    this.#first = after + 1
    this.#released = after
    this.#wake()
  }

  /** Takes the next events of the attempt; those that are entries are committed. */
  publish(events: readonly FedEvent[]): void {
    for (const event of events) {
      this.#buffer.push(event)
      this.#bytes += event.bytes
    }
    this.#settle()
    this.#wake()
  }

  /** From now on no reader holds back the attempt, or the run: its end is near, and would wait for whoever does not read. */
  hurry(what: 'attempt' | 'run'): void {
    if (this.#hurried !== 'run') this.#hurried = what
    this.#settle()
  }

  /** Nothing comes any more: readers end after the last event. */
  end(): void {
    this.#ended = true
    this.hurry('run')
    this.#wake()
  }

  /**
   * Reads. Leaving the loop lets go.
   *
   * @param after - from the one after this on. = from the first
   */
  read(after: ReadAfter = { epoch: 1, seq: 0 }): AsyncIterableIterator<ReadEvent, undefined> {
    // Who has seen more than there is waits for what comes next.
    const position: Position =
      after.epoch > this.#epoch ? { epoch: this.#epoch, seq: this.last } : { epoch: after.epoch, seq: after.seq }
    const caughtUp: ReadEvent[] = []
    let open = true
    let wasFull = false
    this.#readers.add(position)
    const leave = (): Promise<IteratorReturnResult<undefined>> => {
      open = false
      this.#readers.delete(position)
      this.#settle()
      this.#wake()
      return Promise.resolve({ done: true, value: undefined })
    }
    const next = async (): Promise<IteratorResult<ReadEvent, undefined>> => {
      while (open) {
        const value = caughtUp.shift() ?? this.#take(position)
        if (value !== undefined) return { done: false, value }
        if (!this.#isLive(position)) {
          if (wasFull) await nextTurn()
          const found = open ? this.#catchUp(position) : []
          wasFull = found.length >= page
          caughtUp.push(...found)
        } else if (this.#ended) break
        else await this.#change.promise
      }
      return leave()
    }
    // Whoever cannot read on holds nobody back, and a loop that ends so does not say that it leaves.
    const fail = (error: unknown): Promise<never> =>
      leave().then(() => Promise.reject(error instanceof Error ? error : new Error(String(error))))
    const iterator: AsyncIterableIterator<ReadEvent, undefined> = {
      next: () => next().catch(fail),
      return: leave,
      throw: fail,
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  #isLive({ epoch, seq }: Position): boolean {
    return epoch === this.#epoch && seq + 1 >= this.#first
  }

  /** The next event out of the feed, if the reader is that far and there is one. */
  #take(position: Position): ReadEvent | undefined {
    if (!this.#isLive(position)) return undefined
    const fed = this.#at(position.seq + 1)
    if (fed === undefined) return undefined
    if (fed.event === undefined) return this.#skip(position)
    position.seq += 1
    this.#settle()
    return shown(fed.event, position)
  }

  /** The marker for places in the feed without an event, from the reader's next one on. */
  #skip(position: Position): ReadEvent {
    const first = position.seq + 1
    while (position.seq < this.last && this.#at(position.seq + 1)?.event === undefined) position.seq += 1
    const { epoch, seq: last } = position
    this.#settle()
    return { type: 'skipped', first, last, epoch }
  }

  /** Events between the reader and the feed, at most a page: entries, and markers for the deltas between them. */
  #catchUp(position: Position): ReadEvent[] {
    const { epoch } = position
    const end = epoch === this.#epoch ? this.#first - 1 : (this.#lasts.get(epoch) ?? 0)
    const ref: RunRef = { runId: this.#runId, epoch }
    const entries = this.#journal.entries.read(ref, position.seq, end + 1, page)
    const found: ReadEvent[] = []
    const skipTo = (last: number): void => {
      if (last <= position.seq) return
      found.push({ type: 'skipped', first: position.seq + 1, last, epoch })
      position.seq = last
    }
    for (const { seq, event } of entries) {
      skipTo(seq - 1)
      position.seq = seq
      found.push(shown(event, position))
    }
    if (entries.length < page) {
      skipTo(end)
      if (epoch !== this.#epoch) Object.assign(position, { epoch: epoch + 1, seq: 0 })
    }
    this.#settle()
    return found
  }

  /** The slowest reader's place in this attempt; the end when nobody reads. */
  #slowest(): number {
    let slowest = this.last
    for (const { epoch, seq } of this.#readers) slowest = Math.min(slowest, epoch === this.#epoch ? seq : 0)
    return slowest
  }

  /** Grows `released` as far as F1 goes, then lets go of what F2 does not keep. */
  #settle(): void {
    const slowest = this.#slowest()
    let released = Math.max(this.#released, slowest)
    while (released < this.last && (this.#hurried !== undefined || !this.#isDeltaAt(released + 1))) released += 1
    if (released > this.#released) {
      this.#released = released
      this.#release(released)
    }
    // Dropping one at a time would make reading quadratic: let some gather.
    const taken = slowest - this.#first + 1
    if (taken >= 128 || taken === this.#buffer.length) this.#drop(taken)
    if (this.#bytes > 2 * keepBytes) this.#drop(this.#surplus())
  }

  /** How many released events have to go, so that about {@link keepBytes} stay. */
  #surplus(): number {
    let bytes = this.#bytes
    let count = 0
    while (bytes > keepBytes && this.#first + count <= this.#released) bytes -= this.#buffer[count++]?.bytes ?? 0
    return count
  }

  #at(seq: number): FedEvent | undefined {
    return this.#buffer[seq - this.#first]
  }

  /** Whether a delta stands there that a reader may still want. */
  #isDeltaAt(seq: number): boolean {
    return isDelta(this.#at(seq)?.event?.type ?? '')
  }

  #drop(count: number): void {
    for (const { bytes } of this.#buffer.splice(0, count)) this.#bytes -= bytes
    this.#first += count
  }

  #wake(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}
