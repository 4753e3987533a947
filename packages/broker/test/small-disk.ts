/** A small file system in memory, for a disk that is really full. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'

/**
 * Mounts one; it is gone with its scope. Skips the test where this user may not mount one.
 *
 * @param megabytes - how large
 */
export function smallDisk(context: TestContext, megabytes: number): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'greenroom-disk-'))
  const remove = (): void => rmSync(path, { recursive: true, force: true })
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path])
  if (mounted.status !== 0) {
    remove()
    context.skip('this user may not mount a file system')
  }
  const unmount = (): void => {
    spawnSync('umount', [path])
    remove()
  }
  return { path, [Symbol.dispose]: unmount }
}
