/** The operator of a bus in memory. */
import { checkNames, GreenroomError } from '@greenroom/proto'
import type { DeadLetter, LetterAddress, MailboxState, Operator, ShownLetter } from '@greenroom/proto'
import type { MemoryBroker } from './memory-broker.ts'
import type { MemoryMailbox } from './memory-mailbox.ts'

/** What may be done to the mailboxes of one broker in memory. */
export class MemoryOperator implements Operator {
  readonly #broker: MemoryBroker

  constructor(broker: MemoryBroker) {
    this.#broker = broker
  }

  async mailboxes(): Promise<readonly MailboxState[]> {
    return this.#broker.mailboxes().map((mailbox) => this.#broker.stateOf(mailbox))
  }

  async deleteMailbox(address: string): Promise<void> {
    checkNames(address)
    const mailbox = this.#broker.mailboxes().find((one) => one.address === address)
    if (mailbox === undefined) throw new GreenroomError('UNKNOWN_MAILBOX', `there is no mailbox ${address}`)
    if (this.#broker.stateOf(mailbox).state !== 'free')
      throw new GreenroomError('MAILBOX_IN_USE', `somebody has the mailbox ${address}`)
    this.#broker.delete(mailbox)
  }

  async deadLetters(address?: string): Promise<readonly DeadLetter[]> {
    if (address !== undefined) checkNames(address)
    return this.#broker
      .withLetters()
      .filter((mailbox) => address === undefined || mailbox.address === address)
      .flatMap(({ dead }) => [...dead.values()].map(({ letter }) => letter).toSorted((a, b) => (a.id < b.id ? -1 : 1)))
  }

  async deadLetter({ address, id }: LetterAddress): Promise<ShownLetter> {
    checkNames(address, undefined, id)
    const { letter, message } =
      this.#find(address).dead.get(id) ?? unknown(`mailbox ${address} has no dead letter ${id}`)
    return { letter, payload: message.payload.slice() }
  }

  async requeue({ address, id }: LetterAddress): Promise<void> {
    checkNames(address, undefined, id)
    const mailbox = this.#find(address)
    if (!mailbox.dead.has(id)) unknown(`mailbox ${address} has no dead letter ${id}`)
    this.#broker.requeue(mailbox, id)
  }

  async purge({ address, id }: { readonly address: string; readonly id?: string }): Promise<number> {
    checkNames(address, undefined, id)
    const { dead } = this.#find(address)
    if (id === undefined) {
      const { size } = dead
      dead.clear()
      return size
    }
    return dead.delete(id) ? 1 : unknown(`mailbox ${address} has no dead letter ${id}`)
  }

  async backup(): Promise<never> {
    throw new GreenroomError('MISSING_FEATURE', 'a bus in memory has nothing on a disk')
  }

  /** The mailbox, if it has dead letters. */
  #find(address: string): MemoryMailbox {
    const mailbox = this.#broker.find(address)
    return mailbox === undefined || mailbox.dead.size === 0
      ? unknown(`mailbox ${address} has no dead letters`)
      : mailbox
  }
}

function unknown(message: string): never {
  throw new GreenroomError('UNKNOWN_LETTER', message)
}
