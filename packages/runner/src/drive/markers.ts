/**
 * Messages that the runner sends to itself: when one comes back, whatever was stored in its mailbox before it on the same lane
 * has come too.
 */
import { codeOf, encodePayload, type Clock, type Peer, type RunRef } from '@greenroom/proto'
import { untilAbort } from '../abort.ts'
import { repeat } from '../persistence.ts'
import { sendWhenRoom } from './room-send.ts'

/** Lanes of a mailbox: they have no order among each other. */
export type Lane = 'control' | 'data'

/**
 * The lane that a marker came back on.
 *
 * @param content - its payload, decoded
 */
export function laneOf(content: object): Lane {
  return 'lane' in content && content.lane === 'data' ? 'data' : 'control'
}

/** The markers of one attempt. */
export class Markers {
  readonly #peer: Peer
  readonly #clock: Clock
  readonly #ref: RunRef
  readonly #name: string
  #sent = 0
  readonly #back = { control: Promise.withResolvers<void>(), data: Promise.withResolvers<void>() }

  /** @param name - tells them from all others of this attempt in this life of the runner */
  constructor(peer: Peer, clock: Clock, ref: RunRef, name: string) {
    this.#peer = peer
    this.#clock = clock
    this.#ref = ref
    this.#name = name
  }

  /** One of them came back. */
  cameBack(lane: Lane): void {
    this.#back[lane].resolve()
  }

  /**
   * Waits until all is here that was stored in the runner's mailbox, on that lane, before now.
   *
   * @param signal - ends the waiting
   * @param enough - ends it too, without an error
   * @throws GreenroomError `ABORTED`; what the bus rejects with
   */
  async pass(lane: Lane, signal: AbortSignal, ...enough: readonly Promise<unknown>[]): Promise<void> {
    const { address, incarnation } = this.#peer
    const { runId, epoch } = this.#ref
    const payload = encodePayload({ ...this.#ref, lane })
    const send = async (): Promise<void> => {
      this.#sent += 1
      const id = `${this.#name}-${lane}-${runId}-${epoch}-${incarnation}-${this.#sent}`
      const marker = { to: address, id, kind: 'marker', control: lane === 'control', payload }
      await sendWhenRoom(this.#peer, marker, this.#clock, { signal })
    }
    // One of which nobody knows, as after a sleep of days, is followed by another: any of them says the same.
    await repeat(send, (error) => codeOf(error) === 'OUTCOME_UNKNOWN', this.#clock, { signal })
    await untilAbort(signal, Promise.race([this.#back[lane].promise, ...enough]))
  }
}
