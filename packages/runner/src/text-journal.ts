/**
 * Texts in the journal that are on their way to a run which may outlive this life of the runner.
 *
 * ```text
 * text     runId/place(6)           until the run has an outcome; the body is the text
 * ```
 */
import { decodePayload, encodePayload, type SteerMode } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import { sixDigits } from './journal-key.ts'
import { briefly, type PatientStore } from './persistence.ts'

/** A text on its way to a run. */
export interface KeptText {
  readonly id: string
  readonly text: string
  readonly mode: SteerMode
}

/** One in its place among those of its run, from 1 on. */
export type PlacedText = KeptText & { readonly place: number }

/** Writes and reads texts. */
export class TextJournal {
  readonly #store: PatientStore

  /** @param store - one with their collection */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** Keeps a text until its run has an outcome. */
  keep(runId: string, { place, id, text, mode }: PlacedText): Promise<void> {
    const body = encodePayload(text)
    return this.#store.commit([{ put: 'text', key: `${runId}/${sixDigits(place)}`, meta: { id, mode }, body }], briefly)
  }

  /** What {@link TextJournal.keep} kept, in order. */
  of(runId: string): PlacedText[] {
    return this.#store.scan('text', { prefix: `${runId}/` }).flatMap(({ key, meta: { id, mode }, body }) => {
      const text = body === undefined ? undefined : decodePayload(body)
      if (typeof id !== 'string' || typeof text !== 'string') return []
      return [{ place: Number(key.slice(-6)), id, text, mode: mode === 'queue' ? 'queue' : 'now' }]
    })
  }

  /** What removes those of a run. */
  forget(runId: string): Operation[] {
    return this.#store.keys('text', { prefix: `${runId}/` }).map((key) => ({ delete: 'text', key }))
  }
}
