/** Room for a number of things; who finds none waits for it, in order. */
import { GreenroomError } from '@greenroom/proto'
import { untilAbort } from './abort.ts'

interface Caller {
  readonly enter: () => void
  readonly refuse: (error: GreenroomError) => void
}

/** Counted places. */
export class Room {
  readonly #size: number
  readonly #callers: Caller[] = []
  #taken = 0
  #closed: GreenroomError | undefined

  /** @param size - how many places there are */
  constructor(size: number) {
    this.#size = size
  }

  /** Who is in, or waits to be. */
  get occupied(): number {
    return this.#taken + this.#callers.length
  }

  /** Takes a place, if there is one. */
  tryEnter(): boolean {
    if (this.#closed !== undefined || this.#taken >= this.#size) return false
    this.#taken += 1
    return true
  }

  /**
   * Takes a place, or waits for one.
   *
   * @param signal - ends the waiting
   * @throws GreenroomError `ABORTED`; that of `close`
   */
  async enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new GreenroomError('ABORTED')
    if (this.#closed !== undefined) throw this.#closed
    if (this.tryEnter()) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const caller: Caller = { enter: resolve, refuse: reject }
    this.#callers.push(caller)
    try {
      await untilAbort(signal, promise)
    } catch (error) {
      const at = this.#callers.indexOf(caller)
      if (at >= 0) this.#callers.splice(at, 1)
      // It was let in meanwhile.
      else if (this.#closed === undefined) this.leave()
      throw error
    }
  }

  /** Gives a place back: the next one has it. */
  leave(): void {
    const next = this.#callers.shift()
    if (next === undefined) this.#taken -= 1
    else next.enter()
  }

  /** Lets nobody in any more: who waits, and comes, is refused with an error. */
  close(error: GreenroomError): void {
    this.#closed = error
    for (const { refuse } of this.#callers.splice(0)) refuse(error)
  }
}
