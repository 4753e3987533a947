/**
 * What must hold of the queues: named mailboxes whose messages come back, expire, are too many, or are poison.
 *
 * - *Q1* What was receipted is acked by its consumer, a dead letter, purged by the operator, or its time was over: one of
 *   these, and nothing else. What was purged or acked never comes again.
 * - *Q2* An attempt is one more than the returns: who gave it back, or lost its consumer; a reconnect counts nothing. What
 *   came back as often as it may is a dead letter until somebody puts it back; then it begins anew.
 * - *Q3* What was given back for a while does not come before that is over.
 * - *Q4* What was not delivered in its time is not delivered any more.
 * - *Q5* There are never more messages in a mailbox than may be; who is refused has nothing there.
 */
import type { Clock, DeadLetter, Delivery } from '@greenroom/proto'
import type { Checker } from './checker.ts'

/** What a message may take on its way in virtual milliseconds, beside the time that the machine sleeps. */
const transitMs = 30_000

/** What is known of one message. */
export interface Letter {
  readonly queue: string
  readonly id: string
  readonly ttlMs: number | undefined
  /** Whether no consumer takes it. */
  isPoison: boolean
  /** When it was sent first, and how long the machine had slept by then. */
  readonly sentAt: number
  readonly sleptMs: number
  /** Who gave it back last, which delivery of it, and when it may come again. */
  givenBack: { readonly consumer: number; readonly attempt: number; readonly notBefore: number } | undefined
  /** The consumer of the queue that was surely there when it was sent. */
  readonly since: number
  /** How often it may have been given back, and how often it certainly was, since it came or was put back. */
  mayReturns: number
  returns: number
  isReceipted: boolean
  /** Whether it was asked to be removed; nobody may have said that it was. */
  mayBeGone: boolean
  isAcked: boolean
  isPurged: boolean
  /** Whether it was, or may have been, put back by the operator. */
  wasRequeued: boolean
}

/** See Q1 to Q5. */
export class QueueRules {
  readonly letters = new Map<string, Letter>()
  readonly #checker: Checker
  readonly #maxAttempts: number
  /** By queue: how many consumers began, and the last one that was attached. */
  readonly #began = new Map<string, number>()
  readonly #attached = new Map<string, number>()

  constructor(checker: Checker, maxAttempts: number) {
    this.#checker = checker
    this.#maxAttempts = maxAttempts
  }

  sent(letter: Pick<Letter, 'queue' | 'id' | 'ttlMs' | 'isPoison' | 'sentAt' | 'sleptMs'>): Letter {
    const whole = {
      ...letter,
      since: this.#attached.get(letter.queue) ?? 1,
      givenBack: undefined,
      mayReturns: 0,
      returns: 0,
      isReceipted: false,
      mayBeGone: false,
      isAcked: false,
      isPurged: false,
      wasRequeued: false,
    }
    this.letters.set(letter.id, whole)
    return whole
  }

  /** A consumer of a queue begins; says which one it is. */
  began(queue: string): number {
    const ordinal = (this.#began.get(queue) ?? 0) + 1
    this.#began.set(queue, ordinal)
    return ordinal
  }

  /** It has the queue. */
  attached(queue: string, ordinal: number): void {
    this.#attached.set(queue, Math.max(ordinal, this.#attached.get(queue) ?? 1))
  }

  /** Q1 to Q4 */
  delivered({ id, attempt, at }: Delivery, consumer: number, clock: Clock, sleptMs: number): Letter | undefined {
    const letter = this.letters.get(id)
    if (letter === undefined) {
      this.#checker.violate('Q1', `${id} was never sent`)
      return undefined
    }
    const { returns, givenBack, ttlMs, isPurged } = letter
    const mayReturns = letter.mayReturns + Math.max(0, consumer - letter.since)
    const now = clock.monotonic()
    if (isPurged) this.#checker.violate('Q1', `${id} was purged, and comes again`)
    if (attempt > mayReturns + 1 || attempt > this.#maxAttempts)
      this.#checker.violate('Q2', `${id} is delivered for the ${attempt}. time after ${mayReturns} returns at most`)
    if (attempt < returns + 1)
      this.#checker.violate('Q2', `${id} is delivered for the ${attempt}. time after ${returns} returns`)
    // Whoever still has the queue lost nothing: it is what that one gave back.
    const isOwn = givenBack?.consumer === consumer && attempt === givenBack.attempt + 1
    if (isOwn && now < givenBack.notBefore - 1)
      this.#checker.violate('Q3', `${id} comes ${givenBack.notBefore - now} ms too early`)
    const lateMs = clock.now() - at - (sleptMs - letter.sleptMs) - transitMs - (ttlMs ?? Infinity)
    if (attempt === 1 && returns === 0 && !letter.wasRequeued && lateMs > 0)
      this.#checker.violate('Q4', `${id} is delivered ${lateMs} ms after its time`)
    return letter
  }

  /** Q5 */
  counted(queue: string, count: number, most: number): void {
    if (count > most) this.#checker.violate('Q5', `${queue} has ${count} messages of at most ${most}`)
  }

  /** Q2: what the operator sees. */
  listed({ address, id, attempts }: DeadLetter): void {
    // What the runner's mailbox lost to its many deaths is not ours.
    if (!address.startsWith('queue.')) return
    const letter = this.letters.get(id)
    if (letter?.isAcked !== false)
      return this.#checker.violate('Q1', `${id} is a dead letter, and was acked or never sent`)
    if (attempts !== this.#maxAttempts) this.#checker.violate('Q2', `${id} is a dead letter after ${attempts} attempts`)
    if (letter.isPurged) this.#checker.violate('Q1', `${id} was purged, and is a dead letter`)
  }

  /** Q1: when all is settled. */
  finish(dead: ReadonlySet<string>, now: number): void {
    for (const { id, isReceipted, mayBeGone, ttlMs, sentAt } of this.letters.values()) {
      if (dead.has(id) || mayBeGone || !isReceipted) continue
      if (ttlMs === undefined || now < sentAt + ttlMs) this.#checker.violate('Q1', `${id} was receipted and is lost`)
    }
  }
}
