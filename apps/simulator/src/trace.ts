/** The trace of a schedule: what happened, in order, at which virtual time. Two runs of a seed have the same digest. */
import { createHash } from 'node:crypto'

/** Collects steps. */
export class Trace {
  readonly #hash = createHash('sha256')
  readonly #now: () => number
  readonly #show: ((line: string) => void) | undefined
  #steps = 0

  /** @param show - gets each line as it happens */
  constructor(now: () => number, show?: (line: string) => void) {
    this.#now = now
    this.#show = show
  }

  /** The virtual time. */
  now(): number {
    return this.#now()
  }

  /** How many steps there were. */
  get steps(): number {
    return this.#steps
  }

  /** Adds a step. */
  add(step: string): void {
    this.#steps += 1
    const line = `${String(Math.round(this.#now() * 1000) / 1000).padStart(9)} ${step}`
    this.#hash.update(`${line}\n`)
    this.#show?.(line)
  }

  /** The digest of all steps. To be asked for once, at the end. */
  digest(): string {
    return this.#hash.digest('hex')
  }
}
