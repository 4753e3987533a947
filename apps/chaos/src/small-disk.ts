/** A small file system in memory that can be filled: a disk that is really full. */
import { spawnSync } from 'node:child_process'
import { closeSync, cpSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const chunk = Buffer.alloc(4 * 2 ** 20)

/** See the head of this file. */
export class SmallDisk implements Disposable {
  /** Where it is mounted. */
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /**
   * Mounts one.
   *
   * @param path - a folder that is made
   * @param megabytes - how large
   * @returns undefined where this user may not mount one; the folder is there all the same
   */
  static mount(path: string, megabytes: number): SmallDisk | undefined {
    mkdirSync(path, { mode: 0o700 })
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', path])
    return mounted.status === 0 ? new SmallDisk(path) : undefined
  }

  /**
   * Puts a ballast file there.
   *
   * @param leaveMiB - how much it leaves free
   */
  fill(leaveMiB: number): void {
    const { bavail, bsize } = statfsSync(this.path)
    const file = openSync(this.#ballast, 'a', 0o600)
    try {
      for (let left = bavail * bsize - leaveMiB * 2 ** 20; left > 0;)
        left -= writeSync(file, chunk, 0, Math.min(chunk.length, left))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    } finally {
      closeSync(file)
    }
  }

  /** Takes the ballast away. */
  empty(): void {
    rmSync(this.#ballast, { force: true })
  }

  /** Copies what is on it to a folder beside it, which stays. */
  copy(): void {
    cpSync(this.path, `${this.path}-copy`, { recursive: true })
  }

  [Symbol.dispose](): void {
    spawnSync('umount', ['-l', this.path])
  }

  get #ballast(): string {
    return join(this.path, 'ballast')
  }
}
