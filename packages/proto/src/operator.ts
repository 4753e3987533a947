/**
 * The operators' side of a bus: what is in its mailboxes, and what became dead letters.
 *
 * Implementations: over WebSocket (`connectOperator`) and in memory (`MemoryBus.operator`) in `@greenroom/bus`, inside the
 * broker's process (`Broker.operator`) in `@greenroom/broker`. No client of a bus can do any of this: it is a person's
 * authority, not a program's.
 */
import type { Lifetime } from './header.ts'

/** An open mailbox, as it is now. */
export interface MailboxState {
  /** Its address. */
  readonly address: string
  /** How long it lives; absent as long as nobody attached to it. */
  readonly lifetime?: Lifetime
  /** Whose it is now, or was last when it is of lifetime `incarnation`. */
  readonly incarnation?: string
  /** Whether its consumer is connected (`attached`), has lost its connection (`suspect`), or it has none (`free`). */
  readonly state: 'attached' | 'suspect' | 'free'
  /** Messages in it, held ones included. */
  readonly messages: number
  /** Messages that its consumer holds. */
  readonly held: number
  /** Payload bytes of its messages. */
  readonly bytes: number
  /** When its oldest message was stored, in milliseconds since the epoch; absent when it is empty. */
  readonly oldestAt?: number
  /** Dead letters that wait for a person. */
  readonly deadLetters: number
}

/** Why a message came back. */
export interface DeadLetterReturn {
  /** When, in milliseconds since the epoch. */
  readonly at: number
  /**
   * Its consumer gave it back, neither settled nor touched it within its visibility timeout, is gone, or was replaced; or its
   * payload was found damaged before it was delivered.
   */
  readonly why: 'nack' | 'timeout' | 'gone' | 'replaced' | 'damaged'
  /** The incarnation that had it, or was to get it. */
  readonly by: string
}

/**
 * A message of a named mailbox that came back too often, or one of any mailbox whose payload is damaged: that is the last
 * return of its history. It stays until a person requeues or purges it; a damaged one can only be purged.
 */
export interface DeadLetter {
  /** The mailbox that it was in. */
  readonly address: string
  /** Its id. */
  readonly id: string
  /** What the payload is. */
  readonly kind: string
  /** Whether it counts against the control credit. = false */
  readonly control?: boolean
  /** Who sent it. */
  readonly from: string
  /** Which life of the sender; absent for one that never attached. */
  readonly fromIncarnation?: string
  /** Its place in the mailbox. */
  readonly seq: number
  /** When it was stored, in milliseconds since the epoch. */
  readonly at: number
  /** Bytes of its payload. */
  readonly size: number
  /** How often it was delivered. */
  readonly attempts: number
  /** Its last returns, at most 16, the oldest first. */
  readonly history: readonly DeadLetterReturn[]
}

/** A dead letter and what it says. */
export interface ShownLetter {
  /** Its facts. */
  readonly letter: DeadLetter
  /** The bytes as they were sent. */
  readonly payload: Uint8Array
}

/** Which dead letter. */
export interface LetterAddress {
  /** The mailbox that it was in. */
  readonly address: string
  /** Its id. */
  readonly id: string
}

/** A backup that is on the disk. */
export interface BackupReceipt {
  /** Where, on the broker's machine. */
  readonly path: string
  /** Bytes of the file. */
  readonly bytes: number
}

/** What an operator may do. Every call throws a GreenroomError `FORBIDDEN` when it was not given to this connection. */
export interface Operator {
  /** Every open mailbox, in the order of the addresses. */
  mailboxes(): Promise<readonly MailboxState[]>
  /**
   * Deletes a mailbox that nobody has, with all that is in it: its unclaimed runs are withdrawn, everything else returns to
   * its sender as `undeliverable`. Its ids stay remembered, its dead letters stay; the next message makes it anew.
   *
   * @throws GreenroomError `UNKNOWN_MAILBOX`, `MAILBOX_IN_USE` when somebody has it, or it is of one incarnation
   */
  deleteMailbox(address: string): Promise<void>
  /**
   * The dead letters of one mailbox, or of all, without their payloads.
   *
   * @param address - the mailbox. = all
   */
  deadLetters(address?: string): Promise<readonly DeadLetter[]>
  /**
   * One dead letter with its payload.
   *
   * @throws GreenroomError `UNKNOWN_LETTER`, `PAYLOAD_DAMAGED`: its facts are in the list
   */
  deadLetter(letter: LetterAddress): Promise<ShownLetter>
  /**
   * Puts a dead letter back into its mailbox, behind what waits there, as if it had just come.
   *
   * @throws GreenroomError `UNKNOWN_LETTER`, `PAYLOAD_DAMAGED`, `MAILBOX_FULL`, `MAILBOX_CLOSED`, `STORAGE_FULL`: then it
   * stays where it is
   */
  requeue(letter: LetterAddress): Promise<void>
  /**
   * Deletes one dead letter, or all of a mailbox. Its id stays remembered: sent again it is a duplicate.
   *
   * @returns how many there were
   * @throws GreenroomError `UNKNOWN_LETTER` when there is none
   */
  purge(letters: { readonly address: string; readonly id?: string }): Promise<number>
  /**
   * Writes a consistent copy of all that is on the disk now, on the broker's machine and with its rights, while it works
   * on. It appears when it is complete, and replaces an older backup, but nothing else.
   *
   * @param path - the file, absolute, outside of every data folder
   * @throws GreenroomError `BAD_OPTIONS`, `STORE_DAMAGED`, `IO_FAILED`, `MISSING_FEATURE` when it keeps nothing on a disk
   */
  backup(path: string): Promise<BackupReceipt>
}
