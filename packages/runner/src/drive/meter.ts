/** What one attempt uses, as the runner sees it, against what it may: a worker may be deaf, or of somebody else's making. */
import {
  addUsage,
  exceededLimit,
  greaterUsage,
  type Limits,
  type RunEvent,
  type Terminal,
  type Usage,
  type WireEvent,
} from '@greenroom/proto'

/** A limit that was exceeded. */
export interface Exceeded {
  /** Which limit. */
  readonly code: 'LIMIT_ROUNDS' | 'LIMIT_TOKENS' | 'LIMIT_COST' | 'LIMIT_OUTPUT' | 'LIMIT_MEMORY' | 'LIMIT_BUDGET'
  /** By what, for people. */
  readonly message: string
}

/** Counts what an attempt uses. */
export class Meter {
  readonly #limits: Limits
  readonly #onExceeded: (exceeded: Exceeded) => void
  #usage: Usage = {}
  #outputBytes = 0

  /**
   * @param limits - what it may use
   * @param onExceeded - called whenever that is less than what it uses
   */
  constructor(limits: Limits, onExceeded: (exceeded: Exceeded) => void) {
    this.#limits = limits
    this.#onExceeded = onExceeded
  }

  /** What its `usage` entries add up to. */
  get usage(): Usage {
    return this.#usage
  }

  /** How much it told; 0 where that is not bounded: nobody pays for the measuring. */
  get outputBytes(): number {
    return this.#outputBytes
  }

  /** These have come. */
  events(events: readonly (RunEvent | WireEvent)[]): void {
    for (const event of events) {
      this.#weigh(event)
      if (isUsage(event)) this.#spend(event.usage)
    }
  }

  /** This is how it ended: its last words are output, too, and may say that it used more than it told on the way. */
  terminal({ status, output = null, text = '', usage = {} }: Terminal): void {
    if (output !== null || text !== '') this.#weigh([output, text])
    if (status === 'completed') this.#judge(greaterUsage(this.#usage, usage))
  }

  /** So much memory its worker has, in MiB. */
  memory(rssMb: number): void {
    const { memoryMb = Infinity } = this.#limits
    if (rssMb > memoryMb) this.#onExceeded({ code: 'LIMIT_MEMORY', message: `it used ${rssMb} MiB of ${memoryMb} MiB` })
  }

  #spend(usage: Usage): void {
    this.#usage = addUsage(this.#usage, usage)
    this.#judge(this.#usage)
  }

  #judge(used: Usage): void {
    const code = exceededLimit(this.#limits, used)
    if (code !== undefined) this.#onExceeded({ code, message: `it used ${JSON.stringify(used)}` })
  }

  #weigh(value: unknown): void {
    const { outputBytes: most } = this.#limits
    if (most === undefined) return
    this.#outputBytes += Buffer.byteLength(JSON.stringify(value))
    if (this.#outputBytes > most) this.#onExceeded({ code: 'LIMIT_OUTPUT', message: `it told more than ${most} bytes` })
  }
}

/** The door has checked it; this only tells the compiler. */
function isUsage(event: RunEvent | WireEvent): event is RunEvent & { type: 'usage' } {
  return event.type === 'usage'
}
