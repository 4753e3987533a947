/** Parts of long histories, which arrive before their run. */
import type { History, Message, RunRef } from '@greenroom/proto'

interface Shelved extends RunRef {
  readonly parts: Map<number, readonly Message[]>
  /** Resolves when they are not on the shelf any more. */
  readonly off: PromiseWithResolvers<void>
}

/** Keeps parts until their run comes, or long enough when it never does: it was revoked on the way. */
export class HistoryShelf {
  readonly #expiry: (off: Promise<void>) => Promise<void>
  readonly #shelved = new Map<string, Shelved>()

  /** @param expiry - resolves when parts have waited long enough, or when they need not wait any more: `off` */
  constructor(expiry: (off: Promise<void>) => Promise<void>) {
    this.#expiry = expiry
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
    const shelved = this.#shelved.get(runId) ?? this.#put({ runId, epoch })
    shelved.parts.set(history.part, history.messages)
  }

  #put({ runId, epoch }: RunRef): Shelved {
    const shelved: Shelved = { runId, epoch, parts: new Map(), off: Promise.withResolvers() }
    this.#shelved.set(runId, shelved)
    void this.#expiry(shelved.off.promise).then(() => {
      if (this.#shelved.get(runId) === shelved) this.drop(runId)
    })
    return shelved
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
    this.#shelved.get(runId)?.off.resolve()
    this.#shelved.delete(runId)
  }

  /** Forgets everything. */
  clear(): void {
    for (const runId of this.#shelved.keys()) this.drop(runId)
  }
}
