/**
 * A parent's stream: the events of its children, wrapped, as one sequence for each reader.
 *
 * - *S1* The events of one child come in its order, `child-completed` after all of them.
 * - *S2* A reader that does not read holds its children back as any reader of a run does; heartbeats are dropped then.
 * - *S3* Without a reader nothing is kept.
 * - *S4* A reader that is behind when the runner closes gets what it was given so far, then the error.
 */
import type { Outcome, ReadEvent } from '@greenroom/proto'
import type { Run, RunPhase } from './run.ts'

/** Which child an event is about. */
export interface ChildRun {
  /** The child's run. */
  readonly runId: string
  /** The role that it runs. */
  readonly role: string
  /** The child's session. */
  readonly session: string
}

/** What a parent sees of its children. */
export type ChildEvent = ChildRun &
  (
    | {
        readonly type: 'child-event'
        /** What the child's run told. */
        readonly event: ReadEvent
      }
    | {
        readonly type: 'child-heartbeat'
        /** Where the run stands. */
        readonly phase: RunPhase
        /** How many events of the present attempt have arrived. */
        readonly events: number
        /** How long the run has taken so far, in milliseconds. */
        readonly ms: number
      }
    | {
        readonly type: 'child-completed'
        /** How it ended. */
        readonly outcome: Outcome
      }
  )

/** How many events wait for a reader. */
const room = 64

/** One reader's place. */
class Reader {
  readonly #waiting: ChildEvent[] = []
  #change = Promise.withResolvers<void>()
  #over = false
  #failure: { readonly error: unknown } | undefined

  /** Whether it still reads. */
  get isOpen(): boolean {
    return !this.#over
  }

  /** Waits for room, then hands an event over. */
  async push(event: ChildEvent): Promise<void> {
    while (this.#waiting.length >= room && !this.#over) await this.#change.promise
    this.#add(event)
  }

  /** Hands an event over if there is room. */
  offer(event: ChildEvent): void {
    if (this.#waiting.length < room) this.#add(event)
  }

  /** The next event, if it is not over and nothing is left. */
  async next(): Promise<IteratorResult<ChildEvent, undefined>> {
    while (this.#waiting.length === 0 && !this.#over) await this.#change.promise
    const value = this.#waiting.shift()
    this.#wake()
    if (value !== undefined) return { done: false, value }
    if (this.#failure !== undefined) throw this.#failure.error
    return { done: true, value: undefined }
  }

  /** Nothing more comes. */
  end(): void {
    this.#over = true
    this.#wake()
  }

  /** It ends with an error (S4). */
  fail(error: unknown): void {
    if (this.#over) return
    this.#failure = { error }
    this.end()
  }

  /** Whoever read has left. */
  leave(): void {
    this.#waiting.length = 0
    this.#failure = undefined
    this.end()
  }

  #add(event: ChildEvent): void {
    if (this.#over) return
    this.#waiting.push(event)
    this.#wake()
  }

  #wake(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}

/** See S1 to S3. */
export class ParentStream implements AsyncIterable<ChildEvent> {
  readonly #readers = new Map<Reader, Set<Promise<void>>>()
  readonly #children = new Map<Run, ChildRun>()
  #ended = false

  /** Shows a child from now on, to every reader. */
  add(run: Run, child: ChildRun): void {
    this.#children.set(run, child)
    for (const reader of this.#readers.keys()) this.#lead(reader, run, child)
  }

  /** It has ended: who opens later does not see it any more. */
  remove(run: Run): void {
    this.#children.delete(run)
  }

  /** Shows where every child stands. */
  beat(): void {
    for (const [run, child] of this.#children) {
      const { phase, events, ms } = run.status()
      for (const reader of this.#readers.keys()) reader.offer({ type: 'child-heartbeat', ...child, phase, events, ms })
    }
  }

  /** Nothing comes any more: readers end after the last event. */
  end(): void {
    this.#ended = true
    for (const reader of this.#readers.keys()) this.#endAfterAll(reader)
  }

  /** From here on. A plain object: leaving must not wait for the next event, as a generator would. */
  [Symbol.asyncIterator](): AsyncIterator<ChildEvent, undefined> {
    const reader = new Reader()
    this.#readers.set(reader, new Set())
    for (const [run, child] of this.#children) this.#lead(reader, run, child)
    if (this.#ended) this.#endAfterAll(reader)
    return {
      next: () => reader.next(),
      return: () => {
        reader.leave()
        this.#readers.delete(reader)
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }

  #lead(reader: Reader, run: Run, child: ChildRun): void {
    const pumps = this.#readers.get(reader)
    const pumping = pump(reader, run, child)
      .catch((error: unknown) => reader.fail(error))
      .finally(() => pumps?.delete(pumping))
    pumps?.add(pumping)
  }

  #endAfterAll(reader: Reader): void {
    const pumps = this.#readers.get(reader) ?? new Set<Promise<void>>()
    void Promise.all(pumps).then(() => {
      reader.end()
      this.#readers.delete(reader)
    })
  }
}

/** Leads one child's events to one reader, and its end. */
async function pump(reader: Reader, run: Run, child: ChildRun): Promise<void> {
  for await (const event of run) {
    await reader.push({ type: 'child-event', ...child, event })
    if (!reader.isOpen) return
  }
  await reader.push({ type: 'child-completed', ...child, outcome: await run.outcome })
}
