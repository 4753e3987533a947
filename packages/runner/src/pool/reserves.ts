/**
 * Reserves: workers that are kept ready before anybody needs them.
 *
 * - *K1* One start at a time, for all names: the machine has other things to do.
 * - *K2* A start that left no worker, and a ready one that ended, make the name wait: from one second to a minute. A lease
 *   of one that was ready starts that over.
 */
import { Backoff } from '@greenroom/bus'
import type { Clock, Random } from '@greenroom/proto'

const backoff = { minMs: 1_000, maxMs: 60_000 }

/** What reserves need of their pool. */
export interface ReserveSeams<Need> {
  /** Measures the waiting. */
  readonly clock: Clock
  /** Jitters it. */
  readonly random: Random
  /** How many there are for a name, those that start included. */
  readonly kept: (name: string) => number
  /** Whether one may be started, as far as others do not need the room. */
  readonly hasRoom: () => boolean
  /** Starts one and waits for its attach: whether it is ready. */
  readonly start: (name: string, need: Need) => Promise<boolean>
  /** Waits until something changed, or so many milliseconds are over. */
  readonly wait: (ms: number) => Promise<void>
  /** Learns what keeps a name from being filled. */
  readonly warn: (message: string, fields: Readonly<Record<string, unknown>>) => void
}

interface Reserve<Need> {
  readonly count: number
  readonly need: () => Promise<Need>
  readonly backoff: Backoff
  /** No start before. */
  notBefore: number
}

/** See K1 and K2. */
export class Reserves<Need> {
  readonly #seams: ReserveSeams<Need>
  readonly #reserves = new Map<string, Reserve<Need>>()
  #filling = false

  /** @param seams - see {@link ReserveSeams} */
  constructor(seams: ReserveSeams<Need>) {
    this.#seams = seams
  }

  /** Keeps so many ready from now on. */
  keep(name: string, count: number, need: () => Promise<Need>): void {
    this.#reserves.set(name, { count, need, backoff: new Backoff(backoff, this.#seams.random), notBefore: 0 })
    if (!this.#filling) void this.#fill()
  }

  /** One that was ready is in use. */
  used(name: string): void {
    this.#reserves.get(name)?.backoff.reset()
  }

  /** One that was ready ended by itself, or did not get ready (K2). */
  lost(name: string): void {
    const reserve = this.#reserves.get(name)
    if (reserve !== undefined) reserve.notBefore = this.#seams.clock.monotonic() + reserve.backoff.next()
  }

  /** Keeps none from now on. */
  clear(): void {
    this.#reserves.clear()
  }

  async #fill(): Promise<void> {
    const { clock, kept, hasRoom, wait } = this.#seams
    this.#filling = true
    while (this.#reserves.size > 0) {
      const short = [...this.#reserves].filter(([name, { count }]) => kept(name) < count)
      const nextAt = Math.min(...short.map(([, { notBefore }]) => notBefore))
      const due = short.find(([, { notBefore }]) => notBefore <= clock.monotonic())
      if (due === undefined) await wait(nextAt - clock.monotonic())
      else if (hasRoom()) await this.#start(...due)
      else await wait(Infinity)
    }
    this.#filling = false
  }

  async #start(name: string, { need }: Reserve<Need>): Promise<void> {
    const { start, warn } = this.#seams
    try {
      if (!(await start(name, await need()))) this.lost(name)
    } catch (error) {
      this.lost(name)
      warn('no worker can be kept ready', { name, error: String(error) })
    }
  }
}
