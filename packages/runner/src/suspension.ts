/**
 * Suspension: an attempt that ends so that its run may wait for its children without a worker and a permit.
 *
 * - *U1* What it waits for is recorded with the attempt's end, in whichever life that is learned of.
 * - *U2* It goes on when that has come about, by what is recorded of its children then: there is no wake that could be lost.
 * - *U3* What the attempt has said is part of the conversation that the next one is given.
 */
import type { Message, RunRef, Terminal, WaitArgs } from '@greenroom/proto'
import type { AttemptEnd } from './drive/index.ts'
import type { Journal } from './journal.ts'
import { isMessage } from './steering.ts'

/**
 * What an attempt waits for that has ended so.
 *
 * @param end - the attempt's; a limit that it exceeded counts for more
 * @returns undefined when it was not suspended
 */
export function waitOf(end: AttemptEnd | { readonly how: 'unplaced' }): WaitArgs | undefined {
  return end.how === 'terminal' && end.tripped === undefined ? waitIn(end.terminal) : undefined
}

/**
 * What an executor's last word says that it waits for.
 *
 * @param terminal - as it came
 * @returns undefined when it does not say that it is suspended
 */
export function waitIn({ status, waitsFor }: Terminal): WaitArgs | undefined {
  return status === 'suspended' ? (waitsFor ?? { runIds: [], mode: 'all' }) : undefined
}

/** What one run has said in attempts that were suspended in this life of the runner; of others its session tells. See U3. */
export class Suspensions {
  readonly #runId: string
  readonly #journal: Pick<Journal, 'entries'>
  readonly #epochs = new Set<number>()

  /**
   * @param runId - the run
   * @param journal - knows what it said
   */
  constructor(runId: string, journal: Pick<Journal, 'entries'>) {
    this.#runId = runId
    this.#journal = journal
  }

  /** Another attempt ended so. */
  add({ epoch }: RunRef): void {
    this.#epochs.add(epoch)
  }

  /** What it said, in order. */
  get messages(): readonly Message[] {
    const { entries } = this.#journal
    return entries
      .messagePlaces(this.#runId)
      .filter(({ epoch }) => this.#epochs.has(epoch))
      .flatMap(({ epoch, seq }) => {
        const event = entries.get({ runId: this.#runId, epoch }, seq)
        return event?.type === 'message' && isMessage(event.message) ? [event.message] : []
      })
  }
}
