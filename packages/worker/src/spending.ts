/** What one attempt draws on budgets, as its runner says: R13 of the protocol. */
import type { Budget, SpendReceipt } from '@greenroom/proto'
import { untilEnd } from './pause.ts'

/** The budgets of one attempt. */
export class Spending {
  #left: Budget | undefined
  #counted = 0
  #changed = Promise.withResolvers<void>()

  /** @param left - what was left when it was assigned; undefined: it draws on none */
  constructor(left: Budget | undefined) {
    this.#left = left
  }

  /** What was left at the last word of its runner. */
  get left(): Budget | undefined {
    return this.#left
  }

  /** The runner has counted so much. */
  count({ upTo, left }: Pick<SpendReceipt, 'upTo' | 'left'>): void {
    if (upTo <= this.#counted) return
    this.#counted = upTo
    this.#left = left
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /**
   * Waits until an entry is counted, if anybody counts. What is told once the run was cancelled nobody waits for; but whoever told it
   * hears of that: an executor that looks at nothing else would go on spending for its whole grace.
   *
   * @param seq - its number
   * @param signal - ends the waiting
   * @throws the signal's reason
   */
  async counted(seq: number, signal: AbortSignal): Promise<void> {
    if (this.#left === undefined) return
    signal.throwIfAborted()
    while (this.#counted < seq) await untilEnd(signal, this.#changed.promise)
  }
}
