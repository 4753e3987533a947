/** The operators' frames: what `admin` and `delete` ask for. */
import { GreenroomError, type Admin } from '@greenroom/proto'
import type { Page } from './list.ts'
import type { CoreOperator } from './operator.ts'

/** What an operator gets: rows, where the list goes on, and for `show` the payload. */
export interface Shown {
  readonly rows: readonly object[]
  readonly next?: string
  readonly payload?: Uint8Array
}

/**
 * Answers an `admin` frame.
 *
 * @throws GreenroomError `BAD_FRAME` when a field is missing, and what the operation throws
 */
export async function administer(operator: CoreOperator, { op, address, id, path, after }: Admin): Promise<Shown> {
  switch (op) {
    case 'mailboxes':
      return address === undefined ? shown(operator.mailboxPage(after)) : { rows: [operator.mailbox(address)] }
    case 'dead-letters':
      return shown(operator.deadLetterPage(address, after))
    case 'show': {
      const { letter, payload } = await operator.deadLetter(letterAddress(address, id))
      return { rows: [letter], payload }
    }
    case 'requeue':
      await operator.requeue(letterAddress(address, id))
      return { rows: [] }
    case 'purge': {
      const letters = { address: needed('address', address), ...(id !== undefined && { id }) }
      return { rows: [{ purged: await operator.purge(letters) }] }
    }
    case 'backup':
      return { rows: [await operator.backup(needed('path', path))] }
  }
}

function shown({ rows, next }: Page<object>): Shown {
  return { rows, ...(next !== undefined && { next }) }
}

function letterAddress(address?: string, id?: string): { readonly address: string; readonly id: string } {
  return { address: needed('address', address), id: needed('id', id) }
}

function needed(name: string, value: string | undefined): string {
  if (value === undefined) throw new GreenroomError('BAD_FRAME', `admin needs "${name}" here`)
  return value
}
