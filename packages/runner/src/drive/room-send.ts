/** Sending that waits for room at the broker: a full disk or mailbox is no attempt's end. */
import { codeOf, errors, isErrorCode, type Clock, type Outgoing, type Peer, type Receipt } from '@greenroom/proto'
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
  return repeat(send, mayHelp, clock, patience)
}

function mayHelp(error: unknown): boolean {
  const code = codeOf(error)
  return isErrorCode(code) && errors[code].retry === 'later'
}
