/** What a worker remembers of runs beyond their end: late and early messages are judged by it. */
import type { RunRef } from '@greenroom/proto'

interface Line {
  /** The newest attempt that was taken on; 0 when none was. */
  epoch: number
  /** The newest attempt that was cancelled, and why. */
  cancelled: { readonly epoch: number; readonly reason: string } | undefined
}

/** Remembers the last runs, as many as given; the oldest is forgotten first. */
export class Ledger {
  readonly #lines = new Map<string, Line>()
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
    return this.#lines.get(runId)?.epoch ?? 0
  }

  /**
   * Notes that an attempt is taken on.
   *
   * @param ref - the attempt
   */
  admit({ runId, epoch }: RunRef): void {
    this.#line(runId).epoch = epoch
  }

  /**
   * Notes a cancel: it may overtake its run.
   *
   * @param ref - the attempt
   * @param reason - why
   */
  cancel({ runId, epoch }: RunRef, reason: string): void {
    const line = this.#line(runId)
    if ((line.cancelled?.epoch ?? 0) < epoch) line.cancelled = { epoch, reason }
  }

  /**
   * Why an attempt is cancelled already.
   *
   * @param ref - the attempt
   * @returns undefined when it is not
   */
  cancelled({ runId, epoch }: RunRef): string | undefined {
    const cancelled = this.#lines.get(runId)?.cancelled
    return cancelled !== undefined && cancelled.epoch >= epoch ? cancelled.reason : undefined
  }

  #line(runId: string): Line {
    const line = this.#lines.get(runId) ?? { epoch: 0, cancelled: undefined }
    this.#lines.delete(runId)
    this.#lines.set(runId, line)
    const [oldest] = this.#lines.keys()
    if (this.#lines.size > this.#size && oldest !== undefined) this.#lines.delete(oldest)
    return line
  }
}
