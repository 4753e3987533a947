/** `greenroom doctor`: whether a data folder is in order, and what to do when it is not. */
import { examineData, type Finding } from '@greenroom/broker'
import { codeOf, GreenroomError } from '@greenroom/proto'
import { table } from './table.ts'

/** What `doctor` is told. */
export interface DoctorCommand {
  /** The data folder. */
  readonly data: string
  /** Write one document of JSON in place of text. */
  readonly json?: boolean
}

/**
 * Examines a data folder and sets the exit code: 1 when something is broken. A line for each check, or with `--json`
 * `{"data": dir, "ok": boolean, "checks": Finding[]}`.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `IO_FAILED`, `DATA_DIR_IN_USE`
 */
export async function examine({ data, json = false }: DoctorCommand): Promise<void> {
  const checks = findings(data)
  const ok = checks.every(({ level }) => level !== 'fail')
  process.stdout.write(json ? `${JSON.stringify({ data, ok, checks })}\n` : lines(checks))
  if (!ok) process.exitCode = 1
}

function findings(data: string): readonly Finding[] {
  try {
    return examineData(data)
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined || !(error instanceof Error)) throw error
    throw new GreenroomError(code, `--data: ${error.message}`, { cause: error })
  }
}

/** Control characters of a damaged file must not reach the terminal. */
const plain = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?')

function lines(checks: readonly Finding[]): string {
  const rows = checks.map(({ level, check, text, todo }) => [
    level,
    check,
    plain(todo === undefined ? text : `${text} -> ${todo}`),
  ])
  const [head = [], ...rest] = rows
  return table(head, rest)
}
