/**
 * What the journal has of workers whose attempt nobody follows.
 *
 * ```text
 * terminal runId/epoch(6)           a last word that came meanwhile
 * unfenced runId/epoch(6)           one of a lost attempt, while nobody knows that the bus has declared it gone
 * ```
 */
import { decodePayload, parseMessage, type Delivery, type RunRef } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import type { KeptTerminal } from './drive/index.ts'
import type { AttemptRecord } from './journal.ts'
import { epochKey } from './journal-key.ts'
import { briefly, type PatientStore } from './persistence.ts'
import { unlessDamaged } from './store-error.ts'

/** Writes and reads it. */
export class WorkerJournal {
  readonly #store: PatientStore

  /** @param store - one with these collections, and that of open runs */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** Keeps a last word until its run has an outcome. */
  async keepTerminal(ref: RunRef, { from, fromIncarnation, payload }: Delivery): Promise<void> {
    const key = epochKey(ref)
    await this.#store.commit([{ put: 'terminal', key, meta: { from, fromIncarnation }, body: payload }])
    // Its run may have got its outcome meanwhile.
    if (this.#store.get('open', ref.runId) === undefined) await this.#store.commit([{ delete: 'terminal', key }])
  }

  /** Workers that are to be declared gone, each with what forgets it. */
  unfenced(): { readonly address: string; readonly incarnation: string; readonly fenced: () => Promise<void> }[] {
    const read = (key: string): ReturnType<WorkerJournal['unfenced']> => {
      const { address, incarnation } = this.#store.get('unfenced', key)?.meta ?? {}
      if (typeof address !== 'string' || typeof incarnation !== 'string') return []
      return [{ address, incarnation, fenced: () => this.#store.commit([{ delete: 'unfenced', key }], briefly) }]
    }
    // Of a damaged one nobody knows who it was.
    return this.#store.keys('unfenced').flatMap((key) => [
      ...unlessDamaged(
        key,
        () => read(key),
        () => undefined,
      ),
    ])
  }

  /** What {@link WorkerJournal.keepTerminal} kept. */
  keptTerminal(ref: RunRef): KeptTerminal | undefined {
    const { meta, body } = this.#store.get('terminal', epochKey(ref)) ?? {}
    const { from, fromIncarnation } = meta ?? {}
    if (body === undefined || typeof from !== 'string' || typeof fromIncarnation !== 'string') return undefined
    return { from, fromIncarnation, terminal: parseMessage('terminal', decodePayload(body)) }
  }

  /** What removes the last words of a run's workers. */
  forget(runId: string): Operation[] {
    return this.#store.keys('terminal', { prefix: `${runId}/` }).map((key) => ({ delete: 'terminal', key }))
  }
}

/**
 * What notes that an attempt's worker is to be declared gone, by a later life if need be.
 *
 * @param ref - which attempt
 * @param worker - who had it
 */
export function unfencedOperation(
  ref: RunRef,
  { address, incarnation }: Pick<AttemptRecord, 'address' | 'incarnation'>,
): Operation {
  return { put: 'unfenced', key: epochKey(ref), meta: { address, incarnation } }
}
