/** Messages that may be delivered, by sequence number. */
import type { Message } from './message.ts'

/** So many entries are worth a sweep. */
const sweepLength = 1024

/**
 * A queue in the order of sequence numbers. New messages come at the end; returned ones find their place. What is no
 * longer ready is skipped when its turn comes, so that taking a message out costs nothing; now and then all of it is
 * swept out, in case that the first one's turn never comes.
 */
export class ReadyQueue {
  #items: Message[] = []
  #head = 0
  #sweepAt = sweepLength

  /** Puts a message at its place. */
  push(message: Message): void {
    if (this.#items.length >= this.#sweepAt) this.#sweep()
    const items = this.#items
    const last = items.at(-1)
    if (last === undefined || this.#head === items.length || last.seq < message.seq) {
      items.push(message)
      return
    }
    let low = this.#head
    let high = items.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((items[middle]?.seq ?? 0) < message.seq) low = middle + 1
      else high = middle
    }
    // A stale entry of the same message may still stand here: it is valid again.
    if (items[low] !== message) items.splice(low, 0, message)
  }

  /** The first ready message, left in its place. */
  peek(): Message | undefined {
    for (;;) {
      const message = this.#items[this.#head]
      if (message === undefined || message.place === 'ready') return message
      this.#drop()
    }
  }

  /** Takes the first ready message out. */
  shift(): Message | undefined {
    const message = this.peek()
    if (message !== undefined) this.#drop()
    return message
  }

  #drop(): void {
    this.#head += 1
    if (this.#head === this.#items.length) {
      this.#items = []
      this.#head = 0
    } else if (this.#head > sweepLength && this.#head * 2 > this.#items.length) this.#sweep()
  }

  #sweep(): void {
    this.#items = this.#items.slice(this.#head).filter(({ place }) => place === 'ready')
    this.#head = 0
    this.#sweepAt = Math.max(sweepLength, 2 * this.#items.length)
  }
}
