/** Quotas: how much may wait, in one mailbox and in all. */
import { GreenroomError } from '@greenroom/proto'
import type { Mailbox, Volume } from './mailbox.ts'
import type { BrokerLimits } from './options.ts'

/**
 * Refuses a message for which there is no room. What is being committed counts, so that many at once get no further.
 *
 * @param size - bytes of its payload
 * @throws GreenroomError `MAILBOX_FULL`
 */
export function checkRoom(limits: BrokerLimits, volume: Volume, mailbox: Mailbox, size: number): void {
  const { mailboxMessages, mailboxBytes, totalMessages, totalBytes } = limits
  const { messages, reserved, bytes } = volume
  if (mailbox.count + 1 > mailboxMessages || mailbox.bytes + size > mailboxBytes)
    throw new GreenroomError(
      'MAILBOX_FULL',
      `mailbox ${mailbox.address} holds ${mailbox.count} messages of ${mailbox.bytes} bytes`,
    )
  if (messages + reserved + 1 > totalMessages || bytes + size > totalBytes)
    throw new GreenroomError('MAILBOX_FULL', `the broker holds ${messages + reserved} messages of ${bytes} bytes`)
}
