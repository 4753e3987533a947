/**
 * One mailbox in memory: rules D1 to D5 and D9 of PROTOCOL.md over Maps and two queues.
 *
 * ```text
 *            deliver            ack ─────► acked
 * ready ───────────────► held ─ claim ───► claimed
 *   ▲  ◄─── nack, gone ───┘
 *   └── send      revoke, close: ready or held ──► withdrawn · time to live: ready ──► expired
 * ```
 */
import { GreenroomError } from '@greenroom/proto'
import type { Outgoing, Receipt, Revocation } from '@greenroom/proto'
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
  /** Whether the present connection's handler has seen it; what was held but not seen is delivered again. */
  seen: boolean
}

/** What is remembered of an id (D9). */
interface Known {
  readonly seq: number
  /** Of kind and payload; empty for an id that was revoked before it came. */
  readonly digest: string
  fate: 'present' | 'acked' | 'claimed' | 'withdrawn' | 'expired'
  claimer: string | undefined
  /** When its fate was decided. */
  since: number
}

/** How much a mailbox holds and remembers. */
export interface MailboxLimits {
  readonly messages: number
  readonly bytes: number
  readonly dedupeWindowMs: number
}

type Lane = 'control' | 'data'

/** One mailbox. The times that it is given are monotonic, in milliseconds. */
export class MemoryMailbox {
  readonly address: string
  /** Set by the first attach. */
  lifetime: 'incarnation' | 'named' | undefined
  /** The one incarnation of a mailbox of lifetime `incarnation`. */
  owner: string | undefined
  closed = false
  readonly held = new Map<string, Stored>()
  readonly #limits: MailboxLimits
  readonly #known = new Map<string, Known>()
  readonly #ready: Record<Lane, Stored[]> = { control: [], data: [] }
  readonly #delayed = new Set<Stored>()
  /** Those with a time to live. */
  readonly #mortal = new Set<Stored>()
  #bytes = 0
  #forgetAt = 0
  #lastSeq = 0

  constructor(address: string, limits: MailboxLimits) {
    this.address = address
    this.#limits = limits
  }

  /** How many messages are in it, held ones included. */
  get size(): number {
    return this.#ready.control.length + this.#ready.data.length + this.#delayed.size + this.held.size
  }

  /** D1, D2 */
  store(message: Outgoing, sender: Sender, wall: number, now: number): Receipt {
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
    const full = this.size >= this.#limits.messages || this.#bytes + message.payload.length > this.#limits.bytes
    if (full) throw new GreenroomError('MAILBOX_FULL')
    this.#lastSeq += 1
    const seq = this.#lastSeq
    this.#known.set(message.id, { seq, digest, fate: 'present', claimer: undefined, since: now })
    this.#bytes += message.payload.length
    const expiresAt = message.ttlMs === undefined ? Number.POSITIVE_INFINITY : now + message.ttlMs
    const copy = { ...message, payload: message.payload.slice() }
    const stored: Stored = { message: copy, seq, sender, at: wall, expiresAt, attempt: 1, seen: false }
    if (message.ttlMs !== undefined) this.#mortal.add(stored)
    this.#enqueue(stored)
    return { seq, duplicate: false }
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

  /** D4 */
  ack(id: string, now: number): void {
    const stored = this.held.get(id)
    if (stored !== undefined) this.#remove(stored, 'acked', now)
  }

  /** D4 */
  claim(id: string, incarnation: string, now: number): void {
    const known = this.#known.get(id)
    if (known?.fate === 'claimed' && known.claimer === incarnation) return
    if (known?.fate === 'withdrawn') throw new GreenroomError('REVOKED')
    const stored = this.held.get(id)
    if (known === undefined || stored === undefined) throw new GreenroomError('NOT_HOLDER')
    known.claimer = incarnation
    this.#remove(stored, 'claimed', now)
  }

  /** D4: what a holder gives back, later when `delayed`; then {@link MemoryMailbox.ripen} makes it ready. */
  giveBack(id: string, options: { readonly attempts: number; readonly delayed: boolean }): Stored | undefined {
    const stored = this.held.get(id)
    if (stored === undefined) return undefined
    this.held.delete(id)
    stored.attempt += options.attempts
    stored.seen = false
    if (options.delayed) this.#delayed.add(stored)
    else this.#enqueue(stored)
    return stored
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
      this.#known.set(id, { seq: 0, digest: '', fate: 'withdrawn', claimer: undefined, since: now })
      return this.closed ? 'withdrawn' : 'unknown'
    }
    const stored = this.#find(id)
    if (stored !== undefined) this.#remove(stored, 'withdrawn', now)
    return known.fate === 'acked' || known.fate === 'claimed' ? 'claimed' : 'withdrawn'
  }

  /** D8: closes it; what is returned goes back to its senders. */
  close(now: number): Stored[] {
    this.#expire(now)
    this.closed = true
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
    this.#bytes -= stored.message.payload.length
    const known = this.#known.get(stored.message.id)
    if (known === undefined) return
    // Set anew, so that the oldest decision stands first.
    this.#known.delete(stored.message.id)
    this.#known.set(stored.message.id, Object.assign(known, { fate, since: now }))
  }

  /** D9: nothing that is present or within the window is forgotten. Looked through now and then, not at every call. */
  #forget(now: number): void {
    if (now < this.#forgetAt) return
    this.#forgetAt = now + this.#limits.dedupeWindowMs / 16
    for (const [id, known] of this.#known) {
      if (known.fate === 'present') continue
      if (now - known.since < this.#limits.dedupeWindowMs) return
      this.#known.delete(id)
    }
  }
}

function laneOf(stored: Stored): Lane {
  return stored.message.control === true ? 'control' : 'data'
}
