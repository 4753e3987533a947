/** Parts of long histories, which arrive before their run. */
import type { History, Message, RunRef } from '@greenroom/proto'

const keyOf = (from: string, runId: string): string => `${from} ${runId}`

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
   * @param from - whose it is: nobody else's are with it
   * @param history - one part; they are numbered 1 to `parts`, or from 0
   */
  add(from: string, history: History): void {
    const { runId, epoch } = history
    const key = keyOf(from, runId)
    const known = this.#shelved.get(key)
    if (known !== undefined && known.epoch > epoch) return
    if (known === undefined || known.epoch < epoch) this.#drop(key)
    const shelved = this.#shelved.get(key) ?? this.#put(key, { runId, epoch })
    shelved.parts.set(history.part, history.messages)
  }

  #put(key: string, { runId, epoch }: RunRef): Shelved {
    const shelved: Shelved = { runId, epoch, parts: new Map(), off: Promise.withResolvers() }
    this.#shelved.set(key, shelved)
    void this.#expiry(shelved.off.promise).then(() => {
      if (this.#shelved.get(key) === shelved) this.#drop(key)
    })
    return shelved
  }

  /**
   * Takes a run's history off the shelf.
   *
   * @param from - whose run it is
   * @param ref - the attempt
   * @param parts - how many there must be
   * @returns all messages in order; undefined when a part is missing
   */
  take(from: string, { runId, epoch }: RunRef, parts: number): readonly Message[] | undefined {
    const shelved = this.#shelved.get(keyOf(from, runId))
    if (shelved === undefined || shelved.epoch !== epoch || shelved.parts.size !== parts) return undefined
    this.drop(from, runId)
    return [...shelved.parts].toSorted(([a], [b]) => a - b).flatMap(([, messages]) => messages)
  }

  /**
   * Forgets a run's parts.
   *
   * @param from - whose run it is
   * @param runId - the run; no matter whether it has any
   */
  drop(from: string, runId: string): void {
    this.#drop(keyOf(from, runId))
  }

  #drop(key: string): void {
    this.#shelved.get(key)?.off.resolve()
    this.#shelved.delete(key)
  }

  /** Forgets everything. */
  clear(): void {
    for (const key of this.#shelved.keys()) this.#drop(key)
  }
}
