/**
 * The journal: the runner's own tables.
 *
 * ```text
 * runner   self, restored           who this runner is on the bus; the last backup that it was restored from
 * run      runId                    what was asked for
 * open     runId                    that it has no outcome yet, and whether a backup brought it back
 * start    digest of a key          which run an idempotency key started
 * attempt  runId/epoch(6)           where it was tried, and how that ended
 * outcome  runId                    how it ended, once; the body is its JSON
 * entry: see `entry-journal` · text: `text-journal` · terminal, unfenced: `worker-journal` · completion:
 * `completion-journal` · budget: `budget-journal` · child: `child-journal`
 * approval, unsettled, decision, grant: `approval/approval-journal`
 * ```
 *
 * - *J1* An entry is committed before it is acknowledged to its worker, in order.
 * - *J2* An outcome, its attempt's end and the last of its session's messages are one transaction.
 * - *J3* A run is open from the transaction that records it to the one that records its outcome.
 * - *J4* Every write is repeated as P1 to P3 of `persistence` say.
 * - *J5* Runs that were open in a backup are marked when data that was restored from it is opened first: what was done with
 *   them since nobody knows, so nothing is done with them again.
 */
import {
  decodePayload,
  encodePayload,
  parseOutcome,
  type Delivery,
  type JsonValue,
  type Limits,
  type Outcome,
  type RunRef,
  type WaitArgs,
} from '@greenroom/proto'
import type { BackupMark, Operation } from '@greenroom/store'
import { ApprovalJournal, approvalCollections } from './approval/index.ts'
import type { BudgetOptions } from './budget.ts'
import { BudgetJournal } from './budget-journal.ts'
import { ChildJournal } from './child-journal.ts'
import { CompletionJournal } from './completion-journal.ts'
import { EntryJournal } from './entry-journal.ts'
import { epochKey } from './journal-key.ts'
import type { LimitOptions } from './limits.ts'
import type { PlaceKind } from './placement/index.ts'
import { briefly, type Patience, type PatientStore } from './persistence.ts'
import { damagedRecord, unlessDamaged, type OnDamaged } from './store-error.ts'
import { TextJournal, type PlacedText } from './text-journal.ts'
import { WorkerJournal } from './worker-journal.ts'

/** The collections that a store needs to hold a journal. */
export const journalCollections: readonly string[] = [
  'runner',
  'run',
  'open',
  'start',
  'attempt',
  'entry',
  'text',
  'terminal',
  'unfenced',
  'outcome',
  'completion',
  'budget',
  'child',
  ...approvalCollections,
]

/** What was asked for. Nothing secret. */
export type RunRecord = {
  readonly runId: string
  readonly role: string
  readonly session: string
  readonly task: string
  readonly input?: JsonValue
  readonly workspace: string
  readonly model?: string
  /** When, in milliseconds since the epoch. */
  readonly startedAt: number
  /** Waits so long from then on, in milliseconds. */
  readonly delayMs?: number
  readonly priority?: number
  readonly limits?: LimitOptions
  /** Whoever answers in its stead has it, too. */
  readonly budget?: BudgetOptions
  readonly detached?: boolean
  /** The parent that is told of its end. */
  readonly parent?: string
  /** Whose child it is. */
  readonly kin?: Kin
  /** It answers a question in the stead of another one: nobody waits for it in another life of the runner. */
  readonly isStandIn?: boolean
  /** The digest of the idempotency key that started it. */
  readonly startKey?: string
}

/** Whose child a run is. A type, not an interface: it is JSON. */
export type Kin = {
  /** The run ids from the root to its parent; empty for a child of the program. */
  readonly lineage: readonly string[]
  /** What its parent calls it by. */
  readonly childKey: string
}

/** An idempotency key: a start with the same one and the same content is the same start. */
export interface StartKey {
  /** Of the key. */
  readonly key: string
  /** Of what was asked for. */
  readonly digest: string
}

/** A run without an outcome, as an earlier life of the runner left it. */
export interface OpenRun {
  readonly record: RunRecord
  /** J5 */
  readonly isRestored: boolean
  /** In order. */
  readonly attempts: readonly (AttemptRecord & { readonly epoch: number; readonly lastSeq: number })[]
  /** On their way to it, in order. */
  readonly texts: readonly PlacedText[]
}

/** An attempt: with `end` once it is over. */
export type AttemptRecord = {
  readonly address: string
  readonly incarnation: string
  readonly host: string
  readonly pid?: number
  /** Tells that process from later ones with the same id, where the system says. */
  readonly process?: string
  readonly warm: boolean
  /** What kind of place it was in, if nobody here could end it. = local */
  readonly kind?: Exclude<PlaceKind, 'local'>
  /** In a fabric, whose record it was: there is its endpoint. */
  readonly site?: string
  /** Whether its executor says that a run may have its effects twice; not there while nobody knows. */
  readonly idempotent?: boolean
  readonly startedAt: number
  /** Its worker goes on without its runner: what it may use. */
  readonly detached?: { readonly limits: { readonly [Limit in keyof Limits]: Limits[Limit] } }
  readonly end?: {
    readonly how: string
    readonly lastSeq: number
    readonly at: number
    /** How long it executed, in milliseconds, as far as is known. */
    readonly ms?: number
    /** It was suspended until then. */
    readonly waitsFor?: { readonly [Field in keyof WaitArgs]: WaitArgs[Field] }
  }
}

/** What else speaks of a run that has ended. */
export interface RunTies {
  /** Whether nobody has to be told of its end any more. */
  readonly isFree: boolean
  readonly session: string | undefined
  readonly startKey: string | undefined
  /** The key of the note to its parent. */
  readonly completion: string | undefined
  /** Whose child it is. */
  readonly kin: Kin | undefined
}

/** How many entries one transaction removes. */
const forgetAtOnce = 512

/** Writes and reads the runner's tables. */
export class Journal {
  /** What runs told. */
  readonly entries: EntryJournal
  /** What is on its way to runs. */
  readonly texts: TextJournal
  /** What is known of workers that nobody follows. */
  readonly workers: WorkerJournal
  /** What parents are to be told. */
  readonly completions: CompletionJournal
  /** What runs may use with their descendants. */
  readonly budgets: BudgetJournal
  /** Whose children there are. */
  readonly children: ChildJournal
  /** What runs ask for. */
  readonly approvals: ApprovalJournal
  readonly #store: PatientStore
  /** Of the run that began last; undefined before the first one of this life. */
  #turn: number | undefined

  /** @param store - one with {@link journalCollections} */
  constructor(store: PatientStore) {
    this.#store = store
    this.entries = new EntryJournal(store)
    this.texts = new TextJournal(store)
    this.workers = new WorkerJournal(store)
    this.completions = new CompletionJournal(store, (runId) => this.outcome(runId))
    this.budgets = new BudgetJournal(store)
    this.children = new ChildJournal(store)
    this.approvals = new ApprovalJournal(store)
  }

  /** The name of this runner, the same in every life of its data folder. `fresh` is stored when there is none. */
  async identity(fresh: string): Promise<string> {
    const known = this.#store.get('runner', 'self')?.meta['id']
    if (typeof known === 'string') return known
    await this.#store.commit([{ put: 'runner', key: 'self', meta: { id: fresh } }], briefly)
    return fresh
  }

  /**
   * Begins a new life on restored data (J5), once for each backup.
   *
   * @param backup - what the data was restored from
   * @returns how many runs were open in it; undefined when nothing is new
   */
  async restored(backup: BackupMark | undefined): Promise<number | undefined> {
    if (backup === undefined || this.#store.get('runner', 'restored')?.meta['backup'] === backup.id) return undefined
    const open = this.#turns()
    await this.#store.commit(
      [
        ...open.map(([key, turn]): Operation => ({ put: 'open', key, meta: { turn, isRestored: true } })),
        { put: 'runner', key: 'restored', meta: { backup: backup.id } },
      ],
      briefly,
    )
    return open.length
  }

  /** Records what was asked for. Refused with `STORAGE_FULL` when little space is left: then nothing is stored. */
  begin(run: RunRecord, also: readonly Operation[], start?: StartKey, patience?: Patience): Promise<void> {
    const { runId } = run
    const meta = start === undefined ? run : { ...run, startKey: start.key }
    const operations: Operation[] = [
      { put: 'run', key: runId, meta },
      { put: 'open', key: runId, meta: { turn: this.#nextTurn() } },
    ]
    operations.push(...this.children.note(run))
    if (start !== undefined) operations.push({ put: 'start', key: start.key, meta: { runId, digest: start.digest } })
    return this.#store.commit([...also, ...operations], { ...patience, reserve: true })
  }

  /** The run that an idempotency key started, and the digest of what was asked for. */
  started(key: string): { readonly runId: string; readonly digest: string } | undefined {
    const { runId, digest } = this.#store.get('start', key)?.meta ?? {}
    return typeof runId === 'string' && typeof digest === 'string' ? { runId, digest } : undefined
  }

  /** Records where an attempt is tried. */
  attempt(ref: RunRef, record: AttemptRecord, patience?: Patience): Promise<void> {
    return this.#store.commit([attemptOperation(ref, record)], patience)
  }

  /** Takes an attempt back that was recorded while its run was refused. */
  discard(ref: RunRef): Promise<void> {
    return this.#store.commit([{ delete: 'attempt', key: epochKey(ref) }], briefly)
  }

  /** Records the end: see J2. Its caller waits for it, so that is not tried for ever. */
  finish(ref: RunRef, outcome: Outcome, at: number, also: readonly Operation[]): Promise<void> {
    const { runId, epoch } = ref
    const meta = { status: outcome.status, epoch, at }
    const operations: Operation[] = [
      { put: 'outcome', key: runId, meta, body: encodePayload(outcome) },
      { delete: 'open', key: runId },
      ...this.workers.forget(runId),
      ...this.texts.forget(runId),
    ]
    return this.#store.commit([...also, ...operations], briefly)
  }

  /** What was asked for; undefined for a run that is not there. */
  run(runId: string): RunRecord | undefined {
    const meta = this.#store.get('run', runId)?.meta
    return isRunRecord(meta) ? meta : undefined
  }

  /** Whatever a run's tree belongs to: the session that a scheduler is for, else the run at its root. */
  rootOf(runId: string, kin: Kin | undefined): string {
    const [first = runId] = kin?.lineage ?? []
    return this.run(first)?.parent ?? first
  }

  /** The runs without an outcome (J3), in the order in which they began, but for damaged ones: they stay open. */
  openRuns(onDamaged: OnDamaged): OpenRun[] {
    const read = (runId: string): readonly OpenRun[] => [this.openRun(runId) ?? []].flat()
    const inTurn = this.#turns().toSorted(([, turn], [, other]) => turn - other)
    return inTurn.flatMap(([runId]) => unlessDamaged(runId, () => read(runId), onDamaged))
  }

  /** Open runs, and the how manieth each of them was; 0 where that is not known. */
  #turns(): [string, number][] {
    const read = (runId: string): readonly number[] => {
      const turn = this.#store.get('open', runId)?.meta['turn']
      return typeof turn === 'number' ? [turn] : []
    }
    const turnOf = (runId: string): number =>
      unlessDamaged(
        runId,
        () => read(runId),
        () => undefined,
      )[0] ?? 0
    return this.#store.keys('open').map((runId) => [runId, turnOf(runId)])
  }

  /** After all that are open. */
  #nextTurn(): number {
    this.#turn ??= this.#turns().reduce((last, [, turn]) => Math.max(last, turn), 0)
    this.#turn += 1
    return this.#turn
  }

  /**
   * One of them; undefined when it is not there, or has ended.
   *
   * @throws StoreError, GreenroomError `STORE_DAMAGED`
   */
  openRun(runId: string): OpenRun | undefined {
    const open = this.#store.get('open', runId)
    if (open === undefined) return undefined
    const record = this.run(runId)
    if (record === undefined) throw damagedRecord('run', runId)
    const isRestored = open.meta['isRestored'] === true
    return { record, isRestored, attempts: this.attempts(runId), texts: this.texts.of(runId) }
  }

  /** The attempts of a run, in order, each with the number of its last entry. */
  attempts(runId: string): OpenRun['attempts'] {
    return this.#store.scan('attempt', { prefix: `${runId}/` }).flatMap(({ key, meta }) => {
      const epoch = Number(key.slice(-6))
      // An attempt of which nobody knew would be made again.
      if (!isAttemptRecord(meta)) throw damagedRecord('attempt', key)
      return [{ ...meta, epoch, lastSeq: this.entries.last({ runId, epoch }) }]
    })
  }

  /**
   * The run of an attempt, when that is open and its worker this one: then it may say more.
   *
   * @returns `damaged` when nobody can tell: what is said is kept for who repairs the run's records
   */
  awaiting(
    { runId, epoch }: RunRef,
    { from, fromIncarnation }: Pick<Delivery, 'from' | 'fromIncarnation'>,
  ): RunRecord | 'damaged' | undefined {
    const read = (): readonly [RunRecord | undefined] => {
      const { record, attempts = [] } = this.openRun(runId) ?? {}
      const { address, incarnation, end } = attempts.find((one) => one.epoch === epoch) ?? {}
      return [end === undefined && address === from && incarnation === fromIncarnation ? record : undefined]
    }
    let isDamaged = false
    const [awaited] = unlessDamaged(runId, read, () => (isDamaged = true))
    return isDamaged ? 'damaged' : awaited
  }

  /** Runs that have ended, by id, and when. */
  ended(
    after: string | undefined,
    limit: number,
    onDamaged: OnDamaged,
  ): { readonly runId: string; readonly at: number }[] {
    const keys = this.#store.keys('outcome', { limit, ...(after === undefined ? {} : { after }) })
    return keys.map((runId) => {
      const [at = Infinity] = unlessDamaged(runId, () => [this.endedAt(runId) ?? Infinity], onDamaged)
      return { runId, at }
    })
  }

  /** What goes with a run that has ended; nothing may go before its parent was told. */
  ties(runId: string): RunTies {
    const { parent, session, startKey, kin } = this.run(runId) ?? {}
    const told = parent === undefined ? undefined : this.#store.get('completion', `${parent}/${runId}`)
    const isFree = told === undefined || told.meta['deliveredAt'] !== undefined
    return { isFree, session, startKey, completion: told?.key, kin }
  }

  /** The sessions of the runs without an outcome. */
  openSessions(): ReadonlySet<string> {
    const sessionOf = (runId: string): readonly string[] =>
      unlessDamaged(
        runId,
        () => [this.run(runId)?.session].filter((one) => one !== undefined),
        () => undefined,
      )
    return new Set(this.#store.keys('open').flatMap(sessionOf))
  }

  /**
   * Forgets a run that has ended, unless its parent was not told yet.
   *
   * @param runId - the run
   * @param ties - what goes with it
   * @param forgetSession - forgets a session that is named as its run
   */
  async forget(
    runId: string,
    { isFree, session, startKey, completion, kin }: RunTies,
    forgetSession?: (session: string) => Promise<void>,
  ): Promise<boolean> {
    if (!isFree) return false
    if (session === runId) await forgetSession?.(session)
    const prefix = `${runId}/`
    for (;;) {
      const entries = this.entries.forget(runId, forgetAtOnce)
      if (entries.length === 0) break
      await this.#store.commit(entries)
    }
    await this.#store.commit([
      ...this.#store.keys('attempt', { prefix }).map((key): Operation => ({ delete: 'attempt', key })),
      ...this.approvals.forget(runId),
      ...this.texts.forget(runId),
      ...this.workers.forget(runId),
      ...this.children.forget(runId, kin),
      { delete: 'run', key: runId },
      ...(startKey === undefined ? [] : [{ delete: 'start', key: startKey }]),
      ...(completion === undefined ? [] : [{ delete: 'completion', key: completion }]),
      { delete: 'outcome', key: runId },
    ])
    return true
  }

  /** When it did, in milliseconds since the epoch. */
  endedAt(runId: string): number | undefined {
    const [first] = this.#store.scan('outcome', { prefix: runId, limit: 1, bodies: false })
    const at = first?.key === runId ? first.meta['at'] : undefined
    return typeof at === 'number' ? at : undefined
  }

  /** How a run ended; undefined when it has not. */
  outcome(runId: string): Outcome | undefined {
    const body = this.#store.get('outcome', runId)?.body
    return body === undefined ? undefined : parseOutcome(decodePayload(body))
  }
}

/**
 * What puts an attempt's record.
 *
 * @param ref - which attempt
 * @param record - all of it: an older record is replaced
 */
export function attemptOperation(ref: RunRef, record: AttemptRecord): Operation {
  return { put: 'attempt', key: epochKey(ref), meta: record }
}

/** What was written by this code. */
function isRunRecord(meta: unknown): meta is RunRecord {
  return hasTexts(meta, 'runId', 'role', 'session', 'task', 'workspace')
}

function isAttemptRecord(meta: unknown): meta is AttemptRecord {
  return hasTexts(meta, 'address', 'incarnation', 'host')
}

function hasTexts(value: unknown, ...fields: readonly string[]): boolean {
  return isObject(value) && fields.every((field) => typeof Reflect.get(value, field) === 'string')
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
