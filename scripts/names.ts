/**
 * Finds rooms without a name: files and folders called after what they are (utils, types …) instead of what they
 * are about. Leftovers collect there.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const nameless = /^(utils?|helpers?|common|shared|types|misc)(\.[cm]?[jt]sx?)?$/

/** The paths of all files that git would commit, with a nameless folder or file in them. */
export function namelessPaths(root: string): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
  const paths = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 }).split('\0')
  return paths.filter((path) => path.split('/').some((part) => nameless.test(part)))
}

if (import.meta.main) {
  const found = namelessPaths(fileURLToPath(new URL('..', import.meta.url)))
  for (const path of found) console.error(`${path}: say what it is about`)
  process.exitCode = found.length > 0 ? 1 : 0
}
