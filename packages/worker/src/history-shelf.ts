/** Parts of long histories, which arrive before their run. */
import type { Clock, History, Message, RunRef, Timer } from '@greenroom/proto'

interface Shelved extends RunRef {
  readonly parts: Map<number, readonly Message[]>
  readonly timer: Timer
}

/** Keeps parts until their run comes, or for `keepMs` when it never does: it was revoked on the way. */
export class HistoryShelf {
  readonly #clock: Clock
  readonly #keepMs: number
  readonly #shelved = new Map<string, Shelved>()

  /**
   * @param clock - measures how long parts wait
   * @param keepMs - how long they may, in milliseconds
   */
  constructor(clock: Clock, keepMs: number) {
    this.#clock = clock
    this.#keepMs = keepMs
  }

  /**
   * Keeps a part; a part of a newer attempt drops those of an older one.
   *
   * @param history - one part; they are numbered 1 to `parts`, or from 0
   */
  add(history: History): void {
    const { runId, epoch } = history
    const known = this.#shelved.get(runId)
    if (known !== undefined && known.epoch > epoch) return
    if (known === undefined || known.epoch < epoch) this.drop(runId)
    const shelved = this.#shelved.get(runId) ?? {
      runId,
      epoch,
      parts: new Map<number, readonly Message[]>(),
      timer: this.#clock.timer(this.#keepMs, () => this.drop(runId), { background: true }),
    }
    shelved.parts.set(history.part, history.messages)
    this.#shelved.set(runId, shelved)
  }

  /**
   * Takes a run's history off the shelf.
   *
   * @param ref - the attempt
   * @param parts - how many there must be
   * @returns all messages in order; undefined when a part is missing
   */
  take({ runId, epoch }: RunRef, parts: number): readonly Message[] | undefined {
    const shelved = this.#shelved.get(runId)
    if (shelved === undefined || shelved.epoch !== epoch || shelved.parts.size !== parts) return undefined
    this.drop(runId)
    return [...shelved.parts].toSorted(([a], [b]) => a - b).flatMap(([, messages]) => messages)
  }

  /**
   * Forgets a run's parts.
   *
   * @param runId - the run; no matter whether it has any
   */
  drop(runId: string): void {
    this.#shelved.get(runId)?.timer.cancel()
    this.#shelved.delete(runId)
  }

  /** Forgets everything. */
  clear(): void {
    for (const runId of this.#shelved.keys()) this.drop(runId)
  }
}
