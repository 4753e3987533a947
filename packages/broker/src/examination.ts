/**
 * An examination of a data folder, for `greenroom doctor`: what is wrong with it, and what to do. It changes nothing, and may
 * run while a broker or a runner works on the folder.
 */
import { codeOf, GreenroomError } from '@greenroom/proto'
import { inspectFolder, inspectStore, isStoreError, type FolderState, type Inspection } from '@greenroom/store'
import { brokerSchema, deadLetterOf, mailboxRecord, messageFacts, splitKey } from './records.ts'
import { scanAll } from './recovery.ts'
import { isWhole } from './removal.ts'
import { fromStore } from './store-error.ts'

/** What one check found. */
export interface Finding {
  /** What was looked at. */
  readonly check:
    | 'owner'
    | 'schema'
    | 'restored'
    | 'integrity'
    | 'records'
    | 'payloads'
    | 'dead-letters'
    | 'mailboxes'
    | 'disk'
  /** Whether it is in order, a person should know, or something is broken. */
  readonly level: 'ok' | 'warn' | 'fail'
  /** What was found, in a line. */
  readonly text: string
  /** What to do about it; absent when there is nothing to do. */
  readonly todo?: string
  /** The numbers behind it. */
  readonly facts?: Readonly<Record<string, number | string>>
}

const mib = (bytes: number): string => `${(bytes / (1024 * 1024)).toFixed(1)} MiB`
const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`
const damagedTodo = 'restore the last backup (greenroom restore), or salvage what can be read with sqlite3 .recover'

/**
 * Examines a data folder.
 *
 * @param dir - the data folder, whether anybody runs on it or not
 * @returns a finding for each check that could be made; those that a damaged or newer database prevents are missing
 * @throws GreenroomError `BAD_OPTIONS` when there is no database in it, `IO_FAILED`, `DATA_DIR_IN_USE` when somebody began to
 * run on it meanwhile: then look again
 */
export function examineData(dir: string): readonly Finding[] {
  try {
    const state = inspectFolder(dir)
    const findings = [ownerOf(state), ...examineDatabase(dir, state)]
    if (state.owner === undefined && inspectFolder(dir).owner !== undefined)
      throw new GreenroomError('DATA_DIR_IN_USE', `somebody began to run on ${dir} meanwhile: look again`)
    return findings
  } catch (error) {
    throw fromStore(error)
  }
}

function ownerOf({ owner }: FolderState): Finding {
  if (owner === undefined) return { check: 'owner', level: 'ok', text: 'nobody runs on it' }
  const { pid, startedAt = 'an unknown time' } = owner
  const text = `process ${pid ?? '(unknown)'} runs on it since ${startedAt}`
  return { check: 'owner', level: 'ok', text, ...(pid !== undefined && { facts: { pid } }) }
}

function diskOf({ bytes, freeBytes, reserveBytes }: FolderState, reusableBytes: number): Finding {
  const facts = { bytes, freeBytes, reusableBytes, reserveBytes }
  const text = `${mib(freeBytes)} free, ${mib(bytes)} of data (${mib(reusableBytes)} reusable), reserve ${mib(reserveBytes)}`
  const todo = 'make room on its file system: below the reserve sends are refused as STORAGE_FULL, acks go on'
  if (freeBytes >= 2 * reserveBytes) return { check: 'disk', level: 'ok', text, facts }
  const isRefusing = freeBytes + reusableBytes < reserveBytes || freeBytes < reserveBytes / 4
  return { check: 'disk', level: isRefusing ? 'fail' : 'warn', text, todo, facts }
}

function* examineDatabase(dir: string, state: FolderState): Generator<Finding> {
  let inspection: Inspection
  try {
    inspection = inspectStore(dir, brokerSchema)
  } catch (error) {
    if (!isStoreError(error)) throw error
    if (error.code === 'SCHEMA_TOO_NEW')
      yield {
        check: 'schema',
        level: 'fail',
        text: error.message,
        todo: 'use the version that wrote it, or a newer one',
      }
    else if (error.code === 'STORE_DAMAGED')
      yield { check: 'integrity', level: 'fail', text: error.message, todo: damagedTodo }
    else throw error
    yield diskOf(state, 0)
    return
  }
  using database = inspection
  yield schemaOf(database)
  if (database.restoredFrom !== undefined) yield restoredOf(database, database.restoredFrom)
  yield integrityOf(database)
  let isTold = false
  try {
    const records = recordsOf(database)
    isTold = records.level === 'fail'
    yield records
    for (const examine of [payloadsOf, deadLettersOf, mailboxesOf]) yield examine(database)
  } catch (error) {
    if (codeOf(error) !== 'STORE_DAMAGED' || !(error instanceof Error)) throw error
    if (!isTold) yield { check: 'records', level: 'fail', text: error.message, todo: damagedTodo }
  }
  yield diskOf(state, database.reusableBytes)
}

function integrityOf(database: Inspection): Finding {
  const [problem, ...more] = database.problems()
  if (problem === undefined) return { check: 'integrity', level: 'ok', text: 'pages and indexes are whole' }
  const text = more.length === 0 ? problem : `${problem}, and ${more.length} more`
  return { check: 'integrity', level: 'fail', text, todo: damagedTodo }
}

function schemaOf({ version }: Inspection): Finding {
  const known = brokerSchema.version
  const facts = { version, known }
  if (version === known) return { check: 'schema', level: 'ok', text: `version ${version}, as this program's`, facts }
  const text = `version ${version}; this program's is ${known}`
  return { check: 'schema', level: 'warn', text, todo: 'nothing: the next start migrates it', facts }
}

function restoredOf(database: Inspection, { id, at }: NonNullable<Inspection['restoredFrom']>): Finding {
  const of = `it was restored from the backup of ${new Date(at).toISOString()}`
  const facts = { backup: id, at }
  if (database.get('life', 'restored')?.meta['backup'] === id)
    return { check: 'restored', level: 'ok', text: of, facts }
  const todo = 'nothing: the next start of a broker begins a new life'
  return { check: 'restored', level: 'warn', text: `${of}, and no broker ran on it since`, todo, facts }
}

/** What they carry is looked at by itself. */
const ownDigests: ReadonlySet<string> = new Set(['message', 'dead'])

function recordsOf(database: Inspection): Finding {
  const facts = Object.fromEntries(database.collections.map((name) => [name, database.count(name)]))
  const counted = Object.entries(facts).filter(([, count]) => count > 0)
  const text = counted.map(([name, count]) => `${count} ${name}`).join(', ') || 'none'
  const unreadable = database.collections.flatMap((name) =>
    database.damagedKeys(name, { unchecked: ownDigests.has(name) }).map((key) => `${name} ${key}`),
  )
  if (unreadable.length > 0) {
    const all = counted.reduce((sum, [, count]) => sum + count, 0)
    const named = `${unreadable.length} of ${plural(all, 'record')} are not as they were written: ${unreadable.slice(0, 5).join(', ')}`
    return { check: 'records', level: 'fail', text: named, todo: damagedTodo, facts }
  }
  return { check: 'records', level: 'ok', text, facts }
}

/** Keys of a collection whose payload is not what was stored. */
function damagedKeys(database: Inspection, collection: string): { readonly all: number; readonly keys: string[] } {
  const keys: string[] = []
  let all = 0
  for (const record of scanAll(database, collection)) {
    all += 1
    // One payload in memory at a time.
    const body = database.get(collection, record.key, { unchecked: true })?.body ?? new Uint8Array(0)
    if (!isWhole(messageFacts(record), body)) keys.push(record.key)
  }
  return { all, keys }
}

function payloadsOf(database: Inspection): Finding {
  const { all, keys } = damagedKeys(database, 'message')
  const facts = { messages: all, damaged: keys.length }
  if (keys.length === 0)
    return { check: 'payloads', level: 'ok', text: `${plural(all, 'message')}: each as it was stored`, facts }
  const text = `${keys.length} of ${plural(all, 'message')} damaged: ${keys.slice(0, 5).join(', ')}`
  const todo = 'they will not be delivered but become dead letters, and their senders are told; look at the disk'
  return { check: 'payloads', level: 'fail', text, todo, facts }
}

function deadLettersOf(database: Inspection): Finding {
  const { all, keys } = damagedKeys(database, 'dead')
  const mailboxes = new Set([...scanAll(database, 'dead')].map((record) => deadLetterOf(record).address)).size
  const facts = { letters: all, mailboxes, damaged: keys.length }
  if (all === 0) return { check: 'dead-letters', level: 'ok', text: 'none', facts }
  const text = `${plural(all, 'letter')} of ${plural(mailboxes, 'mailbox', 'mailboxes')}, ${keys.length} of them damaged`
  return {
    check: 'dead-letters',
    level: 'warn',
    text,
    todo: 'greenroom dead-letters list, then requeue or purge',
    facts,
  }
}

function mailboxesOf(database: Inspection): Finding {
  const waiting = new Map<string, number>()
  for (const { key } of scanAll(database, 'message')) {
    const [address] = splitKey(key)
    waiting.set(address, (waiting.get(address) ?? 0) + 1)
  }
  let open = 0
  let ofGone = 0
  let messages = 0
  for (const record of scanAll(database, 'mailbox')) {
    open += 1
    const count = waiting.get(record.key) ?? 0
    if (mailboxRecord(record).incarnation !== undefined || count === 0) continue
    ofGone += 1
    messages += count
  }
  const closed = database.count('closed')
  const facts = { open, closed, withoutOwner: ofGone, waiting: messages }
  const text = `${open} open, ${closed} closed`
  if (ofGone === 0) return { check: 'mailboxes', level: 'ok', text, facts }
  const nobody = `${plural(messages, 'message')} in ${plural(ofGone, 'mailbox', 'mailboxes')} that nobody has`
  const todo = 'attach a consumer, or greenroom mailboxes delete; unused ones go after 7 days, and senders are told'
  return { check: 'mailboxes', level: 'warn', text: `${text}; ${nobody}`, todo, facts }
}
