/**
 * One mailbox in memory: what waits, what is held and by whom. Knows no disk and no clock.
 *
 * - *M1* It holds what is committed: what is being committed is only reserved (`reserve`, then `add` or `release`).
 * - *M2* `held` never exceeds the owner's credit, a lane each, except by what a re-attach lists.
 * - *M3* Sequence numbers grow in the order of the reservations; those of failed commits are given again only when
 *   nothing else is being committed.
 */
import { GreenroomError, type Presence } from '@greenroom/proto'
import type { Consumer } from './consumer.ts'
import type { Message } from './message.ts'
import { ReadyQueue } from './ready-queue.ts'
import type { MailboxRecord } from './records.ts'
import { Turns } from './turns.ts'
import type { Visibility } from './visibility.ts'

/** How much there is, over all mailboxes. */
export interface Volume {
  messages: number
  /** Messages that are being committed. */
  reserved: number
  /** Payload bytes, of what is being committed too. */
  bytes: number
  /** Payload bytes that are kept in memory. */
  cached: number
}

/** The incarnation that a mailbox belongs to now. */
export interface Owner {
  readonly incarnation: string
  presence: Presence | undefined
  /** Who gets its messages while it is attached; undefined while it is suspect. */
  consumer: Consumer | undefined
  credit: number
  controlCredit: number
  /** Returns what it holds too long; undefined while it is suspect, and when it did not ask for that. */
  visibility: Visibility | undefined
  /** Stops the time that runs while it is suspect. */
  endGrace: (() => void) | undefined
}

const fresh: MailboxRecord = {
  lifetime: undefined,
  incarnation: undefined,
  presence: undefined,
  closedAt: undefined,
  isLeaving: false,
  next: 1,
}

/** See M1 to M3. */
export class Mailbox {
  readonly address: string
  readonly turns = new Turns()
  /** As it is on the disk. */
  record: MailboxRecord = fresh
  /** Whether there is a record on the disk. */
  recorded = false
  owner: Owner | undefined
  /** All that wait or are held, by id. */
  readonly messages = new Map<string, Message>()
  /** Those with a time to live. */
  readonly mortal = new Set<Message>()
  /** Whether what the owner holds changed since it was last written. */
  holdingChanged = false
  /** When its newest message was stored, of those that this process saw. */
  newestAt = 0
  readonly #held = new Set<Message>()
  #heldControl = 0
  #reserved = 0
  #stored = 0
  #next = 1
  readonly #data = new ReadyQueue()
  readonly #control = new ReadyQueue()
  readonly #volume: Volume
  #bytes = 0

  /** @param volume - counted up and down along */
  constructor(address: string, volume: Volume) {
    this.address = address
    this.#volume = volume
  }

  /** Payload bytes of messages and reservations. */
  get bytes(): number {
    return this.#bytes
  }

  get isClosed(): boolean {
    return this.record.closedAt !== undefined
  }

  /**
   * Refuses what would begin while it is being deleted, which goes on as soon as the disk lets it.
   *
   * @throws GreenroomError `COMMIT_UNKNOWN`: the same call later works
   */
  checkStays(): void {
    if (this.record.isLeaving) throw new GreenroomError('COMMIT_UNKNOWN', `mailbox ${this.address} is being deleted`)
  }

  /** Messages and reservations. */
  get count(): number {
    return this.messages.size + this.#reserved
  }

  /** Larger than every sequence number that was given. */
  get next(): number {
    return this.#next
  }

  /** The largest sequence number that was ever on the disk. */
  get last(): number {
    return this.#stored
  }

  /** What the owner holds, in the order in which it was handed out, or touched. */
  get held(): ReadonlySet<Message> {
    return this.#held
  }

  /** Whether nobody has it, nothing is in it and nothing happens to it. */
  get isIdle(): boolean {
    return this.owner === undefined && this.count === 0 && this.turns.idle
  }

  /** Takes over what the disk says. */
  restore(record: MailboxRecord): void {
    this.record = record
    this.recorded = true
    this.#next = Math.max(this.#next, record.next)
    this.#stored = this.#next - 1
  }

  /** Its record was deleted. */
  forget(): void {
    this.record = fresh
    this.recorded = false
  }

  /** Takes a sequence number and room for a message that is about to be committed. */
  reserve(size: number): number {
    this.#reserved += 1
    this.#volume.reserved += 1
    this.#weigh(size)
    this.#next += 1
    return this.#next - 1
  }

  /** Gives back what a failed commit reserved. */
  release(size: number): void {
    this.#weigh(-size)
    this.#settleReservation()
  }

  /** A reserved message is on the disk. */
  add(message: Message): void {
    this.#insert(message)
    this.#settleReservation()
  }

  /** A message was found on the disk. */
  load(message: Message): void {
    this.#weigh(message.size)
    this.#next = Math.max(this.#next, message.seq + 1)
    this.#insert(message)
  }

  #settleReservation(): void {
    this.#reserved -= 1
    this.#volume.reserved -= 1
    if (this.#reserved === 0) this.#next = this.#stored + 1
  }

  #insert(message: Message): void {
    this.#stored = Math.max(this.#stored, message.seq)
    this.newestAt = Math.max(this.newestAt, message.at)
    this.#volume.messages += 1
    if (message.body !== undefined) this.#volume.cached += message.size
    this.messages.set(message.id, message)
    if (message.expiresAt !== undefined) this.mortal.add(message)
    if (message.place === 'ready') this.#queue(message).push(message)
  }

  /** The next message that credit lets through; it is taken out of the queue, not yet held. */
  take(): Message | undefined {
    const { owner } = this
    if (owner === undefined) return undefined
    const data = this.#held.size - this.#heldControl < owner.credit ? this.#data.peek() : undefined
    const control = this.#heldControl < owner.controlCredit ? this.#control.peek() : undefined
    if (control !== undefined && (data === undefined || control.seq < data.seq)) return this.#control.shift()
    return data === undefined ? undefined : this.#data.shift()
  }

  /** The owner holds it now. */
  hold(message: Message): void {
    this.#held.add(message)
    if (message.control) this.#heldControl += 1
    message.place = 'held'
    this.holdingChanged = true
  }

  /** The owner holds it, from now on as if it had just been handed out. */
  holdLast(message: Message): void {
    this.#held.delete(message)
    this.#held.add(message)
  }

  /** It may be delivered (again). */
  free(message: Message): void {
    this.#letGo(message)
    message.place = 'ready'
    this.#queue(message).push(message)
  }

  /** It stays, but is not delivered until it is freed; its place is kept. */
  withhold(message: Message, place: 'withheld' | 'delayed' = 'withheld'): void {
    this.#letGo(message)
    message.place = place
  }

  /** Its payload is not needed in memory any more. */
  uncache(message: Message): void {
    if (message.body === undefined) return
    message.body = undefined
    this.#volume.cached -= message.size
  }

  /** It is not in the mailbox any more. */
  remove(message: Message): void {
    this.#letGo(message)
    this.uncache(message)
    message.place = 'gone'
    this.messages.delete(message.id)
    this.mortal.delete(message)
    this.#volume.messages -= 1
    this.#weigh(-message.size)
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes
    this.#volume.bytes += bytes
  }

  #letGo(message: Message): void {
    if (this.#held.delete(message) && message.control) this.#heldControl -= 1
  }

  #queue(message: Message): ReadyQueue {
    return message.control ? this.#control : this.#data
  }
}
