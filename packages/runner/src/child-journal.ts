/**
 * Which children each parent has.
 *
 * ```text
 * child    parent/runId, ./runId for the program's   key, role and start of a child
 * ```
 */
import type { ChildStatus, JsonObject } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import type { Kin, RunRecord } from './journal.ts'
import type { PatientStore } from './persistence.ts'
import { damagedRecord } from './store-error.ts'

/** How many are told of at a time. */
const listedAtMost = 1_000

/** Writes and reads them. */
export class ChildJournal {
  readonly #store: PatientStore

  /** @param store - one with their collection, and that of outcomes */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** What notes, together with a run, whose child it is. */
  note({ runId, role, kin, startedAt, isStandIn = false }: RunRecord): readonly Operation[] {
    // Who answers for a child is none that its parent started.
    if (kin === undefined || isStandIn) return []
    return [{ put: 'child', key: keyOf(runId, kin), meta: { role, key: kin.childKey, startedAt } }]
  }

  /** What forgets that. */
  forget(runId: string, kin: Kin | undefined): readonly Operation[] {
    return kin === undefined ? [] : [{ delete: 'child', key: keyOf(runId, kin) }]
  }

  /**
   * The children of a parent, as `Children.list` gives them.
   *
   * @param parent - its run; undefined: the program
   */
  of(parent: string | undefined): readonly ChildStatus[] {
    const prefix = prefixOf(parent)
    const all = this.#store
      .scan('child', { prefix })
      .map(({ key, meta }) => ({ runId: key.slice(prefix.length), ...childIn(key, meta) }))
      .toSorted((one, other) => one.startedAt - other.startedAt)
      .map(({ runId, key, role }) => ({ runId, key, role, status: this.#statusOf(runId) }))
    const running = all.filter(({ status }) => status === 'running').length
    let tooMany = Math.min(all.length - listedAtMost, all.length - running)
    return all.filter(({ status }) => status === 'running' || (tooMany -= 1) < 0)
  }

  #statusOf(runId: string): ChildStatus['status'] {
    const [outcome] = this.#store.scan('outcome', { prefix: runId, limit: 1, bodies: false })
    const status = outcome?.key === runId ? outcome.meta['status'] : undefined
    return statuses.find((one) => one === status) ?? 'running'
  }
}

/** @throws GreenroomError `STORE_DAMAGED` */
function childIn(
  at: string,
  { key, role, startedAt }: JsonObject,
): { readonly key: string; readonly role: string; readonly startedAt: number } {
  if (typeof key === 'string' && typeof role === 'string' && typeof startedAt === 'number')
    return { key, role, startedAt }
  throw damagedRecord('child', at)
}

const statuses: readonly ChildStatus['status'][] = ['completed', 'cancelled', 'failed', 'timeout', 'skipped']

function prefixOf(parent: string | undefined): string {
  return `${parent ?? '.'}/`
}

function keyOf(runId: string, { lineage }: Kin): string {
  return `${prefixOf(lineage.at(-1))}${runId}`
}
