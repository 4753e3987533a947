/**
 * The tally: what was found so far. A surveyor streams its findings piece by piece, the parent adds them up; the result
 * does not depend on how the files were dealt out, nor on the order in which findings come in.
 */
import { z } from 'zod'

/** How many files are named as the longest. */
const LONGEST = 10
/** How many marked lines are kept in all: the first by path and line. */
export const TODOS = 10_000

const count = z.int().nonnegative()

/** Files, newline characters and bytes. */
export const sum = z.object({ files: count, lines: count, bytes: count })
/** Files, newline characters and bytes. */
export interface Sum extends z.infer<typeof sum> {}

/** What was found in some files. Paths are in the text of `file-name.ts`. */
export const finding = z.object({
  languages: z.record(z.string(), sum),
  longest: z.array(z.object({ path: z.string(), lines: count })),
  /** Lines that say TODO or FIXME: of one file the first thousand. */
  todos: z.array(z.object({ path: z.string(), line: count, text: z.string() })),
  /** How many there are in truth. */
  todoCount: count,
  /** Files that could not be read. They count as a file and with their bytes, and have no lines. */
  unreadable: z.array(z.string()),
  /** Files that were gone when their turn came. They do not count. */
  vanished: z.array(z.string()),
})
/** What was found in some files. */
export interface Finding extends z.infer<typeof finding> {}

/** A finding of no files. */
export const nothing = (): Finding => ({
  languages: {},
  longest: [],
  todos: [],
  todoCount: 0,
  unreadable: [],
  vanished: [],
})

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Adds two sums. */
export const plus = (a: Sum, b: Sum): Sum => ({
  files: a.files + b.files,
  lines: a.lines + b.lines,
  bytes: a.bytes + b.bytes,
})

/** The sum over all languages. */
export const totalOf = ({ languages }: Finding): Sum =>
  Object.values(languages).reduce(plus, { files: 0, lines: 0, bytes: 0 })

/**
 * Adds findings up.
 *
 * @param findings - any number of them, in any order
 * @returns one finding in the order of a report: languages by lines, marked lines by path
 */
export function merge(findings: readonly Finding[]): Finding {
  const languages = new Map<string, Sum>()
  for (const [name, more] of findings.flatMap((one) => Object.entries(one.languages))) {
    const so = languages.get(name)
    languages.set(name, so === undefined ? more : plus(so, more))
  }
  const inOrder = [...languages].sort(([a, x], [b, y]) => y.lines - x.lines || y.bytes - x.bytes || byText(a, b))
  return {
    languages: Object.fromEntries(inOrder),
    longest: longestOf(findings.flatMap(({ longest }) => longest)),
    todos: findings
      .flatMap(({ todos }) => todos)
      .sort((a, b) => byText(a.path, b.path) || a.line - b.line)
      .slice(0, TODOS),
    todoCount: findings.reduce((n, { todoCount }) => n + todoCount, 0),
    unreadable: findings.flatMap(({ unreadable }) => unreadable).sort(),
    vanished: findings.flatMap(({ vanished }) => vanished).sort(),
  }
}

/** The ten longest, longest first; equals in the order of their names. Files without lines are not among them. */
export function longestOf(files: Finding['longest']): Finding['longest'] {
  return files
    .filter(({ lines }) => lines > 0)
    .sort((a, b) => b.lines - a.lines || byText(a.path, b.path))
    .slice(0, LONGEST)
}
