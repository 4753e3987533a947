/** A worker's line to the runners that it works for: what it says, and how long it waits for an answer. */
import {
  codeOf,
  encodeMessage,
  errors,
  isErrorCode,
  kinds,
  type Clock,
  type Delivery,
  type Peer,
  type RunKind,
  type RunMessages,
  type RunRef,
} from '@greenroom/proto'
import { encodeTerminal, messageOf, type Ending } from './ending.ts'
import { insist, pause, within } from './pause.ts'
import type { Lasting } from './runner-requests.ts'

/** A timer that fires later than this, in milliseconds, tells that its process stood still. */
const longestDelayMs = 1_000

/** What a line is made of. */
export interface RunnerLineOptions {
  /** The worker's mailbox. */
  readonly peer: Peer
  readonly clock: Clock
  /** Says to people what could not be said to a runner. */
  readonly log: (line: string) => void
}

/** What is answered by the runner. */
export type RequestKind = 'approval-request' | 'children-request' | 'bridge-request'

/** See above. */
export class RunnerLine {
  readonly #options: RunnerLineOptions
  /** Aborts when it makes no sense any more to repeat a terminal. */
  readonly #hopeless = new AbortController()
  /** How often its connection came back. */
  #attachments = 0

  /** @param options - see {@link RunnerLineOptions} */
  constructor(options: RunnerLineOptions) {
    this.#options = options
  }

  /** Aborts when nobody is there any more to hear anything. */
  get hopeless(): AbortSignal {
    return this.#hopeless.signal
  }

  /** Nobody is there any more. */
  giveUp(): void {
    this.#hopeless.abort()
  }

  /** The connection is back. */
  attached(): void {
    this.#attachments += 1
  }

  /** Sends a durable message. Never rejects. */
  async send<K extends RunKind>(to: string, kind: K, id: string, message: RunMessages[K]): Promise<void> {
    const { peer, clock, log } = this.#options
    try {
      const outgoing = { to, id, kind, control: kinds[kind].control, payload: encodeMessage(kind, message) }
      // Each is waited for.
      await insist(clock, this.hopeless, () => peer.send(outgoing))
    } catch (error) {
      log(`${kind} to ${to} was not stored: ${messageOf(error)}`)
    }
  }

  /**
   * Sends a request.
   *
   * @param lasting - how long it makes sense
   * @throws GreenroomError as `Peer.send`
   */
  async ask<K extends RequestKind>(
    to: string,
    kind: K,
    request: RunMessages[K],
    { signal, ...ttl }: Lasting,
  ): Promise<void> {
    const payload = encodeMessage(kind, request)
    const message = { to, id: `${kind}-${request.requestId}`, kind, control: kinds[kind].control, payload, ...ttl }
    await this.#options.peer.send(message, { signal })
  }

  /** Sends a live message, which may be lost. */
  publish<K extends RunKind>(to: string, kind: K, message: RunMessages[K]): void {
    this.#options.peer.publish({ to, kind, payload: encodeMessage(kind, message) })
  }

  /** Claims the right to start (R2); false when there is none. */
  async claim(delivery: Delivery): Promise<boolean> {
    try {
      await delivery.claim()
      return true
    } catch (error) {
      this.#options.log(`run ${delivery.id} was not claimed: ${messageOf(error)}`)
      return false
    }
  }

  /**
   * Says how an attempt ended: repeated while storage or quota say that it may help, and it is not in vain yet.
   *
   * @param to - the runner
   * @param ref - the attempt
   * @param ending - how
   * @param lastSeq - the number of its last event
   * @param withinMs - not longer than that
   */
  async terminate(to: string, ref: RunRef, ending: Ending, lastSeq: number, withinMs: number): Promise<void> {
    const { peer, clock, log } = this.#options
    const payload = encodeTerminal(ref, ending, lastSeq)
    const message = { to, id: `terminal-${ref.runId}-${ref.epoch}`, kind: 'terminal', control: true, payload }
    const deadline = clock.monotonic() + withinMs
    for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, 5_000)) {
      try {
        await peer.send(message, { signal: this.hopeless })
        return
      } catch (error) {
        const code = codeOf(error)
        // A stored one that is sent again is a stray, and dropped.
        const mayHelp =
          (code === 'OUTCOME_UNKNOWN' && withinMs === Infinity) || (isErrorCode(code) && errors[code].retry === 'later')
        const again = mayHelp && clock.monotonic() + delayMs < deadline
        if (!again) return log(`terminal of run ${ref.runId} was not stored: ${messageOf(error)}`)
        await pause(clock, delayMs, this.hopeless).catch(() => {})
      }
    }
  }

  /** Waits for an event; without a connection, or while the machine sleeps, nothing can come: then the time begins anew. */
  async connectedFor(ms: number, event: Promise<void>): Promise<void> {
    const { peer, clock } = this.#options
    for (;;) {
      const before = this.#attachments
      const due = clock.monotonic() + ms
      if (await within(clock, ms, event)) return
      const slept = clock.monotonic() > due + longestDelayMs
      if (!slept && peer.state !== 'lost' && this.#attachments === before) return
    }
  }
}
