/** What an operator may do: inside the process as a port, and by frames in `admin`. */
import {
  checkNames,
  GreenroomError,
  type BackupReceipt,
  type DeadLetter,
  type LetterAddress,
  type MailboxState,
  type Operator,
  type ShownLetter,
} from '@greenroom/proto'
import type { Store } from '@greenroom/store'
import type { DeadLetters } from './dead-letters.ts'
import { allOf, pageLength, pageOf, type Page } from './list.ts'
import type { Ownership } from './ownership.ts'
import { mailboxRecord } from './records.ts'
import type { Registry } from './registry.ts'

/** What an operator works on. */
export interface OperatorParts {
  readonly store: Store
  readonly registry: Registry
  readonly ownership: Ownership
  readonly letters: DeadLetters
  /** Writes a backup. */
  readonly backUp: (store: Store, path: string) => Promise<BackupReceipt>
}

/** The operator inside the process. */
export class CoreOperator implements Operator {
  readonly #parts: OperatorParts

  constructor(parts: OperatorParts) {
    this.#parts = parts
  }

  mailboxes(): Promise<readonly MailboxState[]> {
    return allOf(async (after) => this.mailboxPage(after))
  }

  /** A page of the open mailboxes, those that are only on the disk included. */
  mailboxPage(after: string | undefined): Page<MailboxState> {
    const range = { ...(after !== undefined && { after }), limit: pageLength, bodies: false }
    const records = this.#parts.store.scan('mailbox', range)
    return pageOf(records, ({ key, meta }) => this.#stateOf(key, meta))
  }

  /**
   * One mailbox.
   *
   * @throws GreenroomError `UNKNOWN_MAILBOX`
   */
  mailbox(address: string): MailboxState {
    const record = this.#parts.store.get('mailbox', address)
    if (record === undefined) throw new GreenroomError('UNKNOWN_MAILBOX', `there is no mailbox ${address}`)
    return this.#stateOf(address, record.meta)
  }

  #stateOf(address: string, meta: Parameters<typeof mailboxRecord>[0]['meta']): MailboxState {
    const { registry, letters } = this.#parts
    const mailbox = registry.find(address)
    const { lifetime, incarnation } = mailbox?.record ?? mailboxRecord({ meta })
    const [oldest] = mailbox?.messages.values() ?? []
    const owner = mailbox?.owner
    return {
      address,
      ...(lifetime !== undefined && { lifetime }),
      ...(incarnation !== undefined && { incarnation }),
      state: owner === undefined ? 'free' : owner.consumer === undefined ? 'suspect' : 'attached',
      messages: mailbox?.messages.size ?? 0,
      held: mailbox?.held.size ?? 0,
      bytes: mailbox?.bytes ?? 0,
      ...(oldest !== undefined && { oldestAt: oldest.at }),
      deadLetters: letters.count(address),
    }
  }

  async deleteMailbox(address: string): Promise<void> {
    checkNames(address)
    await this.#parts.ownership.delete(address)
  }

  async deadLetters(address?: string): Promise<readonly DeadLetter[]> {
    if (address !== undefined) checkNames(address)
    return allOf(async (after) => this.#parts.letters.list(address, after))
  }

  /** A page of the dead letters of one mailbox, or of all. */
  deadLetterPage(address: string | undefined, after: string | undefined): Page<DeadLetter> {
    return this.#parts.letters.list(address, after)
  }

  async deadLetter({ address, id }: LetterAddress): Promise<ShownLetter> {
    checkNames(address, undefined, id)
    return this.#parts.letters.show(address, id)
  }

  async requeue({ address, id }: LetterAddress): Promise<void> {
    checkNames(address, undefined, id)
    await this.#parts.letters.requeue({ address, id })
  }

  async purge({ address, id }: { readonly address: string; readonly id?: string }): Promise<number> {
    checkNames(address, undefined, id)
    return this.#parts.letters.purge(address, id)
  }

  async backup(path: string): Promise<BackupReceipt> {
    const { backUp, store } = this.#parts
    return backUp(store, path)
  }
}
