/** What a runner's data folder holds of its own; with a broker of its own, that keeps its collections beside them. */
import { inspectStore, type Schema } from '@greenroom/store'
import { journalCollections } from './journal.ts'
import { fromStore } from './store-error.ts'
import { sessionCollections } from './store-sessions.ts'

/** The journal and the sessions. */
export const runnerSchema: Schema = { version: 1, collections: [...journalCollections, ...sessionCollections] }

/**
 * Whether a data folder is a runner's, and not that of a broker alone. It is only looked at, whoever has it.
 *
 * @param dataDir - the folder
 * @throws GreenroomError `BAD_OPTIONS` when there is no database in it, `SCHEMA_TOO_NEW`, `STORE_DAMAGED`, `IO_FAILED`
 *
 * @example
 * ```ts
 * import { hasJournal } from '@greenroom/runner'
 *
 * console.log(hasJournal('.greenroom') ? 'a runner was here' : 'only a broker was here')
 * ```
 */
export function hasJournal(dataDir: string): boolean {
  try {
    using inspection = inspectStore(dataDir, runnerSchema)
    return inspection.collections.includes('run')
  } catch (error) {
    throw fromStore(error)
  }
}
