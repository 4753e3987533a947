/** `greenroom gc`: forgets the runs of a data folder that ended long ago. */
import { codeOf, GreenroomError } from '@greenroom/proto'
import { pruneJournal } from '@greenroom/runner'
import { parseAge } from './age.ts'

/** Its options, as they are typed. */
export interface GcCommand {
  /** The data folder. */
  readonly data: string
  /** A number and `s`, `m`, `h` or `d`. */
  readonly olderThan: string
  /** Whether to write JSON. */
  readonly json?: boolean
}

/**
 * Forgets them, and says how many; with `--json` as `{"runs": 3}`.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`, `STORE_DAMAGED`, `IO_FAILED`
 */
export async function runGc({ data, olderThan, json }: GcCommand): Promise<void> {
  const olderThanMs = parseAge('--older-than', olderThan)
  const { runs } = await pruneJournal(data, { olderThanMs }).catch((error: unknown) => {
    throw ofFolder(error)
  })
  process.stdout.write(
    json === true ? `${JSON.stringify({ runs })}\n` : `${runs} ${runs === 1 ? 'run' : 'runs'} forgotten\n`,
  )
}

/** The same error, in the words of whoever typed flags. */
function ofFolder(error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined || !(error instanceof Error)) return error
  const todo = ' Stop it, or let it forget them itself: createRunner({ retentionMs })'
  return new GreenroomError(code, `--data: ${error.message}${code === 'DATA_DIR_IN_USE' ? todo : ''}`, { cause: error })
}
