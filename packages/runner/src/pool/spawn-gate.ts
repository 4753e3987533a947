/**
 * The gate before spawning: workers that do not come up are not started again and again.
 *
 * ```text
 * closed ──failure──► backing off: the next start waits ──5 failures in a row──► open: starts fail at once
 *    ▲                     │                                                        │ openMs
 *    └──────success────────┴───────────────────── one trial ◄───────────────────────┘
 * ```
 */
import { Backoff } from '@greenroom/bus'
import { GreenroomError, type Clock, type Random } from '@greenroom/proto'

/** So many failures in a row open the circuit. */
const failuresToOpen = 5
/** How long it stays open, in milliseconds. */
const openMs = 30_000
/** Failures so long ago, in milliseconds, say nothing any more. */
const forgetMs = 600_000
const backoff = { minMs: 100, maxMs: 30_000 }

/** A start under way. Only its first end counts. */
export interface Start {
  /** It came up. */
  succeeded(): void
  /** It was ended before anybody could know: the next start is no worse off. */
  undecided(): void
  /** It did not come up. */
  failed(message: string): void
}

interface Line {
  readonly backoff: Backoff
  failures: number
  message: string
  /** No start before. */
  until: number
  /** The start since the last failure, while it is under way. */
  trial: Start | undefined
}

/** Starts and their failures, by what was to be started. */
export class SpawnGate {
  readonly #clock: Clock
  readonly #random: Random
  readonly #lines = new Map<string, Line>()

  /**
   * @param clock - measures the waiting
   * @param random - jitters it
   */
  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /**
   * How long to wait before a start, in milliseconds. After a failure they go one at a time: Infinity while another one
   * is under way.
   *
   * @param key - what is to be started
   * @throws GreenroomError `WORKER_SPAWN_FAILED` while the circuit is open
   */
  delayOf(key: string): number {
    const line = this.#lines.get(key)
    if (line === undefined) return 0
    const waitMs = Math.max(0, line.until - this.#clock.monotonic())
    if (line.failures < failuresToOpen) return line.trial === undefined ? waitMs : Infinity
    if (waitMs === 0 && line.trial === undefined) return 0
    const next = line.trial === undefined ? `the next one is tried in ${Math.ceil(waitMs)} ms` : 'one is being tried'
    throw new GreenroomError(
      'WORKER_SPAWN_FAILED',
      `${line.failures} workers in a row did not come up; ${next}. The last: ${line.message}`,
    )
  }

  /** One is being started now. */
  start(key: string): Start {
    let isOver = false
    const once = (act: () => void): void => {
      if (isOver) return
      isOver = true
      const line = this.#lines.get(key)
      if (line?.trial === start) line.trial = undefined
      act()
    }
    const start: Start = {
      succeeded: () => once(() => this.#lines.delete(key)),
      undecided: () => once(() => undefined),
      failed: (message) => once(() => this.#fail(key, message)),
    }
    const line = this.#lines.get(key)
    if (line !== undefined) line.trial ??= start
    return start
  }

  #fail(key: string, message: string): void {
    this.#forget()
    const line = this.#lines.get(key) ?? {
      backoff: new Backoff(backoff, this.#random),
      failures: 0,
      message,
      until: 0,
      trial: undefined,
    }
    this.#lines.set(key, line)
    line.failures += 1
    line.message = message
    const delayMs = line.failures < failuresToOpen ? line.backoff.next() : openMs
    line.until = this.#clock.monotonic() + delayMs
  }

  /** Rotated secrets make new keys: what is never asked for again must not stay. */
  #forget(): void {
    const now = this.#clock.monotonic()
    for (const [key, { until, trial }] of this.#lines)
      if (trial === undefined && until + forgetMs < now) this.#lines.delete(key)
  }
}
