/** The operators' frame: what `admin` asks for. */
import { GreenroomError, type Admin } from '@greenroom/proto'
import type { DeadLetters, Shown } from './dead-letters.ts'
import { fitting } from './list.ts'

/**
 * Answers an `admin` frame. Rows that do not fit into its header are counted in a last row, `{more}`.
 *
 * @throws GreenroomError `BAD_FRAME` when a field is missing, and what the operation throws
 */
export async function administer(letters: DeadLetters, { op, address, id }: Admin): Promise<Shown> {
  switch (op) {
    case 'mailboxes':
      return fit(letters.mailboxes(address))
    case 'dead-letters':
      return fit(letters.list(address))
    case 'show':
      return letters.show(needed('address', address), needed('id', id))
    case 'requeue':
      await letters.requeue(needed('address', address), needed('id', id))
      return { rows: [] }
    case 'purge':
      await letters.purge(needed('address', address), id)
      return { rows: [] }
  }
}

function needed(name: string, value: string | undefined): string {
  if (value === undefined) throw new GreenroomError('BAD_FRAME', `admin needs "${name}" here`)
  return value
}

function fit({ rows }: Shown): Shown {
  const end = fitting(rows)
  return end === rows.length ? { rows } : { rows: [...rows.slice(0, end), { more: rows.length - end }] }
}
