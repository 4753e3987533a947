/** Whoever watches approvals. One that is behind sees of each approval its latest state, so that nothing piles up. */
import type { ApprovalRecord } from './approval.ts'

class Watcher {
  readonly waiting = new Map<string, ApprovalRecord>()
  #change = Promise.withResolvers<void>()

  add(record: ApprovalRecord): void {
    this.waiting.delete(record.id)
    this.waiting.set(record.id, record)
    this.wake()
  }

  wake(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  get changed(): Promise<void> {
    return this.#change.promise
  }
}

/** All of them. */
export class Watchers {
  readonly #watchers = new Set<Watcher>()
  #isOver = false

  /** Tells all of them. */
  tell(record: ApprovalRecord): void {
    for (const watcher of this.#watchers) watcher.add(record)
  }

  /** All of them end, after what they have been told. */
  end(): void {
    this.#isOver = true
    for (const watcher of this.#watchers) watcher.wake()
  }

  /**
   * Watches.
   *
   * @param now - what is told first
   * @param signal - ends it
   */
  async *watch(now: () => readonly ApprovalRecord[], signal?: AbortSignal): AsyncGenerator<ApprovalRecord, undefined> {
    const watcher = new Watcher()
    const onAbort = (): void => watcher.wake()
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#watchers.add(watcher)
    try {
      for (const record of now()) watcher.add(record)
      for (;;) {
        if (signal?.aborted === true) return undefined
        const [record] = watcher.waiting.values()
        if (record !== undefined) {
          watcher.waiting.delete(record.id)
          yield record
        } else if (this.#isOver) return undefined
        else await watcher.changed
      }
    } finally {
      this.#watchers.delete(watcher)
      signal?.removeEventListener('abort', onAbort)
    }
  }
}
