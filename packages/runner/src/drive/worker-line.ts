/** The runner's line to one worker: what it sends to that mailbox, and takes back. */
import { encodeMessage, kinds, type Peer, type Receipt, type Revocation, type RunMessages } from '@greenroom/proto'

/** A line to one mailbox. */
export class WorkerLine {
  readonly #peer: Peer
  readonly #to: string

  /**
   * @param peer - the runner's
   * @param to - the worker's mailbox
   */
  constructor(peer: Peer, to: string) {
    this.#peer = peer
    this.#to = to
  }

  /** Sends on the durable lane. */
  send<K extends 'cancel' | 'steer'>(kind: K, id: string, message: RunMessages[K]): Promise<Receipt> {
    const { control } = kinds[kind]
    return this.#peer.send({ to: this.#to, id, kind, control, payload: encodeMessage(kind, message) })
  }

  /** Sends on the live lane: a hint, or a word that is repeated when it is missed. */
  publish<K extends 'cancel' | 'terminal-ack'>(kind: K, message: RunMessages[K]): void {
    this.#peer.publish({ to: this.#to, kind, payload: encodeMessage(kind, message) })
  }

  /** Takes a message back, unless it was claimed. */
  revoke(id: string, signal?: AbortSignal): Promise<Revocation> {
    return this.#peer.revoke({ to: this.#to, id }, signal === undefined ? {} : { signal })
  }
}
