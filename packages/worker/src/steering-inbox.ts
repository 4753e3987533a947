/**
 * The inbox of one run: texts that wait until the executor takes them.
 *
 * - *I1* A text is either taken or refused, and its sender is told which, once.
 * - *I2* What is taken is in the transcript before the executor sees it.
 * - *I3* After `close` nothing is taken: what waits is refused, what comes is refused.
 */
import type { SteerReceipt } from '@greenroom/proto'
import type { SteeringText } from './context.ts'

/** A text that waits. */
export interface Steering extends SteeringText {
  readonly steerId: string
  /** Tells its sender what became of it. */
  readonly settle: (status: SteerReceipt['status']) => void
}

/** See I1 to I3. */
export class SteeringInbox implements AsyncIterable<SteeringText> {
  readonly #record: (steering: Steering) => Promise<void>
  #waiting: Steering[] = []
  #arrival = Promise.withResolvers<void>()
  #closed = false

  /** @param record - puts a text into the transcript; when it fails the text is refused */
  constructor(record: (steering: Steering) => Promise<void>) {
    this.#record = record
  }

  /**
   * Puts a text in.
   *
   * @param steering - the text and its sender
   */
  push(steering: Steering): void {
    if (this.#closed) return steering.settle('not-live')
    this.#waiting.push(steering)
    this.#wake()
  }

  /** Refuses what was not taken, and all that comes. Whoever iterates is done. */
  close(): void {
    this.#closed = true
    for (const steering of this.#waiting.splice(0)) steering.settle('not-live')
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<SteeringText> {
    while (true) {
      const steering = this.#waiting.shift()
      if (steering !== undefined) {
        if (await this.#take(steering)) yield { text: steering.text, mode: steering.mode }
      } else if (this.#closed) return
      else await this.#arrival.promise
    }
  }

  #wake(): void {
    const { resolve } = this.#arrival
    this.#arrival = Promise.withResolvers()
    resolve()
  }

  async #take(steering: Steering): Promise<boolean> {
    try {
      await this.#record(steering)
    } catch {
      steering.settle('not-live')
      return false
    }
    steering.settle(steering.mode === 'now' ? 'delivered' : 'queued')
    return true
  }
}
