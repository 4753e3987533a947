/**
 * A new life: what a broker does first on data that was restored from a backup.
 *
 * What was receipted, claimed, revoked or fenced after the backup is not in it. So nothing that it says may be taken for
 * proof that something did not happen:
 *
 * - *Z1* Nobody of then comes back. Every incarnation that it knows is gone; one that it does not know, but that was attached
 *   before (`again`), is fenced.
 * - *Z2* No `run` of then is ever delivered: it may have been claimed since. `revoke` answers `claimed` for it.
 * - *Z3* For `dedupeWindowMs` from the first start on, `revoke` answers `claimed` for ids that it does not know, too.
 *
 * Everything else is delivered again, or returned, as after any end of its consumer.
 */
import type { Clock } from '@greenroom/proto'
import type { Operation, Store } from '@greenroom/store'
import type { CoreParts } from './courier.ts'
import type { Ownership } from './ownership.ts'
import { join } from './plan.ts'
import { lifeMeta, lifeRecord } from './records.ts'
import { remove } from './removal.ts'

const key = 'restored'

/** What a start on restored data knows. */
export interface Life {
  /** Whether this is the first start since. */
  readonly isNew: boolean
  /** When the first start was, in milliseconds since the epoch. */
  readonly since: number
}

/** Whether the data was restored, and when it was first started on; undefined when it never was. */
export function lifeOf(store: Store, clock: Clock): Life | undefined {
  const { restoredFrom } = store
  if (restoredFrom === undefined) return undefined
  const record = store.get('life', key)
  const known = record && lifeRecord(record)
  if (known?.backup === restoredFrom.id) return { isNew: false, since: known.at }
  return { isNew: true, since: clock.now() }
}

/** What a new life needs. */
export interface NewLifeParts extends CoreParts {
  readonly store: Store
  readonly ownership: Ownership
}

/**
 * Ends what was: after it the data is as if everybody had gone. It may be done again when it was cut off.
 *
 * @param since - of {@link Life}
 * @throws GreenroomError `COMMIT_UNKNOWN`
 */
export async function beginNewLife(parts: NewLifeParts, since: number): Promise<void> {
  const { store, ledger, registry, ownership, logger, clock } = parts
  const lost = [...registry]
    .filter(({ isClosed }) => !isClosed)
    .flatMap((mailbox) =>
      [...mailbox.messages.values()]
        .filter(({ kind }) => kind === 'run')
        .map((message) => remove(mailbox, message, 'lost', clock.now())),
    )
  if (lost.length > 0) await ledger.carryOut(join(lost))
  const owned = [...registry].flatMap((mailbox) =>
    mailbox.owner === undefined ? [] : [{ mailbox, incarnation: mailbox.owner.incarnation }],
  )
  await Promise.all(owned.map(({ mailbox, incarnation }) => ownership.leave(mailbox, incarnation)))
  const { id = '', at = 0 } = store.restoredFrom ?? {}
  const begun: Operation = { put: 'life', key, meta: lifeMeta({ backup: id, at: since }) }
  await ledger.carryOut({ operations: [begun], apply() {} })
  const facts = { backup: id, of: new Date(at).toISOString(), runs: lost.length, gone: owned.length }
  logger('warn', 'restored from a backup', facts)
}
