/**
 * All that may end an attempt before its executor does: watchdogs, what it uses, its memory.
 *
 * - *B1* The first that trips decides how the run ends, whatever the worker says after it.
 * - *B2* A worker with twice the memory that it may have is not asked any more: it is ended at once.
 */
import type { Clock, Heartbeat, Limits, RunEvent, Terminal, Usage, WireEvent } from '@greenroom/proto'
import { watchMemory } from './memory-watch.ts'
import { Meter, type Exceeded } from './meter.ts'
import { Watchdog, type Hold, type WatchdogName } from './watchdog.ts'

/** A watchdog that tripped. */
export interface Tripped {
  /** Which of them. */
  readonly which: Exclude<WatchdogName, 'accept'>
  /** Never there: tells it from {@link Exceeded}. */
  readonly code?: undefined
}

/** What ended an attempt before its executor did: a watchdog, or a limit on what it uses. */
export type Trip = Tripped | Exceeded

/** What a limiter needs to know of the world. */
export interface LimiterSeams {
  /** Measures every time. */
  readonly clock: Clock
  /** Calls back when the inbox was drained. */
  readonly whenDrained: (task: () => void) => void
  /** The resident memory of a process of this machine, in MiB; undefined when it cannot be known. */
  readonly residentMb: (pid: number) => Promise<number | undefined>
}

/** What a limiter needs to know of its attempt. */
export interface LimiterOptions {
  /** How long from {@link Limiter.sent} to {@link Limiter.accepted}, in milliseconds. */
  readonly acceptMs: number
  readonly limits: Limits
  /** The worker's process, where it has one on this machine. */
  readonly pid: number | undefined
  /** Called when it was not accepted in time. */
  readonly onSilent: () => void
  /** Called once (B1). */
  readonly onTrip: (trip: Trip) => void
  /** B2 */
  readonly onExcess: () => void
}

/** What an attempt used, and may have to be subtracted from what the next one may. */
export interface Spent {
  /** How long it executed, in milliseconds. */
  readonly ms: number
  /** What its `usage` entries add up to. */
  readonly usage: Usage
  /** How much it told, where that is bounded. */
  readonly outputBytes: number
}

/** See B1 and B2. */
export class Limiter {
  readonly #seams: LimiterSeams
  readonly #options: LimiterOptions
  readonly #watchdog: Watchdog
  readonly #meter: Meter
  #memory: Disposable | undefined
  #tripped: Trip | undefined
  #isOver = false

  constructor(seams: LimiterSeams, options: LimiterOptions) {
    this.#seams = seams
    this.#options = options
    this.#meter = new Meter(options.limits, (exceeded) => this.#trip(exceeded))
    this.#watchdog = new Watchdog({
      clock: seams.clock,
      whenDrained: seams.whenDrained,
      acceptMs: options.acceptMs,
      limits: options.limits,
      onTrip: (which) => (which === 'accept' ? options.onSilent() : this.#trip({ which })),
    })
  }

  /** What ended it, if anything did (B1). */
  get tripped(): Trip | undefined {
    return this.#tripped
  }

  /** What it used so far. */
  get spent(): Spent {
    const { usage, outputBytes } = this.#meter
    return { ms: this.#watchdog.executedMs, usage, outputBytes }
  }

  /** The assignment is stored. */
  sent(): void {
    this.#watchdog.sent()
  }

  /** The worker has claimed the run. */
  accepted(): void {
    this.#watchdog.accepted()
    const { pid, limits } = this.#options
    if (this.#isOver || pid === undefined || limits.memoryMb === undefined) return
    const { clock, residentMb } = this.#seams
    this.#memory = watchMemory({ clock, pid, residentMb, onMemory: (rssMb) => this.#weigh(rssMb) })
  }

  /** These have come. */
  events(events: readonly (RunEvent | WireEvent)[]): void {
    this.#watchdog.events(events)
    this.#meter.events(events)
  }

  /** A sign of life, and no more than that. */
  heartbeat({ rssMb }: Heartbeat): void {
    if (rssMb !== undefined) this.#weigh(rssMb)
  }

  /** The executor has ended. */
  terminal(terminal: Terminal): void {
    this.#meter.terminal(terminal)
    this.stop()
  }

  /** See {@link Watchdog.hold}. */
  hold(reason: Hold): void {
    this.#watchdog.hold(reason)
  }

  /** See {@link Watchdog.release}. */
  release(reason: Hold): void {
    this.#watchdog.release(reason)
  }

  /** Something else than its own limits was exceeded. */
  exceed(exceeded: Exceeded): void {
    this.#trip(exceeded)
  }

  /** Nothing trips any more. Idempotent. */
  stop(): void {
    this.#isOver = true
    this.#watchdog.stop()
    this.#memory?.[Symbol.dispose]()
  }

  #weigh(rssMb: number): void {
    if (this.#isOver) return
    this.#meter.memory(rssMb)
    if (rssMb > 2 * (this.#options.limits.memoryMb ?? Infinity)) this.#options.onExcess()
  }

  #trip(trip: Trip): void {
    if (this.#tripped !== undefined || this.#isOver) return
    this.#tripped = trip
    this.#watchdog.stop()
    this.#options.onTrip(trip)
  }
}

/**
 * Why the attempt is cancelled, for the executor.
 *
 * @param trip - what tripped
 * @param limits - by how much
 */
export function reasonOf(trip: Trip, limits: Limits): string {
  if (trip.code !== undefined) return `${trip.code}: ${trip.message}`
  const field = {
    'first-event': 'firstEventMs',
    'no-progress': 'noProgressMs',
    tool: 'toolMs',
    total: 'totalMs',
  } as const
  return `timeout: ${trip.which} (${limits[field[trip.which]]} ms)`
}
