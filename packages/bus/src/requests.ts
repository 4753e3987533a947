/**
 * What was asked and is not answered yet.
 *
 * - *Q1* A request keeps its number and its bytes: repeated over a new connection it is the same request.
 * - *Q2* They are repeated in the order in which they were made. Sends are the same by their message id; acks, claims,
 *   nacks, revocations and fences say the same when they are said twice.
 * - *Q3* `COMMIT_UNKNOWN` is no answer: the request is repeated a little later.
 * - *Q4* What is unanswered for half of the dedupe window ends as `OUTCOME_UNKNOWN`: the broker may soon have forgotten
 *   that it saw it. Nothing older is repeated, also when its timer did not fire yet: as after a sleep.
 */
import { ageOf, GreenroomError, momentOf, type Moment } from '@greenroom/proto'
import type { Clock, ErrorFrame, Ok, Timer } from '@greenroom/proto'
import { toError } from './connection.ts'

/**
 * How long a request is repeated.
 *
 * - `connection`: it says something about this connection only: when that is lost, it is over, as if answered with a bare `ok`
 * - `window`: Q4
 * - `always`: it settles a message that this peer holds, which the broker does not forget before the peer ends; or it is a
 *   fence, which says the same at any time, and without which what was for a dead worker would wait for ever
 */
export type Lasting = 'connection' | 'window' | 'always'

/** A request. */
export interface Request {
  readonly frame: Uint8Array
  /** Whether it overtakes data. */
  readonly control: boolean
  /** = 'window' */
  readonly lasts?: Lasting | undefined
  readonly accept: (ok: Ok) => void
  readonly reject: (error: GreenroomError) => void
}

interface Entry extends Request {
  readonly since: Moment
}

/** Q3: about as long as a commit that went wrong needs to be found out. */
const COMMIT_AGAIN_MS = 100

/** The table of requests; see Q1 to Q4. */
export class Requests {
  readonly #clock: Clock
  readonly #push: (frame: Uint8Array, control: boolean) => void
  readonly #open = new Map<number, Entry>()
  #idle: PromiseWithResolvers<void> | undefined
  #giveUpMs: number
  #lastReq = 0
  #expiry: Timer | undefined
  #again: Timer | undefined
  readonly #unknown = new Set<number>()

  /**
   * @param clock - measures Q3 and Q4
   * @param giveUpMs - Q4, until the broker says its dedupe window
   * @param push - queues a frame on the present connection; drops it when there is none
   */
  constructor(clock: Clock, giveUpMs: number, push: (frame: Uint8Array, control: boolean) => void) {
    this.#clock = clock
    this.#giveUpMs = giveUpMs
    this.#push = push
  }

  /** The number for the next request. */
  next(): number {
    this.#lastReq += 1
    return this.#lastReq
  }

  /** Sends a request, now or when the connection is back. */
  add(req: number, request: Request): void {
    this.#open.set(req, { ...request, since: momentOf(this.#clock) })
    this.#push(request.frame, request.control)
    this.#expiry ??= this.#expireAfter(this.#giveUpMs)
  }

  /** Forgets a request whose caller does not wait any more; what was sent stays sent. */
  forget(req: number): void {
    this.#open.delete(req)
    this.#settled()
  }

  /** Takes an answer; one that nobody waits for is ignored. */
  answer(header: Ok | ErrorFrame): void {
    if (header.req === undefined) return
    const entry = this.#open.get(header.req)
    if (entry === undefined) return
    if (header.t === 'error' && header.code === 'COMMIT_UNKNOWN') {
      this.#unknown.add(header.req)
      this.#again ??= this.#clock.timer(COMMIT_AGAIN_MS, () => this.#askAgain())
      return
    }
    this.#open.delete(header.req)
    if (header.t === 'ok') entry.accept(header)
    else entry.reject(toError(header))
    this.#settled()
  }

  /** Repeats everything on a new connection (Q2). */
  repeat(dedupeWindowMs: number): void {
    this.#giveUpMs = dedupeWindowMs / 2
    this.#unknown.clear()
    this.#expire()
    for (const entry of this.#open.values()) this.#push(entry.frame, entry.control)
  }

  /** Ends what was about the connection that is lost now. */
  lost(): void {
    for (const [req, entry] of this.#open) {
      if (entry.lasts !== 'connection') continue
      this.#open.delete(req)
      entry.accept({ t: 'ok', req })
    }
    this.#settled()
  }

  /** Resolves when nothing is open. */
  whenIdle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers<void>()
    return this.#idle.promise
  }

  /** Rejects everything that is open. */
  end(error: GreenroomError): void {
    this.#expiry?.cancel()
    this.#again?.cancel()
    for (const [req, entry] of this.#open) {
      this.#open.delete(req)
      entry.reject(error)
    }
    this.#settled()
  }

  #settled(): void {
    if (this.#open.size > 0 || this.#idle === undefined) return
    this.#idle.resolve()
    this.#idle = undefined
  }

  #askAgain(): void {
    this.#again = undefined
    this.#expire()
    for (const req of this.#unknown) {
      const entry = this.#open.get(req)
      if (entry !== undefined) this.#push(entry.frame, entry.control)
    }
    this.#unknown.clear()
  }

  /** One timer for all: the oldest stands first. */
  #expireAfter(delayMs: number): Timer {
    return this.#clock.timer(delayMs, () => this.#expire(), { background: true })
  }

  /** Q4 */
  #expire(): void {
    this.#expiry?.cancel()
    this.#expiry = undefined
    for (const [req, entry] of this.#open) {
      if (entry.lasts === 'always') continue
      const left = this.#giveUpMs - ageOf(this.#clock, entry.since)
      if (left > 0) {
        this.#expiry = this.#expireAfter(left)
        break
      }
      this.#open.delete(req)
      entry.reject(new GreenroomError('OUTCOME_UNKNOWN', 'not confirmed for half of the dedupe window'))
    }
    this.#settled()
  }
}
