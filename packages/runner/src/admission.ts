/**
 * Admission: the one door that every attempt of a runner passes before it gets a worker.
 *
 * - *M1* At most `maxExecuting` permits are out at any time.
 * - *M2* Who waits is let in in this order: who comes back from waiting for children; then by depth (deeper first: a parent
 *   waits for its children), then by priority, then in the order of arrival.
 * - *M3* Whose concurrency key is used up is passed over and keeps its place.
 * - *M4* Waiting ends with the signal of whoever waits. A permit that was given is given back exactly once.
 * - *M5* At most `queue` wait: one more is refused with `QUEUE_FULL`. Those that somebody else bounds do not count.
 */
import { GreenroomError } from '@greenroom/proto'

/** How many may execute and wait. */
export interface AdmissionLimits {
  readonly maxExecuting: number
  readonly queue: number
}

/** Runs that share a key: at most `limit` of them execute at a time. */
export interface Concurrency {
  readonly key: string
  readonly limit: number
}

/** Who asks to be let in. */
export interface Ticket {
  /** How many ancestors it has. */
  readonly depth: number
  /** Larger ones first. */
  readonly priority: number
  readonly concurrency?: Concurrency | undefined
  /** M5 does not hold for it: it was let in before and tries again, or its scheduler bounds how many wait. */
  readonly exempt?: boolean
  /** It was let in before, and goes on. */
  readonly returns?: boolean
}

/** The right to execute. */
export interface Permit extends Disposable {
  /** Gives it back. Idempotent. */
  release(): void
}

interface Waiter {
  readonly ticket: Ticket
  readonly place: number
  readonly admit: (permit: Permit) => void
}

/** See M1 to M5. */
export class Admission {
  readonly #limits: AdmissionLimits
  readonly #keys = new Map<string, number>()
  /** In the order of M2. */
  #waiters: Waiter[] = []
  #executing = 0
  #places = 0

  /** @param limits - 0 executing lets nobody in */
  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  /** How many permits are out. */
  get executing(): number {
    return this.#executing
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiters.length
  }

  /**
   * Waits for a permit.
   *
   * @param ticket - who asks
   * @param signal - ends the waiting
   * @throws GreenroomError `QUEUE_FULL`, `ABORTED`
   */
  enter(ticket: Ticket, signal: AbortSignal): Promise<Permit> {
    if (signal.aborted) return Promise.reject(new GreenroomError('ABORTED'))
    if (this.#mayEnter(ticket)) return Promise.resolve(this.#give(ticket))
    if (ticket.exempt !== true && this.#counted >= this.#limits.queue)
      return Promise.reject(new GreenroomError('QUEUE_FULL', `${this.#limits.queue} runs are waiting already`))
    const { promise, resolve, reject } = Promise.withResolvers<Permit>()
    const onAbort = (): void => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter)
      reject(new GreenroomError('ABORTED'))
    }
    const admit = (permit: Permit): void => {
      signal.removeEventListener('abort', onAbort)
      resolve(permit)
    }
    this.#places += 1
    const waiter: Waiter = { ticket, place: this.#places, admit }
    signal.addEventListener('abort', onAbort, { once: true })
    const at = this.#waiters.findIndex((other) => comesBefore(waiter, other))
    this.#waiters.splice(at < 0 ? this.#waiters.length : at, 0, waiter)
    return promise
  }

  /** How many wait that M5 holds for. */
  get #counted(): number {
    return this.#waiters.filter(({ ticket }) => ticket.exempt !== true).length
  }

  #mayEnter({ concurrency }: Ticket): boolean {
    if (this.#executing >= this.#limits.maxExecuting) return false
    return concurrency === undefined || (this.#keys.get(concurrency.key) ?? 0) < concurrency.limit
  }

  #give({ concurrency }: Ticket): Permit {
    this.#count(concurrency, 1)
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      this.#count(concurrency, -1)
      this.#admitNext()
    }
    return { release, [Symbol.dispose]: release }
  }

  #count(concurrency: Concurrency | undefined, change: 1 | -1): void {
    this.#executing += change
    if (concurrency === undefined) return
    const { key } = concurrency
    const count = (this.#keys.get(key) ?? 0) + change
    if (count === 0) this.#keys.delete(key)
    else this.#keys.set(key, count)
  }

  /** One permit came back: it lets one in at most, or with its key one that was passed over. */
  #admitNext(): void {
    const next = this.#waiters.find(({ ticket }) => this.#mayEnter(ticket))
    if (next === undefined) return
    this.#waiters = this.#waiters.filter((other) => other !== next)
    next.admit(this.#give(next.ticket))
  }
}

function comesBefore(one: Waiter, other: Waiter): boolean {
  const a = one.ticket
  const b = other.ticket
  if (a.returns !== b.returns) return a.returns === true
  if (a.depth !== b.depth) return a.depth > b.depth
  if (a.priority !== b.priority) return a.priority > b.priority
  return one.place < other.place
}
