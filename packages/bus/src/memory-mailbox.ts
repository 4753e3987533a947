/**
 * One mailbox in memory: rules D1 to D5, D9, D10 and D12 of PROTOCOL.md over Maps and two queues.
 *
 * ```text
 *            deliver            ack ─────► acked
 * ready ───────────────► held ─ claim ───► claimed
 *   ▲  ◄ nack, gone, time ┘ ── too often ──► dead
 *   └── send      revoke, close: ready or held ──► withdrawn · time to live: ready ──► expired
 * ```
 */
import { GreenroomError } from '@greenroom/proto'
import type { DeadLetter, DeadLetterReturn, Outgoing, Receipt, Revocation } from '@greenroom/proto'
import { createHash } from 'node:crypto'

/** Who sends. */
export interface Sender {
  readonly address: string
  readonly incarnation: string | undefined
}

/** A message that is in the mailbox. */
export interface Stored {
  readonly message: Outgoing
  readonly seq: number
  readonly sender: Sender
  readonly at: number
  readonly expiresAt: number
  attempt: number
  /** Its last returns. */
  history: readonly DeadLetterReturn[]
  /** Whether the present connection's handler has seen it; what was held but not seen is delivered again. */
  seen: boolean
  /** When its visibility timeout is over, while it is held by somebody who asked for one. */
  dueAt: number
}

/** One delivery of a message. */
export interface Delivered {
  readonly id: string
  readonly attempt: number
}

/** What is remembered of an id (D9). */
interface Known {
  readonly seq: number
  /** Of kind and payload; empty for an id that was revoked before it came. */
  readonly digest: string
  fate: 'present' | 'acked' | 'claimed' | 'withdrawn' | 'expired' | 'dead'
  claim: { readonly by: string; readonly attempt: number } | undefined
  /** When its fate was decided. */
  since: number
}

/** How much a mailbox holds and remembers. */
export interface MailboxLimits {
  readonly messages: number
  readonly bytes: number
  readonly totalMessages: number
  readonly totalBytes: number
  readonly dedupeWindowMs: number
  readonly maxAttempts: number
}

/** How much is in all mailboxes. */
export interface Volume {
  messages: number
  bytes: number
}

/** How many returns of a message are remembered. */
const historyLength = 16

type Lane = 'control' | 'data'

/** One mailbox. The times that it is given are monotonic, in milliseconds. */
export class MemoryMailbox {
  readonly address: string
  /** Set by the first attach. */
  lifetime: 'incarnation' | 'named' | undefined
  /** The one incarnation of a mailbox of lifetime `incarnation`. */
  owner: string | undefined
  closed = false
  /** Who was delivered or touched last stands last. */
  readonly held = new Map<string, Stored>()
  /** Those that came back too often, with the payload of each. */
  readonly dead = new Map<string, { readonly letter: DeadLetter; readonly message: Outgoing }>()
  /** Whether somebody attached or sent to it, and it was not deleted since. */
  isThere = false
  /** When its consumer last had it, or its last message was stored. */
  usedAt = 0
  readonly #limits: MailboxLimits
  readonly #known = new Map<string, Known>()
  readonly #ready: Record<Lane, Stored[]> = { control: [], data: [] }
  readonly #delayed = new Set<Stored>()
  /** Those with a time to live. */
  readonly #mortal = new Set<Stored>()
  readonly #volume: Volume
  #bytes = 0
  #forgetAt = 0
  #lastSeq = 0

  /** @param volume - counted up and down along */
  constructor(address: string, limits: MailboxLimits, volume: Volume) {
    this.address = address
    this.#limits = limits
    this.#volume = volume
  }

  /** Payload bytes of its messages. */
  get bytes(): number {
    return this.#bytes
  }

  /** When its oldest message was stored, in milliseconds since the epoch. */
  get oldestAt(): number | undefined {
    const all = [...this.#all()]
    return all.length === 0 ? undefined : Math.min(...all.map(({ at }) => at))
  }

  /** How many messages are in it, held ones included. */
  get size(): number {
    return this.#ready.control.length + this.#ready.data.length + this.#delayed.size + this.held.size
  }

  /** D1, D2. What is stored `always` takes no quota: a notice is no one's to send again. */
  store(
    message: Outgoing,
    sender: Sender,
    at: { readonly wall: number; readonly now: number },
    always = false,
  ): Receipt {
    const { wall, now } = at
    this.#forget(now)
    this.#expire(now)
    const digest = createHash('sha256').update(`${message.kind}\n`).update(message.payload).digest('base64')
    const known = this.#known.get(message.id)
    if (known !== undefined && known.fate !== 'withdrawn') {
      if (known.digest !== digest) throw new GreenroomError('ID_CONFLICT')
      return { seq: known.seq, duplicate: true }
    }
    if (this.closed) throw new GreenroomError('MAILBOX_CLOSED')
    if (known !== undefined) throw new GreenroomError('REVOKED')
    if (!always) this.checkRoom(message.payload.length)
    const seq = this.#nextSeq(now)
    this.#known.set(message.id, { seq, digest, fate: 'present', claim: undefined, since: now })
    const expiresAt = message.ttlMs === undefined ? Number.POSITIVE_INFINITY : now + message.ttlMs
    const copy = { ...message, payload: message.payload.slice() }
    const stored: Stored = { message: copy, seq, sender, at: wall, expiresAt, ...fresh() }
    if (message.ttlMs !== undefined) this.#mortal.add(stored)
    this.#arrive(stored)
    return { seq, duplicate: false }
  }

  /** @throws GreenroomError `MAILBOX_FULL` */
  checkRoom(size: number): void {
    const { messages, bytes, totalMessages, totalBytes } = this.#limits
    if (this.size >= messages || this.#bytes + size > bytes)
      throw new GreenroomError('MAILBOX_FULL', `mailbox ${this.address} holds ${this.size} messages`)
    if (this.#volume.messages >= totalMessages || this.#volume.bytes + size > totalBytes)
      throw new GreenroomError('MAILBOX_FULL', `the bus holds ${this.#volume.messages} messages`)
  }

  #nextSeq(now: number): number {
    this.isThere = true
    this.usedAt = now
    this.#lastSeq += 1
    return this.#lastSeq
  }

  #arrive(stored: Stored): void {
    this.#weigh(1, stored)
    this.#enqueue(stored)
  }

  #weigh(messages: 1 | -1, { message }: Stored): void {
    const bytes = messages * message.payload.length
    this.#bytes += bytes
    this.#volume.messages += messages
    this.#volume.bytes += bytes
  }

  /** D3: takes the next message that the credit allows, and holds it. */
  next(credit: Readonly<Record<Lane, number>>, now: number): Stored | undefined {
    this.#expire(now)
    const used = { control: 0, data: 0 }
    for (const stored of this.held.values()) used[laneOf(stored)] += 1
    const [first] = (['control', 'data'] as const)
      .filter((lane) => used[lane] < credit[lane])
      .flatMap((lane) => this.#ready[lane].slice(0, 1))
      .toSorted((a, b) => a.seq - b.seq)
    if (first === undefined) return undefined
    this.#ready[laneOf(first)].shift()
    this.held.set(first.message.id, first)
    return first
  }

  /** D4. What is not in the mailbox any more, and no dead letter, was removed before. */
  ack(delivered: Delivered, now: number): void {
    const stored = this.#heldAs(delivered)
    const fate = this.#known.get(delivered.id)?.fate
    if (stored !== undefined) this.#remove(stored, 'acked', now)
    else if (fate === 'present' || fate === 'dead') throw new GreenroomError('NOT_HOLDER')
  }

  /** D4 */
  claim(delivered: Delivered, by: string, now: number): void {
    const { id, attempt } = delivered
    const known = this.#known.get(id)
    if (known?.fate === 'claimed' && known.claim?.by === by && known.claim.attempt === attempt) return
    if (known?.fate === 'withdrawn') throw new GreenroomError('REVOKED')
    const stored = this.#heldAs(delivered)
    if (known === undefined || stored === undefined) throw new GreenroomError('NOT_HOLDER')
    known.claim = { by, attempt }
    this.#remove(stored, 'claimed', now)
  }

  /** D12 */
  touch(delivered: Delivered, dueAt: number): void {
    const stored = this.#heldAs(delivered)
    if (stored === undefined) throw new GreenroomError('NOT_HOLDER')
    stored.dueAt = dueAt
    this.held.delete(delivered.id)
    this.held.set(delivered.id, stored)
  }

  /** D12: what timed out is held by nobody, or as another delivery. */
  #heldAs({ id, attempt }: Delivered): Stored | undefined {
    const stored = this.held.get(id)
    return stored?.attempt === attempt ? stored : undefined
  }

  /** D4: as {@link MemoryMailbox.giveBack}, by who may not hold it any more. */
  nack(delivered: Delivered, why: DeadLetterReturn, now: number, delayed: boolean): Stored | undefined {
    if (this.#heldAs(delivered) !== undefined) return this.giveBack(delivered.id, why, now, delayed)
    if (this.#known.get(delivered.id)?.fate === 'present') throw new GreenroomError('NOT_HOLDER')
    return undefined
  }

  /** D4: what a holder gives back, later when `delayed`; then {@link MemoryMailbox.ripen} makes it ready. */
  giveBack(id: string, why: DeadLetterReturn, now: number, delayed = false): Stored | undefined {
    const stored = this.held.get(id)
    if (stored === undefined) return undefined
    stored.history = [...stored.history, why].slice(-historyLength)
    if (this.lifetime === 'named' && stored.attempt >= this.#limits.maxAttempts) {
      this.#bury(stored, now)
      return undefined
    }
    stored.attempt += 1
    this.#release(stored, delayed)
    return stored
  }

  /** What the holder never saw comes again, as if it had not been delivered (D6). */
  redeliver(stored: Stored): void {
    this.#release(stored, false)
  }

  #release(stored: Stored, delayed: boolean): void {
    this.held.delete(stored.message.id)
    stored.seen = false
    if (delayed) this.#delayed.add(stored)
    else this.#enqueue(stored)
  }

  #bury(stored: Stored, now: number): void {
    const { message, sender, seq, at, attempt, history } = stored
    this.#remove(stored, 'dead', now)
    const letter: DeadLetter = {
      address: this.address,
      id: message.id,
      kind: message.kind,
      ...(message.control === true && { control: true }),
      from: sender.address,
      ...(sender.incarnation !== undefined && { fromIncarnation: sender.incarnation }),
      seq,
      at,
      size: message.payload.length,
      attempts: attempt,
      history,
    }
    this.dead.set(message.id, { letter, message })
  }

  /** Puts a dead letter back, as if it had just come. */
  requeue(id: string, wall: number, now: number): void {
    const dead = this.dead.get(id)
    const known = this.#known.get(id)
    if (dead === undefined || known === undefined) return
    if (this.closed) throw new GreenroomError('MAILBOX_CLOSED')
    const { message, letter } = dead
    this.checkRoom(message.payload.length)
    const { from: address, fromIncarnation: incarnation } = letter
    const seq = this.#nextSeq(now)
    const expiresAt = Number.POSITIVE_INFINITY
    this.dead.delete(id)
    this.#known.delete(id)
    this.#known.set(id, { ...known, seq, fate: 'present', since: now })
    this.#arrive({ message, seq, sender: { address, incarnation }, at: wall, expiresAt, ...fresh() })
  }

  /** The delay of a nack is over. */
  ripen(stored: Stored): void {
    if (this.#delayed.delete(stored)) this.#enqueue(stored)
  }

  /** D5 */
  revoke(id: string, now: number): Revocation {
    this.#forget(now)
    this.#expire(now)
    const known = this.#known.get(id)
    if (known === undefined) {
      this.#known.set(id, { seq: 0, digest: '', fate: 'withdrawn', claim: undefined, since: now })
      return this.closed ? 'withdrawn' : 'unknown'
    }
    const stored = this.#find(id)
    if (stored !== undefined) this.#remove(stored, 'withdrawn', now)
    if (this.dead.delete(id)) known.fate = 'withdrawn'
    return known.fate === 'acked' || known.fate === 'claimed' ? 'claimed' : 'withdrawn'
  }

  /** D8: closes it; what is returned goes back to its senders. */
  close(now: number): Stored[] {
    this.closed = true
    return this.clear(now)
  }

  /** Takes everything out; what is returned goes back to its senders. */
  clear(now: number): Stored[] {
    this.#expire(now)
    const left = [...this.#all()].toSorted((a, b) => a.seq - b.seq)
    for (const stored of left) this.#remove(stored, 'withdrawn', now)
    return left.filter(({ message }) => message.kind !== 'run' && message.kind !== 'undeliverable')
  }

  /** Who holds a message has it, however old it is. */
  #expire(now: number): void {
    for (const stored of this.#mortal)
      if (stored.expiresAt <= now && !this.held.has(stored.message.id)) this.#remove(stored, 'expired', now)
  }

  #enqueue(stored: Stored): void {
    const queue = this.#ready[laneOf(stored)]
    const at = queue.findLastIndex((other) => other.seq < stored.seq) + 1
    queue.splice(at, 0, stored)
  }

  *#all(): Iterable<Stored> {
    yield* this.held.values()
    yield* this.#delayed
    yield* this.#ready.control
    yield* this.#ready.data
  }

  #find(id: string): Stored | undefined {
    for (const stored of this.#all()) if (stored.message.id === id) return stored
    return undefined
  }

  #remove(stored: Stored, fate: Known['fate'], now: number): void {
    if (!this.held.delete(stored.message.id) && !this.#delayed.delete(stored)) {
      const queue = this.#ready[laneOf(stored)]
      queue.splice(queue.indexOf(stored), 1)
    }
    this.#mortal.delete(stored)
    this.#weigh(-1, stored)
    const known = this.#known.get(stored.message.id)
    if (known === undefined) return
    // Set anew, so that the oldest decision stands first.
    this.#known.delete(stored.message.id)
    this.#known.set(stored.message.id, Object.assign(known, { fate, since: now }))
  }

  /** Forgets what is over; says whether nothing is left to be remembered. */
  tidy(now: number): boolean {
    this.#forget(now)
    return !this.isThere && this.#known.size === 0
  }

  /** D9: nothing that is present or within the window is forgotten. Looked through now and then, not at every call. */
  #forget(now: number): void {
    if (now < this.#forgetAt) return
    this.#forgetAt = now + this.#limits.dedupeWindowMs / 16
    for (const [id, known] of this.#known) {
      if (known.fate === 'present' || this.dead.has(id)) continue
      if (now - known.since < this.#limits.dedupeWindowMs) return
      this.#known.delete(id)
    }
  }
}

/** What is so of a message that was never delivered. */
function fresh(): Pick<Stored, 'attempt' | 'history' | 'seen' | 'dueAt'> {
  return { attempt: 1, history: [], seen: false, dueAt: 0 }
}

function laneOf(stored: Stored): Lane {
  return stored.message.control === true ? 'control' : 'data'
}
