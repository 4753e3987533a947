/** `greenroom gc`: forgets the runs of a data folder that ended long ago. */
import { codeOf, GreenroomError } from '@greenroom/proto'
import { pruneJournal } from '@greenroom/runner'

/** Its options, as they are typed. */
export interface GcCommand {
  /** The data folder. */
  readonly data: string
  /** A number and `s`, `m`, `h` or `d`. */
  readonly olderThan: string
  /** Whether to write JSON. */
  readonly json?: boolean
}

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * Forgets them, and says how many; with `--json` as `{"runs": 3}`.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`, `STORE_DAMAGED`, `IO_FAILED`
 */
export async function runGc({ data, olderThan, json }: GcCommand): Promise<void> {
  const olderThanMs = ageOf(olderThan)
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

function ageOf(text: string): number {
  const [, count = '', unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const ms = Number(count) * (units[unit] ?? Number.NaN)
  if (!Number.isSafeInteger(ms))
    throw new GreenroomError('BAD_OPTIONS', `--older-than ${text} is no age: 90s, 30m, 12h or 7d`)
  return ms
}
