/** Texts on their way to one run: whatever becomes of it, each is answered, and none is lost. */
import type { Message, RunEvent, SteerMode, SteerReceipt, WireEvent } from '@greenroom/proto'
import type { SteerStatus } from './run.ts'

/** A text that has no entry in the transcript yet. */
export interface Steer {
  /** Names the text, and the entry that it becomes. */
  readonly id: string
  /** What is said. */
  readonly text: string
  /** When it is to be taken up. */
  readonly mode: SteerMode
  /** Whether its sender does not wait for a worker. */
  readonly atOnce?: boolean
  /** Answers its sender. */
  readonly settle: (status: SteerStatus | Promise<SteerStatus>) => void
}

/** What takes texts to the worker: the present attempt. */
interface Carrier {
  steer(id: string, text: string, mode: SteerMode): void
}

/** The texts of one run. */
export class Steering {
  readonly #steers = new Map<string, Steer>()
  /** Whether no worker has the run, as far as is known. */
  #isParked = true

  /**
   * Takes a text.
   *
   * @param id - names it
   * @param text - what is said
   * @param mode - when it is to be taken up
   * @param carrier - the attempt whose worker has claimed the run, if there is one
   * @param atOnce - whether it is answered as `queued` while no worker has the run
   * @returns where it got to
   */
  send(id: string, text: string, mode: SteerMode, carrier: Carrier | undefined, atOnce = false): Promise<SteerStatus> {
    const { promise, resolve } = Promise.withResolvers<SteerStatus>()
    this.#steers.set(id, { id, text, mode, atOnce, settle: resolve })
    if (atOnce && this.#isParked) resolve('queued')
    carrier?.steer(id, text, mode)
    return promise
  }

  /** No worker has the run any more: the next one gets what the last one did not take. */
  park(): void {
    this.#isParked = true
    for (const { atOnce, settle } of this.#steers.values()) if (atOnce === true) settle('queued')
  }

  /** Takes one that was sent in an earlier life of the runner: its sender was answered then, or is no more. */
  restore({ id, text, mode }: Omit<Steer, 'settle'>): void {
    this.#steers.set(id, { id, text, mode, settle: () => undefined })
  }

  /** Whether no text is on its way. */
  get isEmpty(): boolean {
    return this.#steers.size === 0
  }

  /** A worker has claimed the run: not before, since it knows no run that it has not claimed. */
  handOver(carrier: Carrier): void {
    this.#isParked = false
    for (const { id, text, mode } of this.#steers.values()) carrier.steer(id, text, mode)
  }

  /** What a worker did with one. What it refused is settled with what got no receipt at all, by {@link Steering.close}. */
  receipt({ steerId, status }: SteerReceipt): void {
    if (status !== 'not-live') this.#steers.get(steerId)?.settle(status)
  }

  /** An event of the run: a worker that took a text names its entry after it. */
  noteTaken(event: RunEvent | WireEvent): void {
    if (event.type !== 'message' || !isMessage(event.message) || event.message.id === undefined) return
    const steer = this.#steers.get(event.message.id)
    this.#steers.delete(event.message.id)
    steer?.settle(steer.mode === 'now' ? 'delivered' : 'queued')
  }

  /** The run is over: what has no entry, in the order in which it came. */
  close(): readonly Steer[] {
    const late = [...this.#steers.values()]
    this.#steers.clear()
    return late
  }
}

/**
 * Answers the senders of texts that came too late.
 *
 * @param late - the texts
 * @param keep - puts one into the transcript, where it is not yet
 */
export function settleLate(late: readonly Steer[], keep: (id: string, text: string) => Promise<SteerStatus>): void {
  for (const { id, text, settle } of late) {
    const kept = keep(id, text)
    // Who was told `queued` hears no more of it.
    kept.catch(() => undefined)
    settle(kept)
  }
}

/** The door has checked it; this only tells the compiler. */
export function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'content' in value
}
