/**
 * Recovery: from what is on the disk to mailboxes in memory, before anybody is let in.
 *
 * Only mailboxes that somebody has or something is in come into memory, and what is over is not even looked at. Payloads
 * are not read. A message that a commit of unknown fate left behind (R1) is cleared away here at the latest.
 */
import type { Inspection, Operation, ScanRange, Store, StoredRecord } from '@greenroom/store'
import type { CoreParts, Courier } from './courier.ts'
import type { Mailbox } from './mailbox.ts'
import type { Message } from './message.ts'
import { beginNewLife, lifeOf } from './new-life.ts'
import type { Ownership } from './ownership.ts'
import {
  deliveryRecord,
  holdingRecord,
  mailboxRecord,
  messageFacts,
  messageKey,
  splitKey,
  type DeliveryRecord,
} from './records.ts'

/** How many records are read at a time. */
const page = 1_000

/** All records of a collection, without bodies, a page in memory at a time. */
export function* scanAll(
  store: Pick<Store, 'scan'> | Pick<Inspection, 'scan'>,
  collection: string,
  range: ScanRange = {},
): Generator<StoredRecord> {
  let after = range.after
  for (;;) {
    const records = store.scan(collection, {
      ...range,
      ...(after !== undefined && { after }),
      limit: page,
      bodies: false,
    })
    yield* records
    const last = records.at(-1)
    if (last === undefined || records.length < page) return
    after = last.key
  }
}

/** What recovery needs. */
export interface RecoveryParts extends CoreParts {
  readonly store: Store
  readonly courier: Courier
  readonly ownership: Ownership
  readonly dedupeWindowMs: number
}

/**
 * Loads everything.
 *
 * @throws StoreError when it cannot be read, or the clean-up not be committed
 */
export async function recover(parts: RecoveryParts): Promise<void> {
  const { store, registry, ownership, ledger, clock, dedupeWindowMs } = parts
  const life = lifeOf(store, clock)
  if (life !== undefined) ledger.unsureUntil = life.since + dedupeWindowMs
  await beginFilter(parts)
  for (const { key, ...stored } of scanAll(store, 'mailbox')) {
    const record = mailboxRecord(stored)
    if (record.incarnation !== undefined) registry.load(key, record)
  }
  const leftOver = loadMessages(parts)
  for (const mailbox of registry) {
    const { lifetime, incarnation, presence } = mailbox.record
    if (mailbox.isClosed && mailbox.messages.size > 0) void ownership.clear(mailbox)
    if (lifetime === undefined || incarnation === undefined || mailbox.isClosed) continue
    const nothing = { consumer: undefined, visibility: undefined, endGrace: undefined }
    const owner = { incarnation, presence, credit: 0, controlCredit: 0, ...nothing }
    mailbox.owner = owner
    loadHolding(store, mailbox)
    ownership.suspect(mailbox, owner)
  }
  if (leftOver.length > 0) await store.commit(leftOver)
  if (life?.isNew === true) await beginNewLife(parts, life.since)
}

/** Where there is no receipt yet, the filter knows it at once; else it has to wait for housekeeping's first walk. */
async function beginFilter({ store, ledger }: RecoveryParts): Promise<void> {
  ledger.receipts.beginWalk()
  // What an earlier broker on this store was still committing.
  await store.commit([])
  if (store.scan('receipt', { limit: 1, bodies: false }).length === 0) ledger.receipts.endWalk()
}

function loadMessages(parts: RecoveryParts): Operation[] {
  const { store, registry, courier, ledger, clock } = parts
  const deliveries = new Map<string, DeliveryRecord>()
  for (const record of scanAll(store, 'delivery')) deliveries.set(record.key, deliveryRecord(record))
  const leftOver: Operation[] = []
  for (const record of scanAll(store, 'message')) {
    const [address, digits] = splitKey(record.key)
    const facts = messageFacts(record)
    const mailbox = registry.open(address)
    const earlier = mailbox.messages.get(facts.id)
    const receipt = ledger.receipt(address, facts.id)
    const wasRequeued = receipt?.state === 'dead' && (receipt.seq ?? 0) < Number(digits)
    if (receipt !== undefined && !wasRequeued) {
      leftOver.push({ delete: 'message', key: record.key })
      continue
    }
    if (earlier !== undefined) {
      mailbox.remove(earlier)
      leftOver.push({ delete: 'message', key: messageKey(address, earlier.seq) })
    }
    const came = deliveries.get(record.key) ?? { attempt: 1, notBefore: 0, history: [] }
    deliveries.delete(record.key)
    const isDelayed = came.notBefore > clock.now()
    const message: Message = {
      ...facts,
      ...came,
      seq: Number(digits),
      place: isDelayed ? 'withheld' : 'ready',
      dueAt: 0,
      body: undefined,
    }
    mailbox.load(message)
    if (isDelayed) courier.wait(mailbox, message)
  }
  for (const key of deliveries.keys()) leftOver.push({ delete: 'delivery', key })
  return leftOver
}

function loadHolding(store: Store, mailbox: Mailbox): void {
  const record = store.get('holding', mailbox.address)
  const holding = record && holdingRecord(record)
  if (holding === undefined || holding.incarnation !== mailbox.record.incarnation) return
  for (const message of mailbox.messages.values())
    if (message.place === 'ready' && holding.seqs.has(message.seq)) mailbox.hold(message)
}
