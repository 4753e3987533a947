/**
 * The permit of one attempt: given back while its run waits for children, or leaves it to one that did.
 *
 * - *P1* Of several waits at a time the first gives it back, and only the last has to have it again.
 * - *P2* What it still asks for when the attempt has ended it asks for no more.
 * - *P3* Who finds no worker leaves its permit to whoever comes back from waiting: that one has a worker, which may be the one.
 *   Where nobody but waiting runs have workers it leaves it to all: those wait for somebody, and so do askers.
 */
import type { Admission, Permit, Ticket } from './admission.ts'
import type { Outlook } from './placement/index.ts'

/** See P1 and P2. */
export class PermitHolder implements Disposable {
  readonly #admission: Admission
  readonly #ticket: Ticket
  readonly #over = new AbortController()
  readonly #signal: AbortSignal
  #permit: Permit | undefined
  #entering: Promise<void> | undefined
  #pauses = 0

  /**
   * @param admission - gives permits
   * @param ticket - for whom
   * @param signal - ends the waiting for one
   */
  constructor(admission: Admission, ticket: Ticket, signal: AbortSignal) {
    this.#admission = admission
    this.#ticket = ticket
    this.#signal = AbortSignal.any([signal, this.#over.signal])
  }

  /**
   * Gets it.
   *
   * @throws GreenroomError `QUEUE_FULL`, `ABORTED`
   */
  async enter(): Promise<void> {
    this.#permit = await this.#admission.enter(this.#ticket, this.#signal)
  }

  /**
   * Gives it back for a while.
   *
   * @returns gets it again: resolves when it may go on, or will not any more
   */
  pause(): () => Promise<void> {
    this.#pauses += 1
    this.#release()
    return async () => {
      this.#pauses -= 1
      // P1
      if (this.#pauses > 0 || this.#permit !== undefined) return
      this.#entering ??= this.#enterAgain().finally(() => (this.#entering = undefined))
      await this.#entering
    }
  }

  /**
   * Gets something that may be long in coming. See P3.
   *
   * @param get - gets it; is given what to call whenever that is not to be had yet, with why
   */
  async yielding<T>(get: (onLack: (outlook: Outlook) => void) => Promise<T>): Promise<T> {
    let goOn: (() => Promise<void>) | undefined
    const got = await get((outlook) => {
      const isStanding = outlook === 'held' || outlook === 'mutual' || outlook === 'asked'
      if (isStanding || this.#admission.isReturnedTo) goOn ??= this.pause()
    })
    await goOn?.()
    return got
  }

  /** Gives it back for good. */
  [Symbol.dispose](): void {
    this.#over.abort()
    this.#release()
  }

  async #enterAgain(): Promise<void> {
    this.#permit = await this.#admission
      .enter({ ...this.#ticket, returns: true, exempt: true }, this.#signal)
      .catch(() => undefined)
    // It waits again already, or is over.
    if (this.#pauses > 0 || this.#over.signal.aborted) this.#release()
  }

  #release(): void {
    this.#permit?.release()
    this.#permit = undefined
  }
}
