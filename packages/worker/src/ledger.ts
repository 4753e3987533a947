/** What a worker remembers of runs beyond their end: late and early messages are judged by it. */
import type { RunRef } from '@greenroom/proto'

/** Remembers the last runs, as many as given; the oldest is forgotten first. */
export class Ledger {
  /** The newest attempt that was taken on, by run. */
  readonly #taken = new Map<string, number>()
  /** The newest attempt that was cancelled, and why, by runner and run. */
  readonly #cancelled = new Map<string, { readonly epoch: number; readonly reason: string }>()
  readonly #size: number

  /** @param size - how many runs to remember */
  constructor(size = 4096) {
    this.#size = size
  }

  /**
   * The newest attempt of a run that was taken on; 0 when none was.
   *
   * @param runId - the run
   */
  newest(runId: string): number {
    return this.#taken.get(runId) ?? 0
  }

  /**
   * Notes that an attempt is taken on.
   *
   * @param ref - the attempt
   */
  admit({ runId, epoch }: RunRef): void {
    this.#note(this.#taken, runId, epoch)
  }

  /**
   * Notes a cancel: it may overtake its run.
   *
   * @param from - who says so: it holds for that one's run
   * @param ref - the attempt
   * @param reason - why
   */
  cancel(from: string, { runId, epoch }: RunRef, reason: string): void {
    const key = `${from} ${runId}`
    if ((this.#cancelled.get(key)?.epoch ?? 0) < epoch) this.#note(this.#cancelled, key, { epoch, reason })
  }

  /**
   * Why an attempt is cancelled already.
   *
   * @param from - whose run it is
   * @param ref - the attempt
   * @returns undefined when it is not
   */
  cancelled(from: string, { runId, epoch }: RunRef): string | undefined {
    const cancelled = this.#cancelled.get(`${from} ${runId}`)
    return cancelled !== undefined && cancelled.epoch >= epoch ? cancelled.reason : undefined
  }

  #note<T>(all: Map<string, T>, key: string, value: T): void {
    all.delete(key)
    all.set(key, value)
    const [oldest] = all.keys()
    if (all.size > this.#size && oldest !== undefined) all.delete(oldest)
  }
}
