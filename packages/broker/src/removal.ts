/** Plans for messages that leave their mailbox, or come back to it. */
import { encodePayload } from '@greenroom/proto'
import type { JsonObject, Operation, StoredRecord } from '@greenroom/store'
import { hash } from 'node:crypto'
import type { Mailbox } from './mailbox.ts'
import { returned, type Message, type MessageFacts, type Return } from './message.ts'
import { join, type Plan } from './plan.ts'
import { deliveryMeta, historyMeta, mailboxMeta, messageKey, messageMeta, receiptMeta, type Fate } from './records.ts'

/** The kind of a message that tells its sender that another could not be delivered. */
export const undeliverable = 'undeliverable'

/** The digest that a message is stored with. */
export function digestOf(payload: Uint8Array): string {
  return hash('sha256', payload, 'base64url')
}

/** Whether a payload is the one that was stored. */
export function isWhole({ size, digest }: Pick<MessageFacts, 'size' | 'digest'>, payload: Uint8Array): boolean {
  return payload.length === size && digestOf(payload) === digest
}

/** The operations that take a message out and say what became of it. */
function removalOperations(mailbox: Mailbox, message: Message, at: number, receipt: JsonObject): Operation[] {
  const { address } = mailbox
  const key = messageKey(address, message.seq)
  const operations: Operation[] = [
    { delete: 'message', key },
    { put: 'receipt', key: `${address}/${message.id}`, meta: receipt },
  ]
  if (message.history.length > 0) operations.push({ delete: 'delivery', key })
  // With the last message its number would be forgotten, and be given again after a restart.
  if (message.seq === mailbox.last && !mailbox.isClosed) operations.push(mailboxOperation(mailbox, at))
  return operations
}

/**
 * Writes an open mailbox as it is, its next sequence number included.
 *
 * @param at - now: who has not been written for long, and is not in memory, is forgotten
 */
export function mailboxOperation(mailbox: Mailbox, at: number, change: Partial<Mailbox['record']> = {}): Operation {
  return {
    put: 'mailbox',
    key: mailbox.address,
    meta: mailboxMeta({ ...mailbox.record, ...change, next: mailbox.next }, at),
  }
}

/**
 * Takes a message out of its mailbox for good.
 *
 * @param by - who claimed it
 */
export function remove(mailbox: Mailbox, message: Message, state: Fate, at: number, by?: string): Plan {
  return {
    operations: removalOperations(mailbox, message, at, receiptMeta(state, at, message, by)),
    apply: () => mailbox.remove(message),
  }
}

/** A message as it enters a mailbox. */
export interface Arrival extends Omit<MessageFacts, 'digest' | 'size'> {
  readonly payload: Uint8Array
  /** Of the payload, when it is known already. */
  readonly digest?: string
}

/** A plan that puts a message into a mailbox. */
export interface Arriving extends Plan {
  readonly message: Message
}

/** Puts a message into a mailbox. */
export function arrive(mailbox: Mailbox, { payload, ...rest }: Arrival): Arriving {
  const facts: MessageFacts = { ...rest, digest: rest.digest ?? digestOf(payload), size: payload.length }
  const message: Message = {
    ...facts,
    seq: mailbox.reserve(payload.length),
    place: 'ready',
    attempt: 1,
    history: [],
    notBefore: 0,
    dueAt: 0,
    body: payload,
  }
  const put: Operation = {
    put: 'message',
    key: messageKey(mailbox.address, message.seq),
    meta: messageMeta(facts),
    body: payload,
  }
  const isNew = !mailbox.recorded
  return {
    message,
    operations: isNew ? [mailboxOperation(mailbox, facts.at), put] : [put],
    apply() {
      mailbox.recorded = true
      mailbox.add(message)
    },
    undo: () => mailbox.release(payload.length),
  }
}

/** The id of the notice that a message was not delivered: the same for the same message, so that telling twice is telling once. */
export function noticeId({ address }: Mailbox, { seq, id }: Message): string {
  return `u-${digestOf(new TextEncoder().encode(`${address}/${seq}/${id}`))}`
}

/**
 * Tells the sender of a message that it was not delivered.
 *
 * @param mailbox - where it did not arrive
 * @param sender - the sender's mailbox
 */
export function notice(mailbox: Mailbox, sender: Mailbox, message: Message, at: number): Arriving {
  const { address, record } = mailbox
  return arrive(sender, {
    id: noticeId(mailbox, message),
    kind: undeliverable,
    control: true,
    from: address,
    fromIncarnation: record.incarnation,
    at,
    expiresAt: undefined,
    payload: encodePayload({ to: address, id: message.id, kind: message.kind }),
  })
}

/**
 * A message comes back: it may be delivered again, with one attempt more.
 *
 * @param notBefore - when, in milliseconds since the epoch
 * @param wait - what to do with a message that is to wait until then
 */
export function comeBack(
  mailbox: Mailbox,
  message: Message,
  reason: Return,
  notBefore: number,
  wait: (message: Message) => void,
): Plan {
  const after = { ...returned(message, reason), notBefore }
  return {
    operations: [{ put: 'delivery', key: messageKey(mailbox.address, message.seq), meta: deliveryMeta(after) }],
    apply() {
      Object.assign(message, after)
      if (notBefore > reason.at) wait(message)
      else mailbox.free(message)
    },
  }
}

/**
 * A message came back too often, or is damaged: it becomes a dead letter, with its history and what there is of its
 * payload.
 *
 * @param stored - the message on the disk; when there is none, a commit of unknown fate did bury it
 */
export function bury(
  mailbox: Mailbox,
  message: Message,
  reason: Return,
  stored: Pick<StoredRecord, 'body'> | undefined,
): Plan {
  const { history } = returned(message, reason)
  // A damaged one was not delivered this time.
  const attempts = reason.why === 'damaged' ? message.attempt - 1 : message.attempt
  const meta = { ...messageMeta(message), seq: message.seq, attempts, history: historyMeta(history) }
  const dead: Operation = {
    put: 'dead',
    key: `${mailbox.address}/${message.id}`,
    meta,
    ...(stored?.body && { body: stored.body }),
  }
  return join([
    remove(mailbox, message, 'dead', reason.at),
    { operations: stored === undefined ? [] : [dead], apply() {} },
  ])
}
