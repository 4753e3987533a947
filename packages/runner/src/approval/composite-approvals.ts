/** What the runs of several runners ask for, as of one. An id is in one runner's journal: that tells whose it is. */
import { codeOf, GreenroomError } from '@greenroom/proto'
import { checkId } from '../option-check.ts'
import type { AnswerOptions, ApprovalFilter, ApprovalRecord, Grant, RunnerApprovals, Verdict } from './approval.ts'
import { Watchers } from './watchers.ts'

/** See the file. One that is closed hides nothing of the others. */
export class CompositeApprovals implements RunnerApprovals {
  readonly #members: readonly RunnerApprovals[]

  /** @param members - of the runners */
  constructor(members: readonly RunnerApprovals[]) {
    this.#members = members
  }

  list(filter?: ApprovalFilter): readonly ApprovalRecord[] {
    return this.#members
      .flatMap((member) => unless(['CLOSED'], () => member.list(filter)) ?? [])
      .toSorted((one, other) => one.createdAt - other.createdAt)
  }

  get(id: string): ApprovalRecord {
    return this.#find(id).record
  }

  async answer(id: string, verdict: Verdict, options?: AnswerOptions): Promise<ApprovalRecord> {
    return this.#find(id).member.answer(id, verdict, options)
  }

  async *watch({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<ApprovalRecord, undefined> {
    const left = new AbortController()
    const either = AbortSignal.any(signal === undefined ? [left.signal] : [left.signal, signal])
    const all = new Watchers()
    const passOn = async (member: RunnerApprovals): Promise<void> => {
      try {
        for await (const record of member.watch({ signal: either })) all.tell(record)
      } catch (error) {
        if (codeOf(error) !== 'CLOSED') throw error
      }
    }
    const passed = Promise.all(this.#members.map(passOn)).finally(() => all.end())
    // It is thrown below, once all that was told before has been read.
    passed.catch(() => undefined)
    try {
      yield* all.watch(() => [], either)
      await passed
    } finally {
      left.abort()
    }
    return undefined
  }

  grants(): readonly Grant[] {
    return this.#members.flatMap((member) => unless(['CLOSED'], () => member.grants()) ?? [])
  }

  async revoke(grantId: string): Promise<boolean> {
    checkId('grantId', grantId)
    const member = this.#members.find((one) => unless(['CLOSED'], () => one.grants())?.some(({ id }) => id === grantId))
    return (await member?.revoke(grantId)) === true
  }

  #find(id: string): { readonly member: RunnerApprovals; readonly record: ApprovalRecord } {
    for (const member of this.#members) {
      const record = unless(['CLOSED', 'UNKNOWN_APPROVAL'], () => member.get(id))
      if (record !== undefined) return { member, record }
    }
    throw new GreenroomError('UNKNOWN_APPROVAL')
  }
}

/** Undefined instead of errors with these codes. */
function unless<T>(codes: readonly string[], read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (codes.includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}
