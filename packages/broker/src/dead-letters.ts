/** Dead letters, for operators: list, show, requeue, purge. */
import { GreenroomError, type DeadLetter, type LetterAddress } from '@greenroom/proto'
import type { Operation, Store, StoredRecord } from '@greenroom/store'
import type { CoreParts, Courier } from './courier.ts'
import { pageLength, pageOf, type Page } from './list.ts'
import type { Mailbox } from './mailbox.ts'
import type { BrokerLimits } from './options.ts'
import { checkRoom } from './quota.ts'
import { deadLetterOf, messageFacts, splitKey } from './records.ts'
import { scanAll } from './recovery.ts'
import { arrive, isWhole } from './removal.ts'

/** What dead letters need. */
export interface DeadLetterParts extends CoreParts {
  readonly store: Store
  readonly courier: Courier
  readonly limits: BrokerLimits
}

/** The letters of all mailboxes. */
export class DeadLetters {
  readonly #parts: DeadLetterParts

  constructor(parts: DeadLetterParts) {
    this.#parts = parts
  }

  /** How many a mailbox has. */
  count(address: string): number {
    return this.#parts.store.keys('dead', { prefix: `${address}/` }).filter((key) => !this.#isBack(key)).length
  }

  /** A page of the letters of one mailbox, or of all, in the order of address and id. */
  list(address: string | undefined, after: string | undefined): Page<DeadLetter> {
    const records = this.#parts.store.scan('dead', {
      ...(address !== undefined && { prefix: `${address}/` }),
      ...(after !== undefined && { after }),
      limit: pageLength,
      bodies: false,
    })
    return pageOf(records, (record) => (this.#isBack(record.key) ? undefined : deadLetterOf(record)))
  }

  /**
   * One letter with its payload.
   *
   * @throws GreenroomError `UNKNOWN_LETTER`, `PAYLOAD_DAMAGED`
   */
  show(address: string, id: string): { readonly letter: DeadLetter; readonly payload: Uint8Array } {
    const record = this.#find(address, id)
    return { letter: deadLetterOf(record), payload: wholePayload(record) }
  }

  /**
   * Puts a letter back into its mailbox, as if it had just come.
   *
   * @throws GreenroomError `UNKNOWN_LETTER`, `PAYLOAD_DAMAGED`, `MAILBOX_FULL`, `MAILBOX_CLOSED`, `STORAGE_FULL`,
   * `COMMIT_UNKNOWN`
   */
  async requeue({ address, id }: LetterAddress): Promise<void> {
    const { registry } = this.#parts
    const mailbox = registry.open(address)
    await mailbox.turns.take([id], () => this.#requeue(mailbox, id)).finally(() => registry.tidy(mailbox))
  }

  async #requeue(mailbox: Mailbox, id: string): Promise<void> {
    const { ledger, clock, limits, registry, courier } = this.#parts
    const record = this.#find(mailbox.address, id)
    const { key } = record
    const body = wholePayload(record)
    const isDead = (ledger.receipt(mailbox.address, id)?.state ?? 'dead') === 'dead'
    // Two commits, for the reason that `Courier.tell` has; the first may have been made before.
    if (isDead && !mailbox.messages.has(id)) {
      if (mailbox.isClosed) throw new GreenroomError('MAILBOX_CLOSED')
      checkRoom(limits, registry.volume, mailbox, body.length)
      const arrival = { ...messageFacts(record), at: clock.now(), expiresAt: undefined, payload: body }
      await ledger.carryOut(courier.andDeliver(mailbox, arrive(mailbox, arrival)), { reserve: true })
    }
    const letter: Operation = { delete: 'dead', key }
    await ledger.carryOut({ operations: isDead ? [letter, { delete: 'receipt', key }] : [letter], apply() {} })
  }

  /**
   * Deletes one letter, or all of a mailbox. One whose requeueing was cut off is no letter any more: its message is back.
   *
   * @returns how many
   * @throws GreenroomError `UNKNOWN_LETTER` when there is none, `COMMIT_UNKNOWN`
   */
  async purge(address: string, id?: string): Promise<number> {
    const { registry, store } = this.#parts
    const prefix = `${address}/`
    const keys = id === undefined ? [...scanAll(store, 'dead', { prefix })].map(({ key }) => key) : [`${prefix}${id}`]
    const ids = keys.map((key) => key.slice(prefix.length))
    const mailbox = registry.open(address)
    return mailbox.turns.take(ids, () => this.#purge(mailbox, ids)).finally(() => registry.tidy(mailbox))
  }

  async #purge(mailbox: Mailbox, ids: readonly string[]): Promise<number> {
    const { ledger, store } = this.#parts
    const { address } = mailbox
    const keys = ids
      .map((id) => `${address}/${id}`)
      .filter((key) => store.get('dead', key, { unchecked: true }) !== undefined)
    if (keys.length > 0) await ledger.carryOut({ operations: keys.map((key) => ({ delete: 'dead', key })), apply() {} })
    const purged = keys.filter((key) => !this.#isBack(key)).length
    if (purged === 0) throw new GreenroomError('UNKNOWN_LETTER', unknownLetter(address, ids))
    return purged
  }

  /** Whether its message is in its mailbox again, or was: a failure cut its requeueing off (see `#requeue`). */
  #isBack(key: string): boolean {
    const [address, id] = splitKey(key)
    const { ledger, registry } = this.#parts
    const isWaiting = registry.find(address)?.messages.has(id) ?? false
    return isWaiting || (ledger.receipt(address, id)?.state ?? 'dead') !== 'dead'
  }

  #find(address: string, id: string): StoredRecord {
    // Its payload has a digest of its own.
    const record = this.#parts.store.get('dead', `${address}/${id}`, { unchecked: true })
    if (record === undefined) throw new GreenroomError('UNKNOWN_LETTER', unknownLetter(address, [id]))
    return record
  }
}

function unknownLetter(address: string, ids: readonly string[]): string {
  const [id, ...others] = ids
  return `mailbox ${address} has no dead ${id === undefined || others.length > 0 ? 'letters' : `letter ${id}`}`
}

/** @throws GreenroomError `PAYLOAD_DAMAGED` */
function wholePayload(record: StoredRecord): Uint8Array {
  const { body = new Uint8Array(0) } = record
  const facts = messageFacts(record)
  if (!isWhole(facts, body))
    throw new GreenroomError(
      'PAYLOAD_DAMAGED',
      `the payload of dead letter ${facts.id} is damaged: it can only be purged`,
    )
  return body
}
