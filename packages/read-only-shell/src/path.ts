/**
 * What a path must not lead to: the system's own file systems, where a read is no mere read (devices) or shows the
 * environment of a process (`/proc`). By the text alone: a symbolic link may still lead there.
 */
import type { Word } from './word.ts'

const system = ['proc', 'sys', 'dev']

/** Whether a file called `name` might match; a pattern counts as wider than it is. */
function mayBe(segment: string, name: string): boolean {
  const pattern = segment.replaceAll(/\[[^\]]*\]/g, '?')
  if (!/[*?]/.test(pattern)) return segment === name
  const source = pattern
    .replaceAll(/[^*?\w]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`).test(name)
}

/** Whether a segment leads upwards. A pattern matches the dot at a name's start only by a dot. */
const climbs = (segment: string): boolean => segment.startsWith('.') && mayBe(segment, '..')

/** Why a path is refused, or nothing. */
export function pathProblem(path: string): string | undefined {
  if (path === '/dev/null') return undefined
  const segments = path.split('/')
  // Where the root may be: at the start of an absolute path, and behind each `..`.
  let root = path.startsWith('/')
  for (const segment of segments) {
    if (segment === '' || segment === '.') continue
    if (root && system.some((name) => mayBe(segment, name)))
      return 'leads to the system’s own files (/proc, /sys, /dev)'
    if (segment === 'environ') return 'may be the environment of a process'
    root = climbs(segment)
  }
  return undefined
}

/**
 * Whether a path may be the root folder, with `/proc` below: what it went down it climbs again. How deep `~` and the
 * working folder are nobody knows.
 */
export function mayBeRoot(path: string): boolean {
  let [depth, least] = [0, 0]
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue
    depth += climbs(segment) ? -1 : 1
    least = Math.min(least, depth)
  }
  return path.startsWith('/') ? depth <= 0 : depth < 0 && depth === least
}

/** Why reading all that is below one of these is refused, or nothing. */
export function belowProblem(paths: readonly Word[]): string | undefined {
  const found = paths.find(({ value }) => mayBeRoot(value))
  return found && `${found.value}: may be the root folder; all below it includes /proc. Name a folder`
}
