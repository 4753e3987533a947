/** How fast one connection is read: not while too much of it waits for answers, and not above its rate. */
import type { Clock, Timer } from '@greenroom/proto'

/** What a gate bounds, and what it opens and shuts. */
export interface GateOptions {
  readonly clock: Clock
  /** Bytes that may wait for answers. */
  readonly bytes: number
  /** Frames a second; as many may come in a burst. */
  readonly perSecond: number
  readonly pause: () => void
  readonly resume: () => void
}

/** Bounds without refusing: what comes too fast waits in the socket, at its sender. */
export class Gate {
  readonly #options: GateOptions
  #waiting = 0
  #allowance: number
  #countedAt: number
  #isShut = false
  #timer: Timer | undefined

  constructor(options: GateOptions) {
    this.#options = options
    this.#allowance = options.perSecond
    this.#countedAt = options.clock.monotonic()
  }

  /** Whether nothing is read now. */
  get isShut(): boolean {
    return this.#isShut
  }

  /** A frame came; more may come that were read already, and only shorten the next second. */
  count(): void {
    this.#refill()
    this.#allowance -= 1
    if (this.#timer === undefined) this.#wait()
  }

  /** So much has to be answered. */
  begin(bytes: number): void {
    this.#waiting += bytes
    this.#set()
  }

  /** So much was answered. */
  end(bytes: number): void {
    this.#waiting -= bytes
    this.#set()
  }

  /** Sets no timer any more. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #refill(): void {
    const { clock, perSecond } = this.#options
    const now = clock.monotonic()
    this.#allowance = Math.min(perSecond, this.#allowance + ((now - this.#countedAt) * perSecond) / 1000)
    this.#countedAt = now
  }

  /** Shuts until nothing is owed. */
  #wait(): void {
    if (this.#allowance < 0) {
      const owed = (): void => {
        this.#timer = undefined
        this.#refill()
        this.#wait()
      }
      const delayMs = Math.ceil((-this.#allowance * 1000) / this.#options.perSecond)
      this.#timer = this.#options.clock.timer(delayMs, owed, { background: true })
    }
    this.#set()
  }

  #set(): void {
    const isShut = this.#timer !== undefined || this.#waiting > this.#options.bytes
    if (isShut === this.#isShut) return
    this.#isShut = isShut
    if (isShut) this.#options.pause()
    else this.#options.resume()
  }
}
