/**
 * All mailboxes and everyone who is there, in memory: rules D3, D6 to D8, D12, the live lane and presence of PROTOCOL.md.
 *
 * Every mailbox has at most one *life*: the incarnation that consumes it now, attached or suspect. What is over is
 * remembered for the dedupe window (D9): in a closed mailbox everybody is gone, from an open one only who is named here.
 * What time alone brings about (D8, D9) is noticed at the next call.
 */
import { GreenroomError } from '@greenroom/proto'
import type {
  FenceTarget,
  Clock,
  DeadLetterReturn,
  MailboxState,
  Outgoing,
  PeerEnd,
  PeerOptions,
  Presence,
  PresenceChange,
  PresenceState,
  Random,
  Receipt,
  Revocation,
  Timer,
} from '@greenroom/proto'
import { MemoryMailbox, type Delivered, type MailboxLimits, type Stored, type Volume } from './memory-mailbox.ts'

/** A peer, as its broker sees it. Nothing of it is called while it calls the broker. */
export interface MemoryConsumer {
  readonly options: PeerOptions
  readonly address: string
  readonly incarnation: string
  deliver(stored: Stored): void
  live(message: { readonly kind: string; readonly payload: Uint8Array }, from: MemoryConsumer): void
  presence(change: PresenceChange): void
  /** It is gone without having left. */
  gone(): void
  end(code: PeerEnd['code'], message: string): void
}

/** What a broker in memory needs. */
export interface MemoryBrokerOptions {
  readonly clock: Clock
  readonly random: Random
  readonly partitionGraceMs: number
  readonly mailboxTtlMs: number
  /** Live bytes on their way to one peer beyond which they are dropped. */
  readonly liveBytes: number
  readonly limits: MailboxLimits
  readonly defer: (task: () => void) => void
}

interface Life {
  readonly consumer: MemoryConsumer
  state: PresenceState
  presence: Presence | undefined
  grace: Timer | undefined
  /** Rings when the first of what it holds may time out, or later. */
  timeout: Timer | undefined
  /** Whoever fenced it saw its process end. */
  seenDead: boolean
}

/** An alarm that rings later than this, in milliseconds, tells that the process stood still: nobody could touch anything. */
const longestDelayMs = 1_000

/** See the head of this file. */
export class MemoryBroker {
  readonly options: MemoryBrokerOptions
  readonly #mailboxes = new Map<string, MemoryMailbox>()
  readonly #lives = new Map<string, Life>()
  /** When a mailbox closed, and when an incarnation ended, oldest first. */
  readonly #closed = new Map<string, number>()
  readonly #gone = new Map<string, number>()
  readonly #replaced = new Map<string, number>()
  readonly #watchers = new Map<string, Set<MemoryConsumer>>()
  readonly #nacked = new Set<Timer>()
  readonly #volume: Volume = { messages: 0, bytes: 0 }
  #tidyAt = 0

  constructor(options: MemoryBrokerOptions) {
    this.options = options
  }

  /** D6 to D8. What this incarnation held and never saw is delivered again. */
  attach(consumer: MemoryConsumer, presence: Presence | undefined, again: boolean): void {
    const { address, incarnation, options } = consumer
    const key = keyOf(consumer)
    const mailbox = this.#mailbox(address)
    if (mailbox.closed || this.#gone.has(key)) throw new GreenroomError('FENCED')
    if (mailbox.lifetime !== undefined && mailbox.lifetime !== options.lifetime)
      throw new GreenroomError('FORBIDDEN', `mailbox ${address} is of lifetime ${mailbox.lifetime}`)
    if (mailbox.owner !== undefined && mailbox.owner !== incarnation) throw new GreenroomError('FENCED')
    const present = this.#lives.get(address)
    if (again && (this.#replaced.has(key) || (present !== undefined && present.consumer.incarnation !== incarnation)))
      throw new GreenroomError('REPLACED')
    this.#replaced.delete(key)
    mailbox.isThere = true
    mailbox.lifetime ??= options.lifetime
    if (mailbox.lifetime === 'incarnation') mailbox.owner = incarnation
    present?.grace?.cancel()
    present?.timeout?.cancel()
    if (present !== undefined && present.consumer !== consumer)
      this.#replace(present, present.consumer.incarnation === incarnation)
    for (const stored of mailbox.held.values())
      if (!again || !stored.seen) mailbox.redeliver(stored)
      else stored.dueAt = this.#dueAt(consumer)
    const life: Life = { consumer, state: 'attached', presence, grace: undefined, timeout: undefined, seenDead: false }
    this.#lives.set(address, life)
    this.#tell(life, present?.consumer.incarnation === incarnation ? present.presence?.role : undefined)
    this.#pump(address)
  }

  /** The connection is lost: it is suspect, and gone when it does not come back in time. */
  lost(consumer: MemoryConsumer): void {
    const life = this.#lifeOf(consumer)
    if (life === undefined) return
    life.state = 'suspect'
    life.timeout?.cancel()
    life.grace = this.options.clock.timer(this.options.partitionGraceMs, () => this.#end(life), { background: true })
    this.#tell(life)
  }

  leave(consumer: MemoryConsumer): void {
    const life = this.#lifeOf(consumer)
    if (life !== undefined) this.#end(life)
  }

  fence({ address, incarnation, seenDead }: FenceTarget): void {
    const life = this.#lives.get(address)
    if (life?.consumer.incarnation !== incarnation) {
      const mailbox = this.#mailbox(address)
      if (mailbox.closed) return
      // Whoever is fenced before it ever attached was to be the mailbox's one incarnation.
      if (mailbox.lifetime === undefined) this.#close(mailbox, incarnation)
      else this.#remember(this.#gone, keyOf({ address, incarnation }))
      return
    }
    const attached = life.state === 'attached'
    life.seenDead = seenDead === true
    this.#end(life)
    if (attached) life.consumer.end('FENCED', 'this incarnation was declared gone')
  }

  send(from: MemoryConsumer, message: Outgoing): Receipt {
    const receipt = this.#store(message, from)
    this.#pump(message.to)
    return receipt
  }

  revoke(to: string, id: string): Revocation {
    const answer = this.#mailbox(to).revoke(id, this.#now())
    this.#pump(to)
    return answer
  }

  ack(consumer: MemoryConsumer, delivered: Delivered): void {
    this.#mailbox(consumer.address).ack(delivered, this.#now())
    this.#pump(consumer.address)
  }

  claim(consumer: MemoryConsumer, delivered: Delivered): void {
    this.#mailbox(consumer.address).claim(delivered, consumer.incarnation, this.#now())
    this.#pump(consumer.address)
  }

  touch(consumer: MemoryConsumer, delivered: Delivered): void {
    if (consumer.options.visibilityMs === undefined)
      throw new GreenroomError('MISSING_FEATURE', 'this peer was attached without visibilityMs')
    this.#mailbox(consumer.address).touch(delivered, this.#dueAt(consumer))
  }

  #dueAt({ options: { visibilityMs = Number.POSITIVE_INFINITY } }: MemoryConsumer): number {
    return this.#now() + visibilityMs
  }

  nack(consumer: MemoryConsumer, delivered: Delivered, delayMs: number): void {
    const mailbox = this.#mailbox(consumer.address)
    const why = this.#returned('nack', consumer.incarnation)
    const stored = mailbox.nack(delivered, why, this.#now(), delayMs > 0)
    if (stored !== undefined && delayMs > 0) {
      const timer = this.options.clock.timer(delayMs, () => {
        this.#nacked.delete(timer)
        mailbox.ripen(stored)
        this.#pump(consumer.address)
      })
      this.#nacked.add(timer)
    }
    this.#pump(consumer.address)
  }

  live(from: MemoryConsumer, to: string, message: { readonly kind: string; readonly payload: Uint8Array }): void {
    const life = this.#lives.get(to)
    if (life?.state === 'attached') life.consumer.live(message, from)
  }

  announce(consumer: MemoryConsumer, presence: Presence): void {
    const life = this.#lifeOf(consumer)
    if (life === undefined) return
    const before = life.presence?.role
    life.presence = presence
    this.#tell(life, before)
  }

  /** Follows a role; returns who is there now. */
  watch(consumer: MemoryConsumer, role: string): PresenceChange[] {
    const watchers = this.#watchers.get(role) ?? new Set()
    this.#watchers.set(role, watchers.add(consumer))
    return [...this.#lives.values()].flatMap((life) =>
      life.presence?.role === role ? [changeOf(life, life.presence)] : [],
    )
  }

  unwatch(consumer: MemoryConsumer, role: string): void {
    const watchers = this.#watchers.get(role)
    if (watchers?.delete(consumer) === true && watchers.size === 0) this.#watchers.delete(role)
  }

  /** Drops every timer. */
  close(): void {
    for (const life of this.#lives.values()) {
      life.grace?.cancel()
      life.timeout?.cancel()
    }
    for (const timer of this.#nacked) timer.cancel()
    this.#lives.clear()
    this.#nacked.clear()
    this.#watchers.clear()
  }

  /** How much there is. */
  stats(): {
    readonly mailboxes: number
    readonly messages: number
    readonly held: number
    readonly peers: number
    readonly watches: number
  } {
    const open = this.mailboxes()
    return {
      mailboxes: open.length,
      messages: open.reduce((sum, mailbox) => sum + mailbox.size, 0),
      held: open.reduce((sum, mailbox) => sum + mailbox.held.size, 0),
      peers: this.#lives.size,
      watches: [...this.#watchers.values()].reduce((sum, watchers) => sum + watchers.size, 0),
    }
  }

  #now(): number {
    return this.options.clock.monotonic()
  }

  #remember(ends: Map<string, number>, key: string): void {
    ends.delete(key)
    ends.set(key, this.#now())
  }

  /** D9 */
  #forget(): void {
    const before = this.#now() - this.options.limits.dedupeWindowMs
    for (const ends of [this.#closed, this.#gone, this.#replaced])
      for (const [key, at] of ends) {
        if (at > before) break
        ends.delete(key)
        if (ends === this.#closed) this.#mailboxes.delete(key)
      }
    this.#tidy()
  }

  /** Looks through all mailboxes now and then: what nobody uses goes. */
  #tidy(): void {
    const { limits, mailboxTtlMs } = this.options
    const now = this.#now()
    if (now < this.#tidyAt) return
    this.#tidyAt = now + limits.dedupeWindowMs / 16
    for (const mailbox of this.#mailboxes.values()) {
      if (mailbox.closed || this.#lives.has(mailbox.address)) continue
      if (mailbox.isThere && now - mailbox.usedAt >= mailboxTtlMs) this.delete(mailbox)
      if (mailbox.tidy(now)) this.#mailboxes.delete(mailbox.address)
    }
  }

  /** Those that are open, in the order of their addresses. */
  mailboxes(): readonly MemoryMailbox[] {
    this.#forget()
    return [...this.#mailboxes.values()]
      .filter(({ closed, isThere }) => isThere && !closed)
      .toSorted((a, b) => (a.address < b.address ? -1 : 1))
  }

  /** All that have dead letters, in the order of their addresses. */
  withLetters(): readonly MemoryMailbox[] {
    return [...this.#mailboxes.values()]
      .filter(({ dead }) => dead.size > 0)
      .toSorted((a, b) => (a.address < b.address ? -1 : 1))
  }

  /** One mailbox, whatever became of it. */
  find(address: string): MemoryMailbox | undefined {
    return this.#mailboxes.get(address)
  }

  /** How a mailbox stands now. */
  stateOf(mailbox: MemoryMailbox): MailboxState {
    const { address, lifetime, size, held, bytes, oldestAt, dead } = mailbox
    const life = this.#lives.get(address)
    return {
      address,
      ...(lifetime !== undefined && { lifetime }),
      ...(life !== undefined && { incarnation: life.consumer.incarnation }),
      state: life === undefined ? 'free' : life.state === 'attached' ? 'attached' : 'suspect',
      messages: size,
      held: held.size,
      bytes,
      ...(oldestAt !== undefined && { oldestAt }),
      deadLetters: dead.size,
    }
  }

  /** Puts a dead letter back, and delivers it when somebody is there. */
  requeue(mailbox: MemoryMailbox, id: string): void {
    mailbox.requeue(id, this.options.clock.now(), this.#now())
    this.#pump(mailbox.address)
  }

  #mailbox(address: string): MemoryMailbox {
    this.#forget()
    let mailbox = this.#mailboxes.get(address)
    if (mailbox === undefined) {
      mailbox = new MemoryMailbox(address, this.options.limits, this.#volume)
      this.#mailboxes.set(address, mailbox)
    }
    return mailbox
  }

  #lifeOf(consumer: MemoryConsumer): Life | undefined {
    const life = this.#lives.get(consumer.address)
    return life?.consumer === consumer ? life : undefined
  }

  #store(
    message: Outgoing,
    { address, incarnation }: { readonly address: string; readonly incarnation: string | undefined },
    always = false,
  ): Receipt {
    const at = { wall: this.options.clock.now(), now: this.#now() }
    return this.#mailbox(message.to).store(message, { address, incarnation }, at, always)
  }

  #pump(address: string): void {
    const life = this.#lives.get(address)
    if (life?.state !== 'attached') return
    const { credit = 64, controlCredit = 64 } = life.consumer.options
    const mailbox = this.#mailbox(address)
    for (;;) {
      const stored = mailbox.next({ data: credit, control: controlCredit }, this.#now())
      if (stored === undefined) break
      stored.dueAt = this.#dueAt(life.consumer)
      life.consumer.deliver(stored)
    }
    this.#awaitTimeout(life, mailbox)
  }

  /** D12: rings when the first of what is held is due, unless something is to ring earlier. */
  #awaitTimeout(life: Life, mailbox: MemoryMailbox): void {
    if (life.consumer.options.visibilityMs === undefined || life.timeout !== undefined) return
    const [first] = mailbox.held.values()
    if (first === undefined) return
    const { dueAt } = first
    const ring = (): void => {
      life.timeout = undefined
      this.#timeOut(life, mailbox, this.#now() > dueAt + longestDelayMs)
    }
    life.timeout = this.options.clock.timer(Math.max(0, dueAt - this.#now()), ring, { background: true })
  }

  /** D12. After it stood still, everybody's time begins anew. */
  #timeOut({ consumer }: Life, mailbox: MemoryMailbox, stoodStill: boolean): void {
    const now = this.#now()
    for (const [id, stored] of mailbox.held)
      if (stoodStill) stored.dueAt = this.#dueAt(consumer)
      else if (stored.dueAt <= now) mailbox.giveBack(id, this.#returned('timeout', consumer.incarnation), now)
    this.#pump(mailbox.address)
  }

  /** D7. A life that only has a newer connection goes on. */
  #replace(life: Life, sameLife: boolean): void {
    const { consumer } = life
    if (!sameLife) {
      this.#remember(this.#replaced, keyOf(consumer))
      this.#return(consumer, 'replaced')
      life.state = 'gone'
      this.#tell(life)
    }
    consumer.end('REPLACED', 'another consumer took the mailbox over')
  }

  /** *gone*: final for this incarnation (D8). */
  #end(life: Life): void {
    const { consumer } = life
    const { address, incarnation } = consumer
    life.grace?.cancel()
    life.timeout?.cancel()
    life.state = 'gone'
    this.#lives.delete(address)
    const mailbox = this.#mailbox(address)
    if (mailbox.owner === incarnation) this.#close(mailbox, incarnation)
    else {
      this.#remember(this.#gone, keyOf(consumer))
      this.#return(consumer, 'gone')
    }
    this.#tell(life)
    consumer.gone()
  }

  #return({ address, incarnation }: MemoryConsumer, why: DeadLetterReturn['why']): void {
    const mailbox = this.#mailbox(address)
    mailbox.usedAt = this.#now()
    for (const id of mailbox.held.keys()) mailbox.giveBack(id, this.#returned(why, incarnation), this.#now())
  }

  #returned(why: DeadLetterReturn['why'], by: string): DeadLetterReturn {
    return { at: this.options.clock.now(), why, by }
  }

  #close(mailbox: MemoryMailbox, incarnation: string): void {
    this.#remember(this.#closed, mailbox.address)
    this.#returnToSenders(mailbox, incarnation, mailbox.close(this.#now()))
  }

  /** Deletes a mailbox that nobody has (D8). */
  delete(mailbox: MemoryMailbox): void {
    mailbox.isThere = false
    mailbox.lifetime = undefined
    this.#returnToSenders(mailbox, undefined, mailbox.clear(this.#now()))
  }

  #returnToSenders({ address }: MemoryMailbox, incarnation: string | undefined, left: readonly Stored[]): void {
    for (const { message, sender } of left) {
      const home = this.#mailboxes.get(sender.address)
      if (home === undefined || home.closed || home.lifetime === undefined) continue
      const payload = new TextEncoder().encode(JSON.stringify({ to: address, id: message.id, kind: message.kind }))
      const id = `undeliverable-${this.options.random.id()}`
      const notice = { to: home.address, id, kind: 'undeliverable', payload, control: true }
      this.#store(notice, { address, incarnation }, true)
      this.#pump(home.address)
    }
  }

  #tell(life: Life, roleBefore?: string): void {
    if (life.presence === undefined) return
    const change = changeOf(life, life.presence)
    // Once to each, who leads it to its listeners of both roles.
    const watchers = new Set(
      [life.presence.role, roleBefore ?? ''].flatMap((role) => [...(this.#watchers.get(role) ?? [])]),
    )
    for (const watcher of watchers) watcher.presence(change)
  }
}

function changeOf({ consumer, state, seenDead }: Life, presence: Presence): PresenceChange {
  const { address, incarnation } = consumer
  return { address, incarnation, state, presence, ...(seenDead && { seenDead }) }
}

function keyOf({ address, incarnation }: { readonly address: string; readonly incarnation: string }): string {
  return `${address} ${incarnation}`
}
