/** `greenroom dead-letters`: messages that came back too often, and what a person does with them. */
import { codeOf, GreenroomError, systemClock, type DeadLetter, type Operator } from '@greenroom/proto'
import { asOperator, type OperatorAccess } from './operator-access.ts'
import { printPayload, viewPayload } from './payload-view.ts'
import { age, size, table } from './table.ts'

/** What `requeue` and `purge` are told. */
export interface LettersAccess extends OperatorAccess {
  /** All dead letters of the mailbox. */
  readonly all?: boolean
}

function write(access: OperatorAccess, document: object, text: string): void {
  process.stdout.write(access.json === true ? `${JSON.stringify(document)}\n` : text)
}

/**
 * Lists dead letters: as a table, or with `--json` as `{"deadLetters": DeadLetter[]}`.
 *
 * @param address - of this mailbox only. = all
 * @throws GreenroomError whatever keeps the broker from being asked
 */
export async function listDeadLetters(address: string | undefined, access: OperatorAccess): Promise<void> {
  const deadLetters = await asOperator(access, (operator) => operator.deadLetters(address))
  write(access, { deadLetters }, deadLetters.length === 0 ? 'no dead letters\n' : listed(deadLetters))
}

function listed(letters: readonly DeadLetter[]): string {
  const now = systemClock.now()
  const rows = letters.map(({ address, id, kind, from, size: bytes, at, attempts, history }) => [
    address,
    id,
    kind,
    from,
    size(bytes),
    age(now - at),
    String(attempts),
    history.at(-1)?.why ?? '-',
  ])
  return table(['MAILBOX', 'ID', 'KIND', 'FROM', '>SIZE', '>AGE', '>ATTEMPTS', 'LAST'], rows)
}

/**
 * Shows one dead letter with its history and payload; with `--json` as `{"deadLetter": DeadLetter, "payload": {encoding:
 * "json" | "text" | "base64", value}}`.
 *
 * @throws GreenroomError `UNKNOWN_LETTER`
 */
export async function showDeadLetter(address: string, id: string, access: OperatorAccess): Promise<void> {
  const { letter, payload } = await asOperator(access, (operator) => operator.deadLetter({ address, id }))
  const view = viewPayload(payload)
  write(access, { deadLetter: letter, payload: view }, `${shown(letter)}${printPayload(view)}`)
}

function shown({ address, id, kind, from, fromIncarnation, at, size: bytes, attempts, history }: DeadLetter): string {
  const time = (ms: number): string => `${new Date(ms).toISOString()} (${age(systemClock.now() - ms)} ago)`
  const facts = [
    ['mailbox', address],
    ['id', id],
    ['kind', kind],
    ['from', fromIncarnation === undefined ? from : `${from} (${fromIncarnation})`],
    ['stored', time(at)],
    ['size', size(bytes)],
    ['attempts', String(attempts)],
    ...history.map((one, index) => [index === 0 ? 'returned' : '', `${time(one.at)} ${one.why}, ${one.by}`]),
  ]
  const [head = [], ...rows] = facts
  return table(head, rows)
}

/**
 * Puts dead letters back into their mailbox, one after the other; with `--json` it says `{"requeued": ids}`.
 *
 * @param ids - which; none together with `--all`
 * @throws GreenroomError `UNKNOWN_LETTER`, `MAILBOX_FULL`, `MAILBOX_CLOSED`, `STORAGE_FULL`; those before it are back
 */
export async function requeueDeadLetters(
  address: string,
  ids: readonly string[],
  access: LettersAccess,
): Promise<void> {
  checkWhich(ids, access)
  const requeued = await asOperator(access, async (operator) => {
    const all = access.all === true ? await idsOf(operator, address) : ids
    await each(all, 'requeued', (id) => operator.requeue({ address, id }))
    return all
  })
  write(access, { requeued }, `requeued ${requeued.length} to ${address}\n`)
}

/**
 * Deletes dead letters for good; with `--json` it says `{"purged": count}`.
 *
 * @param ids - which; none together with `--all`
 * @throws GreenroomError `UNKNOWN_LETTER`; those before it are gone
 */
export async function purgeDeadLetters(address: string, ids: readonly string[], access: LettersAccess): Promise<void> {
  checkWhich(ids, access)
  const purged = await asOperator(access, async (operator) => {
    if (access.all === true) return operator.purge({ address })
    await each(ids, 'purged', (id) => operator.purge({ address, id }))
    return ids.length
  })
  write(access, { purged }, `purged ${purged} of ${address}\n`)
}

function checkWhich(ids: readonly string[], { all = false }: LettersAccess): void {
  if (all === ids.length > 0) throw new GreenroomError('BAD_OPTIONS', 'which dead letters? Give their ids, or --all')
}

async function idsOf(operator: Operator, address: string): Promise<readonly string[]> {
  const letters = await operator.deadLetters(address)
  if (letters.length === 0) throw new GreenroomError('UNKNOWN_LETTER', `mailbox ${address} has no dead letters`)
  return letters.map(({ id }) => id)
}

/** Does one after the other; an error says what was done before it. */
async function each(ids: readonly string[], done: string, work: (id: string) => Promise<unknown>): Promise<void> {
  for (const [index, id] of ids.entries()) {
    try {
      await work(id)
    } catch (error) {
      const code = codeOf(error)
      if (index === 0 || code === undefined || !(error instanceof Error)) throw error
      throw new GreenroomError(code, `${done} ${index}, then: ${error.message}`, { cause: error })
    }
  }
}
