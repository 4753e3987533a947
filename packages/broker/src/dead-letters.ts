/** Dead letters and mailboxes for operators: list, show, requeue, purge. */
import { GreenroomError } from '@greenroom/proto'
import type { JsonObject, Operation, Store } from '@greenroom/store'
import type { CoreParts, Courier } from './courier.ts'
import type { Mailbox } from './mailbox.ts'
import { messageFacts, splitKey } from './records.ts'
import { scanAll } from './recovery.ts'
import { arrive } from './removal.ts'

/** What an operator gets: rows of facts, and for `show` the payload. */
export interface Shown {
  readonly rows: readonly JsonObject[]
  readonly payload?: Uint8Array
}

/** The operators' side of the broker. */
export class DeadLetters {
  readonly #parts: CoreParts
  readonly #store: Store
  readonly #courier: Courier

  constructor(parts: CoreParts, store: Store, courier: Courier) {
    this.#parts = parts
    this.#store = store
    this.#courier = courier
  }

  /** Every mailbox that somebody has or something is in, or one: whose it is and how much is in it. */
  mailboxes(address?: string): Shown {
    const all = [...this.#parts.registry].filter((mailbox) => address === undefined || mailbox.address === address)
    return { rows: all.map(rowOf) }
  }

  /** The dead letters of all mailboxes, or of one, without payloads. */
  list(address?: string): Shown {
    const range = address === undefined ? {} : { prefix: `${address}/` }
    return {
      rows: [...scanAll(this.#store, 'dead', range)].map(({ key, meta }) => ({ address: splitKey(key)[0], ...meta })),
    }
  }

  /**
   * One dead letter with its history and payload.
   *
   * @throws GreenroomError `FORBIDDEN` when there is none
   */
  show(address: string, id: string): Shown {
    const record = this.#find(address, id)
    return { rows: [{ address, ...record.meta }], payload: record.body ?? new Uint8Array(0) }
  }

  /**
   * Puts a dead letter back into its mailbox, as if it had just come.
   *
   * @throws GreenroomError `FORBIDDEN` when there is none, `STORAGE_FULL`, `COMMIT_UNKNOWN`
   */
  async requeue(address: string, id: string): Promise<void> {
    const { ledger, clock, registry } = this.#parts
    const mailbox = registry.open(address)
    const requeue = async (): Promise<void> => {
      const { meta, body } = this.#find(address, id)
      const facts = messageFacts({ key: id, meta })
      const arrival = { ...facts, at: clock.now(), expiresAt: undefined, payload: body ?? new Uint8Array(0) }
      // Two commits, for the reason that `Courier.tell` has; the first may have been made before.
      if (!mailbox.messages.has(id))
        await ledger.carryOut(this.#courier.andDeliver(mailbox, arrive(mailbox, arrival)), { reserve: true })
      const key = `${address}/${id}`
      await ledger.carryOut({
        operations: [
          { delete: 'dead', key },
          { delete: 'receipt', key },
        ],
        apply() {},
      })
    }
    await mailbox.turns.take([id], requeue).finally(() => registry.tidy(mailbox))
  }

  /**
   * Deletes one dead letter, or all of a mailbox.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN`
   */
  async purge(address: string, id?: string): Promise<void> {
    const keys =
      id === undefined
        ? [...scanAll(this.#store, 'dead', { prefix: `${address}/` })].map(({ key }) => key)
        : [`${address}/${id}`]
    const operations = keys.map((key): Operation => ({ delete: 'dead', key }))
    if (operations.length > 0) await this.#parts.ledger.carryOut({ operations, apply() {} })
  }

  #find(address: string, id: string): { readonly meta: JsonObject; readonly body?: Uint8Array } {
    const record = this.#store.get('dead', `${address}/${id}`)
    if (record === undefined) throw new GreenroomError('FORBIDDEN', `there is no dead letter ${id} of ${address}`)
    return record
  }
}

function rowOf(mailbox: Mailbox): JsonObject {
  const { address, owner, record, isClosed } = mailbox
  const owned = owner?.consumer === undefined ? 'suspect' : 'attached'
  return {
    address,
    lifetime: record.lifetime,
    incarnation: record.incarnation,
    state: isClosed ? 'closed' : owner === undefined ? 'free' : owned,
    messages: mailbox.count,
    held: mailbox.held.size,
    bytes: mailbox.bytes,
  }
}
