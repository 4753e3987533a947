/**
 * Retention: runs that ended long ago leave the journal, with their attempts and entries. Transcripts stay, since they are
 * the sessions', but for those that only such a run had.
 *
 * - *G1* A run leaves only when it has an outcome, and its parent, if it has one, was told.
 * - *G2* Its outcome goes last: what was cut off in between is found again.
 * - *G3* A session that is named as its run, since nobody named one, leaves before it, when it is in the same database and
 *   nobody else uses it: no open run, no message of others, no description.
 */
import { GreenroomError, systemClock, type Clock, type Timer } from '@greenroom/proto'
import { openStore } from '@greenroom/store'
import { Journal } from './journal.ts'
import { nextTurn } from './platform/turn.ts'
import { hasJournal, runnerSchema } from './runner-schema.ts'
import { StoreSessions } from './store-sessions.ts'
import { fromStore, unlessDamaged } from './store-error.ts'

/** How often a runner looks, in milliseconds. */
const everyMs = 3_600_000
/** How many runs are looked at in a turn of the event loop. */
const page = 64

/** What runs are forgotten from. */
export interface Forgetful {
  readonly journal: Journal
  /** The sessions, when they are in the journal's database. */
  readonly ownSessions?: StoreSessions | undefined
}

/** Keeps a journal within its retention. */
export class Retention implements Disposable {
  readonly #from: Forgetful
  readonly #clock: Clock
  readonly #retentionMs: number
  readonly #warn: (error: unknown) => void
  #timer: Timer | undefined
  #isOver = false

  /**
   * Starts to look, at once and every hour.
   *
   * @param from - what it keeps small
   * @param clock - measures ages
   * @param retentionMs - how long a run stays after its end, in milliseconds
   * @param warn - learns why it could not
   */
  constructor(from: Forgetful, clock: Clock, retentionMs: number, warn: (error: unknown) => void) {
    this.#from = from
    this.#clock = clock
    this.#retentionMs = retentionMs
    this.#warn = warn
    void this.#look()
  }

  [Symbol.dispose](): void {
    this.#isOver = true
    this.#timer?.cancel()
  }

  async #look(): Promise<void> {
    try {
      await forgetRuns(this.#from, this.#clock.now() - this.#retentionMs, () => this.#isOver)
    } catch (error) {
      if (!this.#isOver) this.#warn(error)
    }
    if (!this.#isOver) this.#timer = this.#clock.timer(everyMs, () => void this.#look(), { background: true })
  }
}

/**
 * Forgets runs (G1 to G3), a page a turn of the event loop.
 *
 * @param from - where from
 * @param before - those that ended before that, in milliseconds since the epoch
 * @param isOver - asked between pages
 * @returns how many
 * @throws in the end, of one that is damaged: it keeps none of the others
 */
async function forgetRuns({ journal, ownSessions }: Forgetful, before: number, isOver: () => boolean): Promise<number> {
  let forgotten = 0
  const damages: unknown[] = []
  const onDamaged = (_runId: string, error: unknown): unknown => damages.push(error)
  const forget = async (runId: string, forgetSession: (session: string) => Promise<void>): Promise<boolean> => {
    const [ties] = unlessDamaged(runId, () => [journal.ties(runId)], onDamaged)
    return ties !== undefined && journal.forget(runId, ties, forgetSession)
  }
  let after: string | undefined
  for (;;) {
    const ended = journal.ended(after, page, onDamaged)
    after = ended.at(-1)?.runId
    const due = ended.filter(({ at }) => at < before)
    const inUse = due.length === 0 ? new Set() : journal.openSessions()
    const forgetSession = async (session: string): Promise<void> => {
      if (!inUse.has(session)) await ownSessions?.forgetOwn(session)
    }
    for (const { runId } of due) {
      if (isOver()) return forgotten
      if (await forget(runId, forgetSession)) forgotten += 1
    }
    if (isOver()) return forgotten
    if (after === undefined) break
    await nextTurn()
  }
  if (damages.length > 0) throw damages[0]
  return forgotten
}

/** What {@link pruneJournal} did. */
export interface Pruned {
  /** How many runs left the journal. */
  readonly runs: number
}

/**
 * Forgets the runs of a data folder that ended long ago. No runner may have it.
 *
 * @param dataDir - the folder
 * @param options - `olderThanMs`: how long ago they ended, in milliseconds; `clock`: = the system's
 * @throws GreenroomError `BAD_OPTIONS` (no age, or no folder of a runner), `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`,
 * `STORE_DAMAGED`, `IO_FAILED`
 *
 * @example
 * ```ts
 * import { pruneJournal } from '@greenroom/runner'
 *
 * const { runs } = await pruneJournal('.greenroom', { olderThanMs: 30 * 24 * 3_600_000 })
 * console.log(`${runs} runs forgotten`)
 * ```
 */
export async function pruneJournal(
  dataDir: string,
  { olderThanMs, clock = systemClock }: { readonly olderThanMs: number; readonly clock?: Clock },
): Promise<Pruned> {
  if (!Number.isFinite(olderThanMs) || olderThanMs < 0)
    throw new GreenroomError('BAD_OPTIONS', 'olderThanMs must be a number of milliseconds')
  // Opening it would make a journal, or the whole folder.
  if (!hasJournal(dataDir))
    throw new GreenroomError('BAD_OPTIONS', `${dataDir} has no journal: it is the folder of a broker, not of a runner`)
  try {
    await using store = await openStore({ dir: dataDir, schema: runnerSchema })
    const from = { journal: new Journal(store), ownSessions: new StoreSessions(store) }
    return { runs: await forgetRuns(from, clock.now() - olderThanMs, () => false) }
  } catch (error) {
    throw fromStore(error)
  }
}
