/** What `independent-count.sh` finds: the numbers that a survey must come to. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('independent-count.sh', import.meta.url))

export interface IndependentCount {
  readonly totals: { readonly files: number; readonly lines: number; readonly bytes: number }
  readonly longest: readonly { readonly path: string; readonly lines: number }[]
  readonly todos: number
}

/** Counts without the demo's code: what git knows below a folder, or `all` regular files below it. */
export function independentCount(mode: 'git' | 'all', folder: string): IndependentCount {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_')))
  const output = execFileSync('sh', [script, mode, folder], { env, maxBuffer: 2 ** 28 })
  const records = output
    .toString('latin1')
    .split('\0')
    .slice(0, -1)
    .map((record) => {
      const [, lines = '', bytes = '', marks = '', path = ''] = /^(\d+)\t(\d+)\t(\d+)\t(.*)$/s.exec(record) ?? []
      return {
        lines: Number(lines),
        bytes: Number(bytes),
        marks: Number(marks),
        path: Buffer.from(path, 'latin1').toString(),
      }
    })
  const add = (key: 'lines' | 'bytes' | 'marks'): number => records.reduce((total, record) => total + record[key], 0)
  return {
    totals: { files: records.length, lines: add('lines'), bytes: add('bytes') },
    longest: records
      .filter(({ lines }) => lines > 0)
      .sort((a, b) => b.lines - a.lines || (a.path < b.path ? -1 : 1))
      .slice(0, 10)
      .map(({ path, lines }) => ({ path, lines })),
    todos: add('marks'),
  }
}
