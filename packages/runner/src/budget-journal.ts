/**
 * Budgets in the journal.
 *
 * ```text
 * budget  treeId/runId   what a run may use with its descendants, and what it used; the tree is named by its first run
 * ```
 *
 * - *J1* A run's record is put in the transaction that records the run: from then on its budget is set aside. It is put again with
 *   its entries, and in the transaction that records its outcome: from then on only what was used counts. So what is set
 *   aside and what is open are the same after any crash.
 * - *J2* The records of a tree go together, when all of it has ended.
 */
import type { Budget } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import { briefly, type PatientStore } from './persistence.ts'
import { damagedRecord, unlessDamaged, type OnDamaged } from './store-error.ts'

/** What a run used. A type, not an interface: it is JSON. */
export type Drawn = {
  /** How long it executed, in milliseconds. */
  readonly ms: number
  readonly tokens: number
  readonly usd: number
}

/** One run of a tree. */
export type BudgetRecord = {
  /** Its parent, where that has a record, too. */
  readonly parent?: string
  /** What is set aside for it and its descendants. */
  readonly budget: { readonly [Name in keyof Budget]: Budget[Name] }
  readonly drawn: Drawn
  readonly isOver: boolean
}

/** A record, and where it was. */
export interface BudgetEntry {
  readonly treeId: string
  readonly runId: string
  readonly record: BudgetRecord
}

/** Writes and reads them. */
export class BudgetJournal {
  readonly #store: PatientStore

  /** @param store - one with their collection */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** What records a run's. */
  put(treeId: string, runId: string, record: BudgetRecord): Operation {
    return { put: 'budget', key: `${treeId}/${runId}`, meta: record }
  }

  /** All of them, but for damaged ones. */
  all(onDamaged: OnDamaged): BudgetEntry[] {
    return this.#store.keys('budget').flatMap((key) => {
      const [treeId = '', runId = ''] = key.split('/')
      return unlessDamaged(runId, () => [{ treeId, runId, record: this.#read(key) }], onDamaged)
    })
  }

  /** Forgets a tree (J2). */
  async forget(treeId: string): Promise<void> {
    const keys = this.#store.keys('budget', { prefix: `${treeId}/` })
    if (keys.length === 0) return
    await this.#store.commit(
      keys.map((key): Operation => ({ delete: 'budget', key })),
      briefly,
    )
  }

  #read(key: string): BudgetRecord {
    const meta = this.#store.get('budget', key)?.meta
    if (!isBudgetRecord(meta)) throw damagedRecord('budget', key)
    return meta
  }
}

/** What was written by this code. */
function isBudgetRecord(meta: unknown): meta is BudgetRecord {
  return typeof meta === 'object' && meta !== null && 'budget' in meta && 'drawn' in meta && 'isOver' in meta
}
