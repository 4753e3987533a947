/**
 * The ends of children in the journal, of which their parents are to be told.
 *
 * ```text
 * completion  parent/runId          that a parent is to be told, or was, of a child's end
 * ```
 */
import type { Outcome } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import type { ChildRun } from './parent-stream.ts'
import type { PatientStore } from './persistence.ts'
import type { Completion } from './scheduler.ts'
import { damagedRecord, unlessDamaged, type OnDamaged } from './store-error.ts'

/** Writes and reads them. */
export class CompletionJournal {
  readonly #store: PatientStore
  readonly #outcomeOf: (runId: string) => Outcome | undefined

  /**
   * @param store - one with their collection
   * @param outcomeOf - how a run ended
   */
  constructor(store: PatientStore, outcomeOf: (runId: string) => Outcome | undefined) {
    this.#store = store
    this.#outcomeOf = outcomeOf
  }

  /** What notes, together with an outcome, that a parent has to be told. */
  note(parent: string, { runId, session, role }: ChildRun, at: number): Operation {
    return { put: 'completion', key: `${parent}/${runId}`, meta: { session, role, at } }
  }

  /** Notes that the parent was told. */
  delivered(parent: string, { runId, session, role }: ChildRun, at: number): Promise<void> {
    return this.#store.commit([
      { put: 'completion', key: `${parent}/${runId}`, meta: { session, role, at, deliveredAt: at } },
    ])
  }

  /** The ends of a parent's children of which it was not told, in no order, but for damaged ones. */
  undelivered(parent: string, onDamaged: OnDamaged): Completion[] {
    const prefix = `${parent}/`
    const children = this.#store.keys('completion', { prefix }).map((key) => key.slice(prefix.length))
    return children.flatMap((runId) => unlessDamaged(runId, () => this.#toTell(parent, runId), onDamaged))
  }

  #toTell(parent: string, runId: string): readonly Completion[] {
    const { session, role, deliveredAt } = this.#store.get('completion', `${parent}/${runId}`)?.meta ?? {}
    const outcome = deliveredAt === undefined ? this.#outcomeOf(runId) : undefined
    if (outcome === undefined) return []
    if (typeof session !== 'string' || typeof role !== 'string') throw damagedRecord('completion', `${parent}/${runId}`)
    return [{ runId, session, role, parent, outcome }]
  }
}
