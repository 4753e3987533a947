/** A resident worker, as one run uses it: shared with others, and nobody's to end here. */
import type { Presence, ServedExecutor } from '@greenroom/proto'
import type { PlacedWorker, PlaceKind, WorkerEnd } from './placement.ts'
import { WorkerLog } from './worker-log.ts'

/** Who it is, and where. */
export interface ResidentParts {
  /** What kind of place it is in. */
  readonly kind: PlaceKind
  /** The machine it runs on. */
  readonly host: string
  /** Its mailbox. */
  readonly address: string
  /** Which life of that mailbox's owner it is. */
  readonly incarnation: string
  /** What it last said of itself. */
  readonly presence: Presence
}

/** A resident worker in the hands of one run: `kill` only gives it up (what it had may still run). */
export class ResidentWorker implements PlacedWorker {
  readonly kind: PlaceKind
  readonly host: string
  readonly address: string
  readonly incarnation: string
  readonly pid = undefined
  readonly process = undefined
  readonly attached = Promise.resolve(true)
  readonly serves: readonly ServedExecutor[] | undefined
  readonly slots = 1
  readonly isResident = true
  readonly log = new WorkerLog()
  readonly gone: Promise<WorkerEnd>
  readonly #end = Promise.withResolvers<WorkerEnd>()

  /** @param parts - see {@link ResidentParts} */
  constructor({ kind, host, address, incarnation, presence }: ResidentParts) {
    this.kind = kind
    this.host = host
    this.address = address
    this.incarnation = incarnation
    this.serves = presence.serves
    this.gone = this.#end.promise
  }

  /**
   * The bus gave it up, or it left.
   *
   * @param seenDead - whether its process was seen to end: then what it had cannot run any more
   */
  lost(seenDead = false): void {
    this.#over(seenDead ? 'has ended' : 'is gone', seenDead)
  }

  retire(): void {}

  kill(): void {
    this.#over('was given up: it did not answer in time')
  }

  leave(): void {}

  #over(how: string, seenDead = false): void {
    const message = `the resident worker ${this.address} (${this.kind} ${this.host}) ${how}`
    this.#end.resolve({ attached: true, exit: { code: null, signal: null }, message, seenDead })
  }
}
