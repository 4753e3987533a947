/** A disk: the store's twin, over power cuts, with what goes wrong with its commits. */
import type { ManualClock } from '@greenroom/bus/testing'
import { createMemoryStore, type CommitFault, type MemoryStore, type Schema } from '@greenroom/store'
import type { Chance } from './chance.ts'

/** How a commit goes wrong. */
export type CommitOutcome = NonNullable<CommitFault['outcome']>

/** What a disk is made of. */
export interface DiskOptions {
  readonly name: string
  readonly clock: ManualClock
  readonly chance: Chance
  /** Called at each commit. */
  readonly pass: (site: string) => void
}

/** See the file. */
export class Disk {
  readonly name: string
  readonly #options: DiskOptions
  #store: MemoryStore | undefined
  #wrong: CommitOutcome[] = []
  /** How many turns the next commit takes, at least. */
  #slowTurns = 0
  #isFull = false
  #isClosed = false

  constructor(options: DiskOptions) {
    this.name = options.name
    this.#options = options
  }

  /** Opens it; after a power cut, what is then there. */
  open(schema: Schema): MemoryStore {
    this.#store =
      this.store ??
      createMemoryStore({
        schema,
        defer: this.#options.clock.defer,
        faults: () => this.#fault(),
        freeBytes: () => (this.#isFull ? 0 : Number.POSITIVE_INFINITY),
        random: this.#options.chance.fraction,
      })
    const store = this.#store
    void store.closed.then(() => (this.#isClosed ||= store === this.#store))
    return store
  }

  /** What is on it, also after its owner has closed it. */
  get store(): MemoryStore | undefined {
    if (this.#isClosed) this.#store = this.#store?.reopen()
    this.#isClosed = false
    return this.#store
  }

  /** The power is cut, or its process is killed: what was not receipted may be lost. */
  cut(): void {
    this.#store = this.#store?.powerCut()
  }

  /** The next commits go wrong. */
  spoil(outcome: CommitOutcome, times: number): void {
    this.#wrong.push(...Array.from({ length: times }, () => outcome))
  }

  /** The next commit takes so long. */
  slow(turns: number): void {
    this.#slowTurns = turns
  }

  /** Whether there is no room for anything new. */
  full(isFull: boolean): void {
    this.#isFull = isFull
  }

  /** From now on nothing goes wrong. */
  calm(): void {
    this.#wrong = []
    this.#isFull = false
  }

  #fault(): CommitFault {
    const { chance, pass } = this.#options
    pass(`commit ${this.name}`)
    const turns = Math.max(this.#slowTurns, chance.happens(0.8) ? 0 : chance.between(1, 4))
    this.#slowTurns = 0
    return { outcome: this.#wrong.shift() ?? 'stored', turns }
  }
}
