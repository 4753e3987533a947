/** Whether runs that wait may go on before there is room for one that finds none: whom they wait for may get on. */
import type { PlaceKind } from './placement/index.ts'
import type { Neighbour, Occupant } from './room-maker.ts'

/** See above. */
export class Prospects {
  readonly #runs: readonly Neighbour[]
  readonly #path: readonly string[]
  readonly #kind: PlaceKind

  /**
   * @param runs - all of the runner
   * @param path - the one that finds no room, from its root on: none of these gets on before
   * @param kind - where it finds none
   */
  constructor(runs: readonly Neighbour[], path: readonly string[], kind: PlaceKind) {
    this.#runs = runs
    this.#path = path
    this.#kind = kind
  }

  /** Whether it can be suspended soon: as soon as others, who get on, have answered what it asks. */
  isAnswered({ asks }: Occupant): boolean {
    // Whoever asks may wait for one that stands in, and that one for its descendants.
    if (this.#runs.some(({ id, isStandIn }) => isStandIn && this.#path.includes(id))) return false
    return asks.length > 0 && asks.every((id) => this.#canAnswer(id))
  }

  /** Whether somebody gets on for whom it waits, or who answers it in the stead of one of those. */
  isServed({ id, awaits }: Pick<Occupant, 'id' | 'awaits'>): boolean {
    const others = this.#runs.filter((run) => awaits.includes(run.id) || (run.isStandIn && run.path.at(-2) === id))
    return others.some((run) => !this.#path.includes(run.id) && this.#getsOn(run))
  }

  #canAnswer(id: string): boolean {
    const run = this.#runs.find((one) => one.id === id)
    // In the stead of one that has ended another is asked.
    return !this.#path.includes(id) && (run === undefined || this.#getsOn(run))
  }

  /** Whether it executes, is about to, or waits for one that does. Who waits for a local process waits for as long as it takes. */
  #getsOn({ id, occupant, lacks }: Neighbour): boolean {
    if (occupant !== undefined) return occupant.waits === false || this.isServed(occupant)
    if (typeof lacks === 'object') return this.isServed({ id, awaits: lacks })
    return lacks === undefined || !['local', this.#kind].includes(lacks)
  }
}
