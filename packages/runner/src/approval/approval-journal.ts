/**
 * Approvals in the journal.
 *
 * ```text
 * approval   runId/epoch(6)/id   what is asked; the body is the input
 * unsettled  id                  that its worker does not have its decision yet, and where the approval is
 * decision   id                  the one decision, and where the approval is; the body is the edited input
 * grant      id                  an answer that holds for more than one call
 * ```
 *
 * - *Q1* A decision and the grant that follows from it are one transaction. An approval has one decision.
 * - *Q2* A damaged record allows nothing, and is as if it were not there for all others: `doctor` names it. Where an
 *   approval is can be told without it.
 */
import { decodePayload, encodePayload, isJson, type JsonValue, type RunRef } from '@greenroom/proto'
import type { KeyRange, Operation, StoredRecord } from '@greenroom/store'
import { briefly, type Patience, type PatientStore } from '../persistence.ts'
import { unlessDamaged } from '../store-error.ts'
import type { Approval, ApprovalDecided, ApprovalFilter, ApprovalRecord, Grant } from './approval.ts'

/** The collections that a store needs to hold approvals. */
export const approvalCollections: readonly string[] = ['approval', 'unsettled', 'decision', 'grant']

/** An approval whose worker does not have its decision, and the attempt that asks. */
export interface Unsettled extends RunRef {
  readonly id: string
}

/** Writes and reads approvals. See Q1. */
export class ApprovalJournal {
  readonly #store: PatientStore

  /** @param store - one with {@link approvalCollections} */
  constructor(store: PatientStore) {
    this.#store = store
  }

  /** Records what is asked. */
  request(approval: Approval, patience: Patience): Promise<void> {
    const meta = { key: keyOf(approval, approval.id) }
    return this.#store.commit([this.asked(approval), { put: 'unsettled', key: approval.id, meta }], patience)
  }

  /** Records what is asked, alone. */
  asked({ input, ...approval }: Approval): Operation {
    return { put: 'approval', key: keyOf(approval, approval.id), meta: { ...approval }, body: encodePayload(input) }
  }

  /** Records the decision (Q1). */
  decide(approval: Approval, { input, ...decision }: ApprovalDecided, grant: Grant | undefined): Operation[] {
    const meta = { key: keyOf(approval, approval.id), ...decision }
    const body = input === undefined ? {} : { body: encodePayload(input) }
    const decided: Operation = { put: 'decision', key: approval.id, meta, ...body }
    return grant === undefined ? [decided] : [decided, { put: 'grant', key: grant.id, meta: { ...grant } }]
  }

  /** Its worker has the decision, or nobody wants it any more. */
  settle(id: string): Operation {
    return { delete: 'unsettled', key: id }
  }

  /** Applies operations. */
  commit(operations: readonly Operation[], patience: Patience): Promise<void> {
    return this.#store.commit(operations, patience)
  }

  /** One approval. */
  get(id: string): ApprovalRecord | undefined {
    const key = this.#keyOf(id)
    const record = key === undefined ? undefined : this.#store.get('approval', key)
    return record === undefined ? undefined : this.#recordOf(record)
  }

  /** Whether there is a decision, readable or not. */
  isDecided(id: string): boolean {
    return this.#store.keys('decision', { prefix: id }).includes(id)
  }

  /** Approvals, oldest first. */
  list({ runId, state }: ApprovalFilter): ApprovalRecord[] {
    return this.#each('approval', runId === undefined ? {} : { prefix: `${runId}/` }, (record) =>
      this.#recordOf(record),
    )
      .filter(({ decision }) => state === undefined || (decision === undefined) === (state === 'pending'))
      .toSorted((one, other) => one.createdAt - other.createdAt)
  }

  /** Those whose workers do not have their decision. */
  unsettled(): Unsettled[] {
    return this.#store.keys('unsettled').flatMap((id) => {
      const [runId = '', epoch] = this.#keyOf(id)?.split('/') ?? []
      return epoch === undefined ? [] : [{ id, runId, epoch: Number(epoch) }]
    })
  }

  /** All grants. */
  grants(): Grant[] {
    return this.#each('grant', {}, ({ meta }) => (isGrant(meta) ? meta : undefined))
  }

  /** Takes a grant back. */
  async revoke(id: string): Promise<boolean> {
    if (this.#store.get('grant', id) === undefined) return false
    await this.#store.commit([{ delete: 'grant', key: id }], briefly)
    return true
  }

  /** What forgets a run's approvals, and the grants for it alone. */
  forget(runId: string): Operation[] {
    const approvals = this.#store.keys('approval', { prefix: `${runId}/` })
    const grants = this.grants().filter(({ scope, of }) => scope === 'run' && of === runId)
    return [
      ...approvals.flatMap((key): Operation[] => {
        const id = key.slice(key.lastIndexOf('/') + 1)
        return [{ delete: 'decision', key: id }, this.settle(id), { delete: 'approval', key }]
      }),
      ...grants.map(({ id }): Operation => ({ delete: 'grant', key: id })),
    ]
  }

  /** Q2 */
  #each<T>(collection: string, range: KeyRange, read: (record: StoredRecord) => T | undefined): T[] {
    const one = (key: string): readonly T[] => {
      const record = this.#store.get(collection, key)
      const found = record && read(record)
      return found === undefined ? [] : [found]
    }
    return this.#store.keys(collection, range).flatMap((key) =>
      unlessDamaged(
        key,
        () => one(key),
        () => undefined,
      ),
    )
  }

  /** Q2 */
  #keyOf(id: string): string | undefined {
    let isDamaged = false
    const read = (): readonly [StoredRecord | undefined] => [
      this.#store.get('decision', id) ?? this.#store.get('unsettled', id),
    ]
    const [record] = unlessDamaged(id, read, () => (isDamaged = true))
    const key = isDamaged ? this.#store.keys('approval').find((one) => one.endsWith(`/${id}`)) : record?.meta['key']
    return typeof key === 'string' ? key : undefined
  }

  #recordOf({ meta, body }: StoredRecord): ApprovalRecord | undefined {
    if (!isApproval(meta)) return undefined
    const approval = { ...meta, input: jsonIn(body) ?? null }
    const decided = this.#store.get('decision', meta.id)
    const { key: _key, ...said } = decided?.meta ?? {}
    if (!isDecided(said)) return approval
    const input = jsonIn(decided?.body)
    return { ...approval, decision: { ...said, ...(input === undefined ? {} : { input }) } }
  }
}

function keyOf({ runId, epoch }: RunRef, id: string): string {
  return `${runId}/${String(epoch).padStart(6, '0')}/${id}`
}

function jsonIn(body: Uint8Array | undefined): JsonValue | undefined {
  const value = body === undefined ? undefined : decodePayload(body)
  return isJson(value) ? value : undefined
}

/** What was written by this code; anything else is as if it were not there. */
function isApproval(meta: unknown): meta is Omit<Approval, 'input'> {
  return hasTexts(meta, 'id', 'runId', 'role', 'session', 'tool', 'permission', 'resource', 'digest')
}

function isDecided(meta: unknown): meta is ApprovalDecided {
  return hasTexts(meta, 'reason', 'decider', 'scope')
}

function isGrant(meta: unknown): meta is Grant {
  return hasTexts(meta, 'id', 'scope', 'of', 'role', 'session', 'tool', 'permission', 'resource', 'approval', 'decider')
}

function hasTexts(value: unknown, ...fields: readonly string[]): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    fields.every((field) => typeof Reflect.get(value, field) === 'string')
  )
}
