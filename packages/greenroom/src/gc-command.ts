/** `greenroom gc`: forgets the runs of a data folder that ended long ago. */
import { GreenroomError } from '@greenroom/proto'
import { pruneJournal } from '@greenroom/runner'
import { hasStore } from './platform/data-folder.ts'

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
 * @throws GreenroomError `BAD_OPTIONS`, `DATA_DIR_IN_USE`, `SCHEMA_TOO_NEW`, `STORE_DAMAGED`
 */
export async function runGc({ data, olderThan, json }: GcCommand): Promise<void> {
  const olderThanMs = ageOf(olderThan)
  // A folder that is made by looking into it would hide a misspelt name.
  if (!hasStore(data)) throw new GreenroomError('BAD_OPTIONS', `--data ${data} is no data folder`)
  const { runs } = await pruneJournal(data, { olderThanMs })
  process.stdout.write(
    json === true ? `${JSON.stringify({ runs })}\n` : `${runs} ${runs === 1 ? 'run' : 'runs'} forgotten\n`,
  )
}

function ageOf(text: string): number {
  const [, count = '', unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const ms = Number(count) * (units[unit] ?? Number.NaN)
  if (!Number.isSafeInteger(ms))
    throw new GreenroomError('BAD_OPTIONS', `--older-than ${text} is no age: 90s, 30m, 12h or 7d`)
  return ms
}
