/** `greenroom mailboxes`: what is in a broker's mailboxes, and their deletion. */
import { systemClock, type MailboxState } from '@greenroom/proto'
import { asOperator, type OperatorAccess } from './operator-access.ts'
import { age, size, table } from './table.ts'

/**
 * Lists all open mailboxes: as a table, or with `--json` as `{"mailboxes": MailboxState[]}`.
 *
 * @throws GreenroomError whatever keeps the broker from being asked
 */
export async function listMailboxes(access: OperatorAccess): Promise<void> {
  const mailboxes = await asOperator(access, (operator) => operator.mailboxes())
  process.stdout.write(access.json === true ? `${JSON.stringify({ mailboxes })}\n` : text(mailboxes))
}

function text(mailboxes: readonly MailboxState[]): string {
  if (mailboxes.length === 0) return 'no mailboxes\n'
  const now = systemClock.now()
  const rows = mailboxes.map((mailbox) => [
    mailbox.address,
    mailbox.lifetime ?? '-',
    mailbox.state,
    mailbox.incarnation ?? '-',
    String(mailbox.messages),
    String(mailbox.held),
    size(mailbox.bytes),
    mailbox.oldestAt === undefined ? '-' : age(now - mailbox.oldestAt),
    String(mailbox.deadLetters),
  ])
  const head = ['MAILBOX', 'LIFETIME', 'STATE', 'INCARNATION', '>MESSAGES', '>HELD', '>SIZE', '>OLDEST', '>DEAD']
  return table(head, rows)
}

/**
 * Deletes a mailbox that nobody has; with `--json` it says `{"deleted": address}`.
 *
 * @throws GreenroomError `UNKNOWN_MAILBOX`, `MAILBOX_IN_USE`
 */
export async function deleteMailbox(address: string, access: OperatorAccess): Promise<void> {
  await asOperator(access, (operator) => operator.deleteMailbox(address))
  process.stdout.write(access.json === true ? `${JSON.stringify({ deleted: address })}\n` : `deleted ${address}\n`)
}
