/** Files that may be replaced while the program runs. */
import { unwatchFile, watchFile } from 'node:fs'

/** How often they are looked at, in milliseconds: also what mounted volumes and renames do to them is seen so. */
const lookMs = 1_000

/**
 * Calls back after each change of any of some files.
 *
 * @param paths - where they are
 * @param onChange - called then
 */
export function watchFiles(paths: readonly string[], onChange: () => void): Disposable {
  for (const path of paths) watchFile(path, { interval: lookMs, persistent: false }, onChange)
  return {
    [Symbol.dispose]() {
      for (const path of paths) unwatchFile(path, onChange)
    },
  }
}
