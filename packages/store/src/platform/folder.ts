/** Folders: made private, and there after a power cut. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes the entries of a folder durable.
 *
 * @internal
 */
export function syncDir(dir: string): void {
  const descriptor = openSync(dir, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Whether something has that path.
 *
 * @throws what the file system says, when this user may not know
 * @internal
 */
export function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/**
 * Makes a folder, and those above it that are missing, with mode 0700. What is there already stays as it is.
 *
 * Step by step: Node's own recursion never ends where making a folder fails with `ENOENT` although the one above it is
 * there, as in `/proc`.
 *
 * @param dir - absolute
 * @throws what the file system says
 */
export function makeFolder(dir: string): void {
  const missing = [dir]
  for (let above = dirname(dir); !existsSync(above) && above !== dirname(above); above = dirname(above))
    missing.unshift(above)
  for (const path of missing) {
    try {
      mkdirSync(path, { mode: 0o700 })
    } catch (error) {
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
      continue
    }
    syncDir(dirname(path))
  }
}
