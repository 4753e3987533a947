/**
 * Admission: the one door that every attempt of a runner passes before it gets a worker.
 *
 * - *M1* At most `maxExecuting` permits are out at any time.
 * - *M2* Who waits is let in in this order: who comes back from waiting for children; then by depth (deeper first: a parent
 *   waits for its children), by priority, by root (of which fewer execute, then of which none was let in for longer), then in
 *   the order of arrival.
 * - *M3* Whose concurrency key is used up is passed over and keeps its place.
 * - *M4* Waiting ends with the signal of whoever waits. A permit that was given is given back exactly once.
 * - *M5* At most `queue` wait: one more is refused with `QUEUE_FULL`. Those that somebody else bounds do not count.
 * - *M6* Each eighth that is let in is of the root of which none was for longest, however deep others are, unless they are of
 *   higher priority: of R roots that wait each has a permit within 8 R, beside those that come back. So no tree, however it
 *   grows, keeps another one out, and seven eighths still finish what was begun. That turn waits while processes are scarce:
 *   another tree would take what the children of those that wait need.
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
  /** The session, or run, at the root of its tree: trees share fairly. */
  readonly root: string
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

/** What is known of a root while it has something here. */
interface Share {
  /** How many of it execute or wait. */
  here: number
  executing: number
  /** When one of it was let in last, or it came, by the number of those that were let in. */
  last: number
}

/** M6 */
const turnEvery = 8

/** See M1 to M6. */
export class Admission {
  /** M6: whether processes are scarce. */
  isScarce: () => boolean = () => false
  readonly #limits: AdmissionLimits
  readonly #keys = new Map<string, number>()
  readonly #roots = new Map<string, Share>()
  /** In the order of arrival. */
  #waiters: Waiter[] = []
  #executing = 0
  #places = 0
  #given = 0
  /** Since the last one that was let in by M6. */
  #sinceTurn = 0

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

  /** Whether somebody who comes back waits: it holds a worker. */
  get isReturnedTo(): boolean {
    return this.#waiters.some(({ ticket }) => ticket.returns === true)
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
      this.#leave(waiter)
      reject(new GreenroomError('ABORTED'))
    }
    const admit = (permit: Permit): void => {
      signal.removeEventListener('abort', onAbort)
      resolve(permit)
    }
    this.#places += 1
    const waiter: Waiter = { ticket, place: this.#places, admit }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiters.push(waiter)
    this.#shareOf(ticket).here += 1
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

  #give(ticket: Ticket): Permit {
    const { concurrency } = ticket
    const share = this.#shareOf(ticket)
    this.#given += 1
    share.last = this.#given
    share.here += 1
    share.executing += 1
    this.#count(concurrency, 1)
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      share.executing -= 1
      this.#gone(ticket)
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
    const next = this.#next(this.#waiters.filter(({ ticket }) => this.#mayEnter(ticket)))
    if (next === undefined) return
    const permit = this.#give(next.ticket)
    this.#leave(next)
    next.admit(permit)
  }

  /** M2, M6 */
  #next(waiters: readonly Waiter[]): Waiter | undefined {
    const first = firstOf(waiters, (one, other) => this.#order(one, other))
    this.#sinceTurn += 1
    if (first === undefined || first.ticket.returns === true || this.#sinceTurn < turnEvery) return first
    if (this.isScarce()) return first
    this.#sinceTurn = 0
    const equals = waiters.filter(({ ticket }) => ticket.priority >= first.ticket.priority)
    const byTurn = ({ ticket }: Waiter, other: Waiter): number =>
      this.#shareOf(ticket).last - this.#shareOf(other.ticket).last
    return firstOf(equals, (one, other) => byTurn(one, other) || this.#order(one, other))
  }

  /** M2 */
  #order(one: Waiter, other: Waiter): number {
    const [a, b] = [one.ticket, other.ticket]
    const [share, otherShare] = [this.#shareOf(a), this.#shareOf(b)]
    return (
      Number(b.returns === true) - Number(a.returns === true) ||
      b.depth - a.depth ||
      b.priority - a.priority ||
      share.executing - otherShare.executing ||
      share.last - otherShare.last ||
      one.place - other.place
    )
  }

  #leave(waiter: Waiter): void {
    this.#waiters = this.#waiters.filter((other) => other !== waiter)
    this.#gone(waiter.ticket)
  }

  #shareOf({ root }: Ticket): Share {
    const known = this.#roots.get(root)
    if (known !== undefined) return known
    const share = { here: 0, executing: 0, last: this.#given }
    this.#roots.set(root, share)
    return share
  }

  /** One of a root is not here any more. */
  #gone({ root }: Ticket): void {
    const share = this.#roots.get(root)
    if (share === undefined) return
    share.here -= 1
    if (share.here === 0) this.#roots.delete(root)
  }
}

function firstOf(waiters: readonly Waiter[], order: (one: Waiter, other: Waiter) => number): Waiter | undefined {
  return waiters.reduce<Waiter | undefined>(
    (first, one) => (first === undefined || order(one, first) < 0 ? one : first),
    undefined,
  )
}
