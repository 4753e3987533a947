/**
 * The journal: the runner's own tables.
 *
 * ```text
 * runner   self                     who this runner is on the bus
 * run      runId                    what was asked for
 * attempt  runId/epoch(6)           where it was tried, and how that ended
 * entry    runId/epoch(6)/seq(10)   each entry; the body is its JSON
 * outcome  runId                    how it ended, once; the body is its JSON
 * completion  parent/runId          that a parent is to be told, or was, of a child's end
 * ```
 *
 * - *J1* An entry is committed before it is acknowledged to its worker, in order.
 * - *J2* An outcome, its attempt's end and the last of its session's messages are one transaction.
 */
import {
  decodePayload,
  encodePayload,
  parseEvent,
  parseOutcome,
  type JsonValue,
  type Outcome,
  type RunEvent,
  type RunRef,
  type WireEvent,
} from '@greenroom/proto'
import type { Operation, Store, StoredRecord } from '@greenroom/store'
import type { Completion } from './scheduler.ts'
import type { ChildRun } from './parent-stream.ts'

/** The collections that a store needs to hold a journal. */
export const journalCollections: readonly string[] = ['runner', 'run', 'attempt', 'entry', 'outcome', 'completion']

/** What was asked for. Nothing secret. */
export type RunRecord = {
  readonly runId: string
  readonly role: string
  readonly session: string
  readonly task: string
  readonly input?: JsonValue
  readonly workspace: string
  readonly model?: string
  /** When, in milliseconds since the epoch. */
  readonly startedAt: number
}

/** An attempt: with `end` once it is over. */
export type AttemptRecord = {
  readonly address: string
  readonly incarnation: string
  readonly host: string
  readonly pid?: number
  readonly warm: boolean
  readonly startedAt: number
  readonly end?: { readonly how: string; readonly lastSeq: number; readonly at: number }
}

/** An entry out of the journal. */
export interface StoredEntry {
  readonly seq: number
  readonly event: RunEvent | WireEvent
}

const epochKey = ({ runId, epoch }: RunRef): string => `${runId}/${String(epoch).padStart(6, '0')}`
const entryKey = (ref: RunRef, seq: number): string => `${epochKey(ref)}/${String(seq).padStart(10, '0')}`

/** Writes and reads the runner's tables. */
export class Journal {
  readonly #store: Store

  /** @param store - one with {@link journalCollections} */
  constructor(store: Store) {
    this.#store = store
  }

  /** The name of this runner, the same in every life of its data folder. `fresh` is stored when there is none. */
  async identity(fresh: string): Promise<string> {
    const known = this.#store.get('runner', 'self')?.meta['id']
    if (typeof known === 'string') return known
    await this.#store.commit([{ put: 'runner', key: 'self', meta: { id: fresh } }])
    return fresh
  }

  /** Records what was asked for. Refused with `STORAGE_FULL` when little space is left. */
  begin(run: RunRecord, also: readonly Operation[]): Promise<void> {
    return this.#store.commit([...also, { put: 'run', key: run.runId, meta: run }], { reserve: true })
  }

  /** Records where an attempt is tried. */
  attempt(ref: RunRef, record: AttemptRecord): Promise<void> {
    return this.#store.commit([attemptOperation(ref, record)])
  }

  /** Applies operations that {@link entryOperation} made. */
  entries(operations: readonly Operation[]): Promise<void> {
    return this.#store.commit(operations)
  }

  /** Records the end: see J2. */
  finish(ref: RunRef, outcome: Outcome, at: number, also: readonly Operation[]): Promise<void> {
    const meta = { status: outcome.status, epoch: ref.epoch, at }
    return this.#store.commit([...also, { put: 'outcome', key: ref.runId, meta, body: encodePayload(outcome) }])
  }

  /** What notes, together with an outcome, that a parent has to be told. */
  completion(parent: string, { runId, session, role }: ChildRun, at: number): Operation {
    return { put: 'completion', key: `${parent}/${runId}`, meta: { session, role, at } }
  }

  /** Notes that the parent was told. */
  delivered(parent: string, { runId, session, role }: ChildRun, at: number): Promise<void> {
    return this.#store.commit([
      { put: 'completion', key: `${parent}/${runId}`, meta: { session, role, at, deliveredAt: at } },
    ])
  }

  /** The ends of a parent's children of which it was not told, in no order. */
  undelivered(parent: string): Completion[] {
    const prefix = `${parent}/`
    return this.#store.scan('completion', { prefix }).flatMap(({ key, meta: { session, role, deliveredAt } }) => {
      const runId = key.slice(prefix.length)
      const outcome = this.outcome(runId)
      if (deliveredAt !== undefined || outcome === undefined) return []
      if (typeof session !== 'string' || typeof role !== 'string') return []
      return [{ runId, session, role, parent, outcome }]
    })
  }

  /** How a run ended; undefined when it has not. */
  outcome(runId: string): Outcome | undefined {
    const body = this.#store.get('outcome', runId)?.body
    return body === undefined ? undefined : parseOutcome(decodePayload(body))
  }

  /**
   * Entries of an attempt in order.
   *
   * @param ref - which attempt
   * @param after - only those with a greater sequence number
   * @param before - only those with a smaller one
   * @param limit - at most so many
   */
  read(ref: RunRef, after: number, before: number, limit: number): StoredEntry[] {
    const range = { prefix: `${epochKey(ref)}/`, after: entryKey(ref, after), before: entryKey(ref, before), limit }
    return this.#store
      .scan('entry', range)
      .map((record) => ({ seq: Number(record.key.slice(-10)), event: parseEvent(eventOf(record)) }))
  }
}

/**
 * What puts an attempt's record.
 *
 * @param ref - which attempt
 * @param record - all of it: an older record is replaced
 */
export function attemptOperation(ref: RunRef, record: AttemptRecord): Operation {
  return { put: 'attempt', key: epochKey(ref), meta: record }
}

/**
 * What puts an entry, and how many bytes it takes.
 *
 * @param ref - which attempt
 * @param seq - its place in it
 * @param event - the entry
 */
export function entryOperation(
  ref: RunRef,
  seq: number,
  event: RunEvent | WireEvent,
): Operation & { readonly body: Uint8Array } {
  return { put: 'entry', key: entryKey(ref, seq), meta: { type: event.type }, body: encodePayload(event) }
}

function isWireEvent(value: unknown): value is WireEvent {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

function eventOf({ body }: StoredRecord): WireEvent {
  const event = body === undefined ? undefined : decodePayload(body)
  return isWireEvent(event) ? event : { type: 'unreadable' }
}
