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

/** See I1 to I4. */
export class SteeringInbox implements AsyncIterable<SteeringText> {
  readonly #options: SteeringInboxOptions
  #waiting: Steering[] = []
  /** Wakes whoever waits for a text, each for one. */
  #takers: (() => void)[] = []
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
    this.#waiting.push(steering)
    const wake = this.#takers.shift()
    if (wake !== undefined) wake()
    else if (this.#state === 'open') steering.settle('queued')
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
    for (const wake of this.#takers.splice(0)) wake()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<SteeringText> {
    while (true) {
      const steering = this.#waiting.shift()
      if (steering !== undefined) {
        if (await this.#take(steering)) yield { text: steering.text, mode: steering.mode }
      } else if (this.#state === 'closed') return
      else await new Promise<void>((resolve) => void this.#takers.push(resolve))
    }
  }

  async #take(steering: Steering): Promise<boolean> {
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
