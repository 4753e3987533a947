/** Sending that waits for room on the broker's disk: a full one is no attempt's end. */
import { codeOf, type Clock, type Outgoing, type Peer, type Receipt } from '@greenroom/proto'
import { repeat, type Patience } from '../persistence.ts'

/**
 * Sends on the durable lane; what is refused for want of room is sent again.
 *
 * @param peer - who sends
 * @param message - what is sent
 * @param clock - measures the pauses
 * @param patience - how long; its signal ends the sending, too
 * @throws GreenroomError as `Peer.send`
 */
export function sendWhenRoom(peer: Peer, message: Outgoing, clock: Clock, patience: Patience): Promise<Receipt> {
  const { signal } = patience
  const send = (): Promise<Receipt> => peer.send(message, signal === undefined ? {} : { signal })
  return repeat(send, (error) => codeOf(error) === 'STORAGE_FULL', clock, patience)
}
