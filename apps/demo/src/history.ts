/** What git tells of a folder's past: read from the lines of `git log`. */
import { z } from 'zod'
import { nameFromBytes } from './file-name.ts'

/** At most so many commits are read, the last ones. */
const MOST = 20_000
/** How many authors and files are named. */
const NAMED = 10

const count = z.int().nonnegative()

/** A folder's past. */
const told = z.object({
  commits: count,
  /** Whether these are all there are; else they are the last ones. */
  isAll: z.boolean(),
  /** When the first and the last of them were committed, in ISO 8601; empty where git tells no date. */
  first: z.string(),
  last: z.string(),
  /** How many people wrote them, and who wrote most. */
  authorCount: count,
  authors: z.array(z.object({ name: z.string(), commits: count })),
  /** The files that most of them changed; paths from the folder, in the text of `file-name.ts`. */
  changed: z.array(z.object({ path: z.string(), commits: count })),
})
/** A folder's past. */
export interface Told extends z.infer<typeof told> {}

/** What the historian brings back: a past, or why there is none. */
export const history = z.union([told, z.object({ none: z.string() })])
/** What the historian brings back: a past, or why there is none. */
export type History = z.infer<typeof history>

const isDate = (text: string): boolean => /^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)$/.test(text)

/** Of a foreign repository no program is run, no file outside of it is opened, which may be endless, and no encoding taken. */
const settings = [
  'core.fsmonitor=false',
  'safe.directory=*',
  'core.quotePath=true',
  'log.follow=false',
  'diff.orderFile=/dev/null',
  'mailmap.file=',
  'mailmap.blob=',
  'i18n.logOutputEncoding=UTF-8',
]

/**
 * The arguments for git. Reading a foreign repository must run none of its programs and fetch nothing.
 *
 * @param isTop - whether the folder is the top of its work tree: then every commit counts, else those that changed the folder
 */
export function logArguments(isTop: boolean): string[] {
  const output = ['--format=tformat:%x01%cI%x09%aN', '--name-only', '--relative', '--no-color']
  const harmless = ['--no-show-signature', '--no-renames', '--no-ext-diff', '--no-textconv']
  const where = isTop ? [] : ['--', '.']
  return [...settings.flatMap((one) => ['-c', one]), 'log', `--max-count=${MOST}`, ...output, ...harmless, ...where]
}

/** Adds up the lines that `git` with {@link logArguments} writes. */
export class HistoryBuilder {
  #commits = 0
  #first = ''
  #last = ''
  readonly #authors = new Map<string, number>()
  readonly #changed = new Map<string, number>()

  /** How many commits there were so far. */
  get commits(): number {
    return this.#commits
  }

  /**
   * Takes a line. Git quotes a name that has control characters, so no file is taken for a commit.
   *
   * @returns whether a commit begins with it
   */
  add(line: string): boolean {
    if (!line.startsWith('\u0001')) {
      if (line !== '') increment(this.#changed, unquoted(line))
      return false
    }
    const [, date = '', author = ''] = /^.([^\t]*)\t(.*)$/su.exec(line) ?? []
    this.#commits += 1
    if (isDate(date)) {
      // Newest first.
      if (this.#last === '') this.#last = date
      this.#first = date
    }
    increment(this.#authors, author)
    return true
  }

  /** What that comes to; undefined without a commit. */
  told(): Told | undefined {
    if (this.#commits === 0) return undefined
    return {
      commits: this.#commits,
      isAll: this.#commits < MOST,
      first: this.#first,
      last: this.#last,
      authorCount: this.#authors.size,
      authors: most(this.#authors).map(([name, commits]) => ({ name, commits })),
      changed: most(this.#changed).map(([path, commits]) => ({ path, commits })),
    }
  }
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** The largest, and among equals in the order of their names. */
function most(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, NAMED)
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 }

/** A path as it is: git writes strange ones in quotes, with the escapes of C. */
function unquoted(line: string): string {
  const inside = /^"(.*)"$/u.exec(line)?.[1]
  if (inside === undefined) return line
  const bytes = inside.match(/\\[0-7]{3}|\\.|[^\\]/gu)?.map((part) => {
    const [slash, letter = ''] = part
    if (slash !== '\\') return Buffer.from(part)
    return part.length === 4
      ? Buffer.of(Number.parseInt(part.slice(1), 8))
      : Buffer.of(ESCAPES[letter] ?? letter.charCodeAt(0))
  })
  return nameFromBytes(Buffer.concat(bytes ?? []))
}
