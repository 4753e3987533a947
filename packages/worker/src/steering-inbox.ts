/**
 * The inbox of one run: texts that wait until the executor takes them.
 *
 * - *I1* The sender of a text is told once, at once, where it is: with the executor (`delivered`), here (`queued`), or
 *   refused (`not-live`). It is not kept waiting for an executor that may never ask, nor for room in a window that it
 *   may be the one to make.
 * - *I2* What is taken is in the transcript before the executor sees it. So a text that was `queued` and has no entry when
 *   the run ends was not taken, and the runner puts it into the transcript.
 * - *I3* After `close` nothing is taken: what comes is refused.
 * - *I4* Before `open` it is not certain that there will be an executor: nothing is said yet.
 * - *I5* Leaving waits for nothing, not even for a text that is being waited for: the next one is for others.
 */
import type { SteerReceipt } from '@greenroom/proto'
import type { SteeringText } from './context.ts'

/** A text that waits. */
export interface Steering extends SteeringText {
  readonly steerId: string
  /** Tells its sender where it is; only the first word counts. */
  readonly settle: (status: SteerReceipt['status']) => void
}

/** What an inbox needs of its run. */
export interface SteeringInboxOptions {
  /** Puts a text into the transcript; when it fails the text is not taken. */
  readonly record: (steering: Steering) => Promise<void>
  /** Whether what is being recorded waits for room. */
  readonly isHeldUp: () => boolean
}

/** Somebody who waits for a text; undefined is the end. */
interface Taker {
  readonly iterator: AsyncIterator<SteeringText, undefined>
  readonly take: (steering: Steering | undefined) => void
}

const done = { done: true, value: undefined } as const

/** See I1 to I5. */
export class SteeringInbox implements AsyncIterable<SteeringText> {
  readonly #options: SteeringInboxOptions
  #waiting: Steering[] = []
  /** Each gets one text; while there is one, no text waits. */
  #takers: Taker[] = []
  #state: 'new' | 'open' | 'closed' = 'new'

  /** @param options - see {@link SteeringInboxOptions} */
  constructor(options: SteeringInboxOptions) {
    this.#options = options
  }

  /**
   * Puts a text in.
   *
   * @param steering - the text and its sender
   */
  push(steering: Steering): void {
    if (this.#state === 'closed') return steering.settle('not-live')
    const taker = this.#takers.shift()
    if (taker !== undefined) return taker.take(steering)
    this.#waiting.push(steering)
    if (this.#state === 'open') steering.settle('queued')
  }

  /**
   * Takes a text back that nobody has taken: it is not to be had any more.
   *
   * @param steerId - names it
   */
  withdraw(steerId: string): void {
    this.#waiting = this.#waiting.filter((steering) => steering.steerId !== steerId)
  }

  /** There is an executor, which had its chance to take what is here. */
  open(): void {
    if (this.#state !== 'new') return
    this.#state = 'open'
    for (const steering of this.#waiting) steering.settle('queued')
  }

  /** Nothing is taken any more. Whoever iterates is done. */
  close(): void {
    this.#state = 'closed'
    for (const steering of this.#waiting.splice(0)) steering.settle('not-live')
    for (const { take } of this.#takers.splice(0)) take(undefined)
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<SteeringText, undefined> {
    let isOpen = true
    const iterator: AsyncIterableIterator<SteeringText, undefined> = {
      next: async () => {
        while (isOpen) {
          const steering = this.#waiting.shift() ?? (await this.#arrival(iterator))
          if (steering === undefined) break
          if (await this.#take(steering)) return { done: false, value: { text: steering.text, mode: steering.mode } }
        }
        return done
      },
      // Not a generator's: that one would wait until its `next` has come back (I5).
      return: () => {
        isOpen = false
        const leaving = this.#takers.filter((taker) => taker.iterator === iterator)
        this.#takers = this.#takers.filter((taker) => taker.iterator !== iterator)
        for (const { take } of leaving) take(undefined)
        return Promise.resolve(done)
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /** The next text; undefined at the end. */
  #arrival(iterator: Taker['iterator']): Promise<Steering | undefined> {
    if (this.#state === 'closed') return Promise.resolve(undefined)
    return new Promise((take) => void this.#takers.push({ iterator, take }))
  }

  async #take(steering: Steering): Promise<boolean> {
    // It was on its way here when the inbox was closed (I3).
    if (this.#state === 'closed') {
      steering.settle('not-live')
      return false
    }
    try {
      const recorded = this.#options.record(steering)
      if (this.#options.isHeldUp()) steering.settle('queued')
      await recorded
    } catch {
      steering.settle('not-live')
      return false
    }
    steering.settle(steering.mode === 'now' ? 'delivered' : 'queued')
    return true
  }
}
