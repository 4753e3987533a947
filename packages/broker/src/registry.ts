/**
 * The mailboxes of a broker that somebody has or something is in, by address. All others only have their record on the
 * disk, from which they come back when they are needed: so those that are closed, or that nobody uses, take no room.
 */
import { GreenroomError } from '@greenroom/proto'
import { Mailbox, type Volume } from './mailbox.ts'
import type { MailboxRecord } from './records.ts'

/** Where the records of mailboxes are. */
export interface Shelf {
  /**
   * The record of a mailbox that is not in memory, if it has one.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN` when it cannot be read now
   */
  mailbox(address: string): MailboxRecord | undefined
  /** Whether the record on the disk may be another than the one in memory. */
  doubtsMailbox(address: string): boolean
}

/** Finds, makes and forgets mailboxes. */
export class Registry {
  /** How much is in all of them. */
  readonly volume: Volume = { messages: 0, reserved: 0, bytes: 0, cached: 0 }
  readonly #mailboxes = new Map<string, Mailbox>()
  readonly #limit: number
  readonly #shelf: Shelf

  /** @param limit - how many there may be in memory */
  constructor(limit: number, shelf: Shelf) {
    this.#limit = limit
    this.#shelf = shelf
  }

  get size(): number {
    return this.#mailboxes.size
  }

  /** The mailbox of that address, if it is in memory. */
  find(address: string): Mailbox | undefined {
    return this.#mailboxes.get(address)
  }

  /**
   * The mailbox of that address; a blank one when there is none. To be tidied when it is not needed any more.
   *
   * @throws GreenroomError `MAILBOX_FULL` when there are as many as may be, `COMMIT_UNKNOWN`
   */
  open(address: string): Mailbox {
    const known = this.#mailboxes.get(address)
    if (known !== undefined) return known
    if (this.#mailboxes.size >= this.#limit)
      throw new GreenroomError('MAILBOX_FULL', `there are ${this.#limit} mailboxes`)
    return this.load(address, this.#shelf.mailbox(address))
  }

  /** A mailbox that is not in memory, with its record. */
  load(address: string, record: MailboxRecord | undefined): Mailbox {
    const mailbox = new Mailbox(address, this.volume)
    if (record !== undefined) mailbox.restore(record)
    this.#mailboxes.set(address, mailbox)
    return mailbox
  }

  /** Lets go of a mailbox that nobody has and nothing is in. */
  tidy(mailbox: Mailbox): void {
    const { address, isIdle, recorded } = mailbox
    if (!isIdle || this.#mailboxes.get(address) !== mailbox) return
    if (!recorded || !this.#shelf.doubtsMailbox(address)) this.#mailboxes.delete(address)
  }

  [Symbol.iterator](): Iterator<Mailbox> {
    return this.#mailboxes.values()
  }
}
