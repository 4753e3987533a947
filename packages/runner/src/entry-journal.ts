/**
 * Entries in the journal: what runs told, in their order.
 *
 * ```text
 * entry    runId/epoch(6)/seq(10)   each entry; the body is its JSON. Epoch 0: what a session store elsewhere is told
 * ```
 */
import {
  addUsage,
  decodePayload,
  encodePayload,
  parseEvent,
  type RunEvent,
  type RunRef,
  type Usage,
  type WireEvent,
} from '@greenroom/proto'
import type { Operation, StoredRecord } from '@greenroom/store'
import { epochKey } from './journal-key.ts'
import type { Patience, PatientStore } from './persistence.ts'

/** An entry out of the journal. */
export interface StoredEntry {
  readonly seq: number
  readonly event: RunEvent | WireEvent
}

const entryKey = (ref: RunRef, seq: number): string => `${epochKey(ref)}/${String(seq).padStart(10, '0')}`

/** Writes and reads entries. */
export class EntryJournal {
  readonly #store: PatientStore

  /** @param store - one with their collection */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** Applies operations that {@link entryOperation} made. */
  put(operations: readonly Operation[], patience?: Patience): Promise<void> {
    return this.#store.commit(operations, patience)
  }

  /** The number of an attempt's last entry; 0 when there is none. */
  last(ref: RunRef): number {
    const range = { prefix: `${epochKey(ref)}/`, reverse: true, limit: 1, bodies: false }
    return Number(this.#store.scan('entry', range)[0]?.key.slice(-10) ?? 0)
  }

  /** What an attempt's `usage` entries add up to; undefined when there are none. */
  usageOf(ref: RunRef): Usage | undefined {
    const entries = this.#store.scan('entry', { prefix: `${epochKey(ref)}/`, bodies: false })
    const used = entries.filter(({ meta }) => meta['type'] === 'usage')
    const usages = used.flatMap(({ key }) => usageIn(this.#store.get('entry', key)))
    return usages.length === 0 ? undefined : usages.reduce(addUsage)
  }

  /** Where the messages of a run's transcript stand. */
  messagePlaces(runId: string): { readonly epoch: number; readonly seq: number }[] {
    return this.#store
      .scan('entry', { prefix: `${runId}/`, bodies: false })
      .filter(({ meta }) => meta['type'] === 'message')
      .map(({ key }) => ({ epoch: Number(key.slice(-17, -11)), seq: Number(key.slice(-10)) }))
  }

  /** One entry of an attempt; in epoch 0, a message that was said before the run, from number 0 on. */
  get(ref: RunRef, seq: number): RunEvent | WireEvent | undefined {
    const record = this.#store.get('entry', entryKey(ref, seq))
    return record === undefined ? undefined : parseEvent(eventOf(record))
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

  /**
   * What removes entries of a run.
   *
   * @param runId - the run
   * @param limit - at most so many
   */
  forget(runId: string, limit: number): Operation[] {
    return this.#store.keys('entry', { prefix: `${runId}/`, limit }).map((key) => ({ delete: 'entry', key }))
  }
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

function usageIn(record: StoredRecord | undefined): Usage[] {
  const event = record === undefined ? undefined : parseEvent(eventOf(record))
  return event !== undefined && isUsage(event) ? [event.usage] : []
}

/** {@link parseEvent} has checked it; this only tells the compiler. */
function isUsage(event: RunEvent | WireEvent): event is RunEvent & { type: 'usage' } {
  return event.type === 'usage'
}

function isWireEvent(value: unknown): value is WireEvent {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

function eventOf({ body }: StoredRecord): WireEvent {
  const event = body === undefined ? undefined : decodePayload(body)
  return isWireEvent(event) ? event : { type: 'unreadable' }
}
