/**
 * The meter of one attempt: what it uses, against what it may.
 *
 * - *M1* What exceeds a limit is told once; the first limit decides how the run ends.
 * - *M2* Time is the time in which this process ran and the run did not wait for its children. A call's time stands still
 *   while an event waits for room, too: then the reader is slow, not the tool.
 * - *M3* What would exceed the output is not sent. What was used is told in any case, also when it was too much.
 */
import {
  addUsage,
  exceededLimit,
  greaterUsage,
  GreenroomError,
  Stopwatch,
  type Clock,
  type ErrorCode,
  type Limits,
  type RunEvent,
  type Timer,
  type Usage,
} from '@greenroom/proto'
import { failed, withUsage, type Ending } from './ending.ts'

/** How often the memory is looked at, in milliseconds. */
const memoryMs = 1_000
/** How often time is looked at: at most, and for small limits at least. */
const longestStepMs = 15_000
const shortestStepMs = 10

/** What a meter needs. */
export interface MeterOptions {
  readonly limits: Limits
  readonly clock: Clock
  /** The process's resident memory, in MiB. */
  readonly rssMb?: (() => number) | undefined
  /** Whether an event waits for room. */
  readonly isWaiting: () => boolean
  /** Called once, with how the run is to end and the error that says so. */
  readonly onExceeded: (ending: Ending, error: GreenroomError) => void
}

/** See M1 to M3. */
export class Meter {
  readonly #options: MeterOptions
  readonly #stepMs: number
  readonly #watch: Stopwatch
  /** When each open call began, by {@link Meter.#watched}. */
  readonly #calls = new Map<string, number>()
  #used: Usage = {}
  #bytes = 0
  /** What the stopwatch said last, how much of it the run executed, and how much of that a call could use (M2). */
  #seen = 0
  #ran = 0
  #watched = 0
  #pauses = 0
  #timer: Timer | undefined
  #state: 'idle' | 'running' | 'over' = 'idle'

  /** @param options - limits, and what to measure by */
  constructor(options: MeterOptions) {
    const { totalMs = Infinity, toolMs = Infinity } = options.limits
    this.#options = options
    this.#stepMs = Math.max(shortestStepMs, Math.min(longestStepMs, totalMs / 4, toolMs / 4))
    this.#watch = new Stopwatch(options.clock, this.#stepMs)
  }

  /** What was told to be used so far. */
  get used(): Usage {
    return this.#used
  }

  /** From now on time and memory are looked at. */
  start(): void {
    this.#state = 'running'
    this.#watch.read()
    this.#look()
  }

  /** The run waits for its children; returns what says that it does not any more. */
  pause(): () => void {
    this.#elapse()
    this.#pauses += 1
    return () => {
      this.#elapse()
      this.#pauses -= 1
    }
  }

  /** Looks at nothing any more. */
  stop(): void {
    this.#state = 'over'
    this.#timer?.cancel()
  }

  /**
   * Counts an event before it is sent.
   *
   * @param event - a checked event
   * @throws GreenroomError `LIMIT_OUTPUT`: it is not to be sent (M3)
   */
  weigh(event: RunEvent): void {
    const bytes = this.#bytesOf(event)
    if (this.#bytes + bytes > this.#most) throw this.#fail('LIMIT_OUTPUT', `it told more than ${this.#most} bytes`)
    this.#bytes += bytes
  }

  /**
   * Takes notice of an event that is on its way.
   *
   * @param event - a checked event
   * @returns what the sender is to be told when it used too much
   */
  note(event: RunEvent): GreenroomError | undefined {
    if (event.type === 'tool-call') this.#calls.set(event.id, this.#elapse())
    if (event.type === 'tool-result') this.#calls.delete(event.id)
    if (event.type !== 'usage') return undefined
    this.#used = addUsage(this.#used, event.usage)
    const code = exceededLimit(this.#options.limits, this.#used)
    return code === undefined ? undefined : this.#fail(code, `it used ${JSON.stringify(this.#used)}`)
  }

  /**
   * Judges how the executor ended: its last words are output, too, and what it says there that it used may be more than
   * it told on the way.
   *
   * @param ending - as the executor has it
   * @returns that, or the failure that it is because of a limit
   */
  judge(ending: Ending): Ending {
    if (ending.status !== 'completed') return ending
    const used = greaterUsage(this.#used, ending.usage ?? {})
    const failure = this.#excess(ending, used)
    return failure === undefined ? ending : withUsage(failure, used)
  }

  #excess({ output = null, text }: Ending & { readonly status: 'completed' }, used: Usage): Ending | undefined {
    const bytes = output === null && text === '' ? 0 : this.#bytesOf([output, text])
    if (this.#bytes + bytes > this.#most)
      return failed('LIMIT_OUTPUT', `with its result it told more than ${this.#most} bytes`)
    const code = exceededLimit(this.#options.limits, used)
    return code === undefined ? undefined : failed(code, `it used ${JSON.stringify(used)}`)
  }

  get #most(): number {
    return this.#options.limits.outputBytes ?? Infinity
  }

  /** Nobody pays for the measuring of what is not bounded. */
  #bytesOf(value: unknown): number {
    return this.#most === Infinity ? 0 : Buffer.byteLength(JSON.stringify(value))
  }

  #fail(code: ErrorCode, message: string): GreenroomError {
    const error = new GreenroomError(code, message)
    this.#exceed(failed(code, message), error)
    return error
  }

  #exceed(ending: Ending, error: GreenroomError): void {
    if (this.#state === 'over') return
    this.stop()
    this.#options.onExceeded(ending, error)
  }

  /** How much time a call could use so far. */
  #elapse(): number {
    const now = this.#watch.read()
    const passed = this.#pauses > 0 ? 0 : now - this.#seen
    this.#ran += passed
    if (!this.#options.isWaiting()) this.#watched += passed
    this.#seen = now
    return this.#watched
  }

  #look(): void {
    if (this.#state !== 'running') return
    const { limits, clock, rssMb } = this.#options
    const { totalMs = Infinity, toolMs = Infinity, memoryMb = Infinity } = limits
    const toolLeft = toolMs + Math.min(...this.#calls.values()) - this.#elapse()
    const totalLeft = totalMs - this.#ran
    if (totalLeft <= 0) return this.#timeOut('total', totalMs)
    if (toolLeft <= 0) return this.#timeOut('tool', toolMs)
    const rss = memoryMb === Infinity ? 0 : (rssMb?.() ?? 0)
    if (rss > memoryMb) return void this.#fail('LIMIT_MEMORY', `it used ${rss} MiB of ${memoryMb} MiB`)
    const left = Math.min(
      memoryMb < Infinity ? memoryMs : Infinity,
      totalMs < Infinity || toolMs < Infinity ? Math.min(this.#stepMs, totalLeft, toolLeft) : Infinity,
    )
    // Nothing is bounded that has to be looked at.
    if (left < Infinity) this.#timer = clock.timer(Math.max(1, left), () => this.#look(), { background: true })
  }

  #timeOut(which: 'total' | 'tool', ms: number): void {
    const what = which === 'total' ? 'the run' : 'a tool call'
    this.#exceed({ status: 'timeout', which }, new GreenroomError('TIMEOUT', `${what} took longer than ${ms} ms`))
  }
}
