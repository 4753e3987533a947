/**
 * The watchdogs of one attempt.
 *
 * ```text
 * sent ──────► accept
 * accepted ──► total · first event · no progress · tool
 * ```
 *
 * - *D1* The first that trips decides, and trips once; *total* is looked at before the others.
 * - *D2* Time is that in which this process ran. All but *total* stand still while anything holds them: then the silence
 *   is not the worker's. *Total* stands still while the run waits for its children: then it does not execute.
 * - *D3* A deadline trips only after the inbox was drained once since it passed: what waits there may be what is waited for.
 * - *D4* Any event is progress; a heartbeat is none. No progress is counted through a tool's silence too.
 */
import { Stopwatch, type Clock, type Limits, type RunEvent, type Timer, type WireEvent } from '@greenroom/proto'

/** The longest time between two looks, in milliseconds; a short limit is looked at four times at least. */
const longestStepMs = 15_000
const shortestStepMs = 10

/** Which watchdog. */
export type WatchdogName = 'accept' | 'first-event' | 'no-progress' | 'tool' | 'total'

/**
 * Why watchdogs stand still: the runner is not attached to the bus; what arrived waits for a slow reader or storage; the worker
 * waits for a decision; its run waits for its children.
 */
export type Hold = 'detached' | 'window' | 'approval' | 'children'

/** What a watchdog needs. */
export interface WatchdogOptions {
  readonly clock: Clock
  /** How long from {@link Watchdog.sent} to {@link Watchdog.accepted}, in milliseconds. */
  readonly acceptMs: number
  /** The bounds from then on. */
  readonly limits: Pick<Limits, 'firstEventMs' | 'noProgressMs' | 'toolMs' | 'totalMs'>
  /** Calls back when the inbox was drained (D3). */
  readonly whenDrained: (task: () => void) => void
  /** Called once, with the one that tripped. */
  readonly onTrip: (which: WatchdogName) => void
}

interface Deadline {
  readonly which: WatchdogName
  readonly leftMs: number
}

/** See D1 to D4. */
export class Watchdog {
  readonly #options: WatchdogOptions
  readonly #holds = new Set<Hold>()
  #phase: 'idle' | 'sent' | 'accepted' | 'over' = 'idle'
  #stepMs = longestStepMs
  #stopwatch: Stopwatch
  /** What the stopwatch said last; how much of that the run executed, and how much while nothing held it. */
  #seen = 0
  #ran = 0
  #watched = 0
  /** By {@link Watchdog.#watched}: the last event, and the beginning of each call that is open. */
  #lastEvent: number | undefined
  readonly #calls = new Map<string, number>()
  #timer: Timer | undefined

  /** @param options - the bounds, and what to measure by */
  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#stopwatch = new Stopwatch(options.clock, longestStepMs)
  }

  /** How long it has executed, in milliseconds. */
  get executedMs(): number {
    if (this.#phase === 'accepted') this.#elapse()
    return this.#phase === 'idle' || this.#phase === 'sent' ? 0 : this.#ran
  }

  /** The assignment is stored: its worker is to accept it. */
  sent(): void {
    if (this.#phase === 'idle') this.#begin('sent', [this.#options.acceptMs])
  }

  /** The worker has claimed the run. */
  accepted(): void {
    if (this.#phase === 'accepted' || this.#phase === 'over') return
    const { firstEventMs, noProgressMs, toolMs, totalMs } = this.#options.limits
    this.#begin('accepted', [firstEventMs, noProgressMs, toolMs, totalMs])
  }

  /** These have come. */
  events(events: readonly (RunEvent | WireEvent)[]): void {
    if (this.#phase !== 'accepted') return
    this.#elapse()
    this.#lastEvent = this.#watched
    for (const event of events) {
      if (event.type === 'tool-call') this.#calls.set(String(event.id), this.#watched)
      if (event.type === 'tool-result') this.#calls.delete(String(event.id))
    }
  }

  /** From now on nothing can be expected to come. */
  hold(reason: Hold): void {
    if (this.#holds.has(reason)) return
    this.#elapse()
    this.#holds.add(reason)
  }

  /** The end of a {@link Watchdog.hold}. */
  release(reason: Hold): void {
    if (!this.#holds.has(reason)) return
    this.#elapse()
    this.#holds.delete(reason)
  }

  /** It trips no more. Idempotent. */
  stop(): void {
    if (this.#phase === 'over') return
    if (this.#phase === 'accepted') this.#elapse()
    else this.#ran = 0
    this.#phase = 'over'
    this.#timer?.cancel()
  }

  #begin(phase: 'sent' | 'accepted', limits: readonly (number | undefined)[]): void {
    this.#timer?.cancel()
    this.#phase = phase
    const smallest = Math.min(...limits.map((limit) => limit ?? Infinity))
    this.#stepMs = Math.max(shortestStepMs, Math.min(longestStepMs, smallest / 4))
    this.#stopwatch = new Stopwatch(this.#options.clock, this.#stepMs)
    this.#seen = 0
    this.#ran = 0
    this.#watched = 0
    this.#look()
  }

  #elapse(): void {
    const now = this.#stopwatch.read()
    const passed = now - this.#seen
    if (this.#holds.size === 0) this.#watched += passed
    if (!this.#holds.has('children')) this.#ran += passed
    this.#seen = now
  }

  #deadlines(): readonly Deadline[] {
    const { acceptMs, limits } = this.#options
    const { firstEventMs, noProgressMs, toolMs, totalMs = Infinity } = limits
    const left = (which: WatchdogName, ms = Infinity, since = 0): Deadline => ({
      which,
      leftMs: this.#holds.size > 0 ? Infinity : ms - (this.#watched - since),
    })
    if (this.#phase === 'sent') return [left('accept', acceptMs)]
    return [
      { which: 'total', leftMs: this.#holds.has('children') ? Infinity : totalMs - this.#ran },
      ...(this.#lastEvent === undefined ? [left('first-event', firstEventMs)] : []),
      left('no-progress', noProgressMs, this.#lastEvent),
      left('tool', toolMs, Math.min(...this.#calls.values())),
    ]
  }

  #look(): void {
    this.#timer?.cancel()
    const due = this.#due()
    if (due !== undefined) return this.#options.whenDrained(() => this.#decide())
    const leftMs = Math.min(this.#stepMs, ...this.#deadlines().map((deadline) => deadline.leftMs))
    this.#timer = this.#options.clock.timer(Math.max(1, leftMs), () => this.#look(), { background: true })
  }

  #due(): WatchdogName | undefined {
    this.#elapse()
    return this.#deadlines().find(({ leftMs }) => leftMs <= 0)?.which
  }

  /** D3: it has passed and nothing came. */
  #decide(): void {
    if (this.#phase === 'over') return
    const due = this.#due()
    if (due === undefined) return this.#look()
    this.stop()
    this.#options.onTrip(due)
  }
}
