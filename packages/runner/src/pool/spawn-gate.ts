/**
 * The gate before spawning: workers that end before they come up are not started again and again. Those that hang do not
 * count: they are given up by the acceptance deadline.
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
const backoff = { minMs: 100, maxMs: 30_000 }

interface Line {
  readonly backoff: Backoff
  failures: number
  message: string
  /** No start before. */
  until: number
  /** Whether one is being started. */
  trying: boolean
}

/** Spawn failures by what was to be spawned. */
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
    if (line.failures < failuresToOpen) return line.trying ? Infinity : waitMs
    if (waitMs === 0 && !line.trying) return 0
    throw new GreenroomError(
      'WORKER_SPAWN_FAILED',
      `${line.failures} workers in a row did not come up; the next one is tried in ${Math.ceil(waitMs)} ms. The last: ${line.message}`,
    )
  }

  /** One is being started: of an open circuit it is the one trial. */
  starting(key: string): void {
    const line = this.#lines.get(key)
    if (line !== undefined) line.trying = true
  }

  /** One came up. */
  succeeded(key: string): void {
    this.#lines.delete(key)
  }

  /** One was ended before anybody could know: the next start is no worse off. */
  undecided(key: string): void {
    const line = this.#lines.get(key)
    if (line !== undefined) line.trying = false
  }

  /** One did not come up. */
  failed(key: string, message: string): void {
    const line = this.#lines.get(key) ?? {
      backoff: new Backoff(backoff, this.#random),
      failures: 0,
      message,
      until: 0,
      trying: false,
    }
    this.#lines.set(key, line)
    line.failures += 1
    line.message = message
    line.trying = false
    const delayMs = line.failures < failuresToOpen ? line.backoff.next() : openMs
    line.until = this.#clock.monotonic() + delayMs
  }
}
