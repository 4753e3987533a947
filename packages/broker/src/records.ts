/**
 * Records: what stands in the store, and the way there and back.
 *
 * ```text
 * mailbox     address          an open one: whose it is, the next sequence number, when it was written
 * closed      address          one that is closed for ever: whose it was, since when; apart, so that a start need not
 *                              look at all that is over. Or one that is being deleted: only until nothing is in it
 * message     address/seq      facts + payload; never changed. It counts unless a receipt of its id exists (R1)
 * delivery    address/seq      only for messages that came back: attempt, history, not before
 * holding     address          named mailboxes: which messages their consumer holds; written along, never waited for
 * receipt     address/id       what became of a message that is not there any more, or a tombstone
 * gone        address/incarnation   it may not come back, to a mailbox that is open
 * dead        address/id       dead letter: facts, history + payload; a damaged one, too
 * life        restored         which backup the data was, and when a broker first started on it
 * ```
 *
 * - *R1* A commit whose fate is unknown may leave a message that nobody was promised. It is repaired by the next commit,
 *   and harmless until then: a receipt of its id, or a later message of its id, overrules it.
 */
import { parseClientHeader, type DeadLetter, type Presence } from '@greenroom/proto'
import type { JsonObject, JsonValue, Schema, StoredRecord } from '@greenroom/store'
import type { Message, MessageFacts, Return } from './message.ts'

/** The collections of a broker's store, for `openStore`. */
export const brokerSchema: Schema = {
  version: 1,
  collections: ['mailbox', 'closed', 'message', 'delivery', 'holding', 'receipt', 'gone', 'dead', 'life'],
}

/** What is stored of a mailbox. */
export interface MailboxRecord {
  readonly lifetime: 'incarnation' | 'named' | undefined
  /** Whose it is now. */
  readonly incarnation: string | undefined
  readonly presence: Presence | undefined
  /** Since when it is closed. */
  readonly closedAt: number | undefined
  /** Whether it is closed only until it is cleared, to be forgotten then. */
  readonly isLeaving: boolean
  /** Larger than every sequence number that was given. */
  readonly next: number
}

/**
 * What became of an id. `revoked` is a tombstone: it was refused before it came. `lost` is what a restored backup does not
 * know (Z2, Z3): it may have been claimed.
 */
export type Fate = 'acked' | 'claimed' | 'withdrawn' | 'revoked' | 'returned' | 'expired' | 'dead' | 'lost'

/** The receipt of an id. */
export interface ReceiptRecord {
  readonly state: Fate
  readonly at: number
  readonly seq: number | undefined
  readonly kind: string | undefined
  readonly digest: string | undefined
  /** Who claimed it: an incarnation. */
  readonly by: string | undefined
  /** Which delivery it was; of a claim. */
  readonly attempt: number
}

/** A message's or dead letter's key: sequence numbers in the order of their digits. */
export function messageKey(address: string, seq: number): string {
  return `${address}/${String(seq).padStart(16, '0')}`
}

/** The parts of a key with one slash. */
export function splitKey(key: string): readonly [address: string, rest: string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash), key.slice(slash + 1)]
}

const text = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '')
const textOr = (value: JsonValue | undefined): string | undefined => (typeof value === 'string' ? value : undefined)
const number = (value: JsonValue | undefined): number => (typeof value === 'number' ? value : 0)
const numberOr = (value: JsonValue | undefined): number | undefined => (typeof value === 'number' ? value : undefined)
const list = (value: JsonValue | undefined): readonly JsonValue[] => (isList(value) ? value : [])

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !isList(value)
}

/**
 * Encodes an open mailbox.
 *
 * @param at - now
 */
export function mailboxMeta({ lifetime, incarnation, presence, next }: MailboxRecord, at: number): JsonObject {
  const words = presence === undefined ? undefined : JSON.stringify(presence)
  return { lifetime, incarnation, next, at, presence: words }
}

/** Encodes a closed mailbox: no number is given in it any more. */
export function closedMeta(incarnation: string | undefined, at: number, isLeaving: boolean): JsonObject {
  return { incarnation, at, isLeaving: isLeaving ? true : undefined }
}

/** Decodes a closed mailbox. */
export function closedRecord({ meta }: StoredRecord): MailboxRecord {
  const incarnation = textOr(meta.incarnation)
  const isLeaving = meta.isLeaving === true
  return { lifetime: 'incarnation', incarnation, presence: undefined, closedAt: number(meta.at), isLeaving, next: 1 }
}

/** Decodes an open mailbox. */
export function mailboxRecord({ meta }: Pick<StoredRecord, 'meta'>): MailboxRecord {
  const { lifetime } = meta
  return {
    lifetime: lifetime === 'incarnation' || lifetime === 'named' ? lifetime : undefined,
    incarnation: textOr(meta.incarnation),
    presence: typeof meta.presence === 'string' ? presenceOf(meta.presence) : undefined,
    closedAt: undefined,
    isLeaving: false,
    next: number(meta.next),
  }
}

function presenceOf(json: string): Presence | undefined {
  const presence: unknown = JSON.parse(json)
  const header = parseClientHeader({ t: 'announce', presence })
  return header.t === 'announce' ? header.presence : undefined
}

/** Encodes a message's facts. */
export function messageMeta(facts: MessageFacts): JsonObject {
  const { id, kind, control, from, fromIncarnation, at, digest, size, expiresAt } = facts
  return { id, kind, control: control ? true : undefined, from, fromIncarnation, at, digest, size, expiresAt }
}

/** Decodes a message's facts. */
export function messageFacts({ meta }: StoredRecord): MessageFacts {
  return {
    id: text(meta.id),
    kind: text(meta.kind),
    control: meta.control === true,
    from: text(meta.from),
    fromIncarnation: textOr(meta.fromIncarnation),
    at: number(meta.at),
    digest: text(meta.digest),
    size: number(meta.size),
    expiresAt: numberOr(meta.expiresAt),
  }
}

/** What is stored of a message that came back. */
export interface DeliveryRecord {
  readonly attempt: number
  readonly notBefore: number
  readonly history: readonly Return[]
}

/** Encodes what a message will be after it came back. */
export function deliveryMeta({ attempt, notBefore, history }: DeliveryRecord): JsonObject {
  return { attempt, notBefore, history: historyMeta(history) }
}

/** Encodes a history. */
export function historyMeta(history: readonly Return[]): JsonValue {
  return history.map(({ at, why, by }) => ({ at, why, by }))
}

/** Decodes a delivery. */
export function deliveryRecord({ meta }: StoredRecord): DeliveryRecord {
  return { attempt: number(meta.attempt), notBefore: number(meta.notBefore), history: historyOf(meta.history) }
}

/** Decodes a dead letter, without its payload. */
export function deadLetterOf(record: StoredRecord): DeadLetter {
  const { id, kind, control, from, fromIncarnation, at, size } = messageFacts(record)
  const [address] = splitKey(record.key)
  const { seq, attempts, history } = record.meta
  return {
    address,
    id,
    kind,
    ...(control && { control }),
    from,
    ...(fromIncarnation !== undefined && { fromIncarnation }),
    seq: number(seq),
    at,
    size,
    attempts: number(attempts),
    history: historyOf(history),
  }
}

/** Decodes a history. */
function historyOf(value: JsonValue | undefined): readonly Return[] {
  return list(value)
    .filter(isObject)
    .map(({ at, why, by }) => ({
      at: number(at),
      why: why === 'timeout' || why === 'gone' || why === 'replaced' || why === 'damaged' ? why : 'nack',
      by: text(by),
    }))
}

/** Decodes which messages a consumer holds. */
export function holdingRecord({ meta }: StoredRecord): {
  readonly incarnation: string
  readonly seqs: ReadonlySet<number>
} {
  return { incarnation: text(meta.incarnation), seqs: new Set(list(meta.seqs).map(number)) }
}

/** Encodes what became of a message. */
export function receiptMeta(state: Fate, at: number, message?: Message, by?: string): JsonObject {
  const attempt = state === 'claimed' && message !== undefined && message.attempt > 1 ? message.attempt : undefined
  return { state, at, seq: message?.seq, kind: message?.kind, digest: message?.digest, by, attempt }
}

const fates: ReadonlySet<string> = new Set<Fate>([
  'acked',
  'claimed',
  'withdrawn',
  'revoked',
  'returned',
  'expired',
  'dead',
  'lost',
])

function isFate(value: JsonValue | undefined): value is Fate {
  return typeof value === 'string' && fates.has(value)
}

/** Decodes a receipt. */
export function receiptRecord({ meta }: StoredRecord): ReceiptRecord {
  return {
    state: isFate(meta.state) ? meta.state : 'acked',
    at: number(meta.at),
    seq: numberOr(meta.seq),
    kind: textOr(meta.kind),
    digest: textOr(meta.digest),
    by: textOr(meta.by),
    attempt: numberOr(meta.attempt) ?? 1,
  }
}

/** On which backup a broker began a new life, and when. */
export interface LifeRecord {
  readonly backup: string
  readonly at: number
}

/** Encodes a life. */
export function lifeMeta({ backup, at }: LifeRecord): JsonObject {
  return { backup, at }
}

/** Decodes a life. */
export function lifeRecord({ meta }: StoredRecord): LifeRecord {
  return { backup: text(meta.backup), at: number(meta.at) }
}
