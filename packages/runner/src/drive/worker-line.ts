/** The runner's line to one worker: what it sends to that mailbox, and takes back. */
import {
  codeOf,
  encodeMessage,
  kinds,
  limits,
  type Clock,
  type Peer,
  type Receipt,
  type Revocation,
  type RunMessages,
  type RunRef,
} from '@greenroom/proto'
import { runMessageId } from './assignment.ts'

/** A line to one mailbox. */
export class WorkerLine {
  readonly #peer: Peer
  readonly #to: string
  readonly #clock: Clock
  readonly #since: number

  /**
   * @param peer - the runner's
   * @param to - the worker's mailbox
   * @param clock - tells how old the line is
   * @param since - nothing was sent on it before, in milliseconds since the epoch. = now
   */
  constructor(peer: Peer, to: string, clock: Clock, since = clock.now()) {
    this.#peer = peer
    this.#to = to
    this.#clock = clock
    this.#since = since
  }

  /** Sends a cancel on the durable lane. */
  cancel(id: string, message: RunMessages['cancel']): Promise<Receipt> {
    const kind = 'cancel'
    const { control } = kinds[kind]
    return this.#peer.send({ to: this.#to, id, kind, control, payload: encodeMessage(kind, message) })
  }

  /** Sends on the live lane: a hint, or a word that is repeated when it is missed. */
  publish<K extends 'cancel' | 'terminal-ack'>(kind: K, message: RunMessages[K]): void {
    this.#peer.publish({ to: this.#to, kind, payload: encodeMessage(kind, message) })
  }

  /** Takes an assignment back. What the broker may have forgotten proves nothing: it counts as claimed. */
  async withdraw(ref: RunRef, signal?: AbortSignal): Promise<Revocation> {
    const revoked = await this.revoke(runMessageId(ref), signal).catch((error: unknown): Revocation => {
      // Asked for so long that the answer proves nothing any more.
      if (codeOf(error) === 'OUTCOME_UNKNOWN') return 'claimed'
      throw error
    })
    return this.#clock.now() - this.#since > limits.dedupeWindowMs / 2 ? 'claimed' : revoked
  }

  /** Takes a message back, unless it was claimed. */
  revoke(id: string, signal?: AbortSignal): Promise<Revocation> {
    return this.#peer.revoke({ to: this.#to, id }, signal === undefined ? {} : { signal })
  }
}
