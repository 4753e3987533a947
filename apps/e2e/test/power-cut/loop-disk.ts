/**
 * A disk whose power can be cut: an ext4 file system in a file, mounted through a loop device.
 *
 * Its shutdown (`EXT4_IOC_SHUTDOWN` with `GOING_FLAGS_NOLOGFLUSH`) lets nothing more reach the file: what was written
 * but not flushed is lost, as when the plug is pulled. Node cannot say `ioctl`, so python3 does.
 *
 * Unlike a plug it takes its time, some milliseconds, and who runs on meanwhile is lied to: an `fsync` that is under way
 * may return 0 although nothing was flushed. The shutdown aborts the journal and with it the running transaction, and
 * whoever asks for that transaction after it is gone is told that it is complete (`jbd2_complete_transaction`). A program
 * that only appends and flushes sees it in one of a dozen cuts: always with the last flush that returned 0, and
 * never with one that returned before the cut began. When a real plug is pulled, nobody is left to say what such a flush
 * let him say.
 */
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Says when it began, by the monotonic clock. */
const shutdown = `import fcntl, os, struct, sys, time
disk = os.open(sys.argv[1], os.O_RDONLY)
began = time.monotonic_ns()
fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))
print(began)`

function run(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

/** See the head of this file. */
export class LoopDisk implements Disposable {
  /** Where it is mounted. */
  readonly path: string
  /** A folder that is not on it. */
  readonly elsewhere: string
  readonly #image: string

  private constructor(folder: string) {
    this.elsewhere = folder
    this.path = join(folder, 'mounted')
    this.#image = join(folder, 'image')
  }

  /**
   * Makes a disk.
   *
   * @param bytes - its size
   * @returns undefined where this user may not mount, or a tool is missing
   */
  static make(bytes: number): LoopDisk | undefined {
    const disk = new LoopDisk(mkdtempSync(join(tmpdir(), 'greenroom-disk-')))
    writeFileSync(disk.#image, '')
    truncateSync(disk.#image, bytes)
    mkdirSync(disk.path)
    if (run('python3', '-c', 'import fcntl') && run('mkfs.ext4', '-q', '-F', disk.#image) && disk.#mount()) return disk
    disk[Symbol.dispose]()
    return undefined
  }

  /**
   * Pulls the plug, while this program goes on. Who still has files open on it gets errors.
   *
   * @returns the moment before, as of `process.hrtime.bigint()`: see the head of this file
   */
  async cut(): Promise<bigint> {
    const { stdout } = await promisify(execFile)('python3', ['-c', shutdown, this.path])
    return BigInt(stdout.trim())
  }

  /** Plugs it in again, when nobody has files open on it any more. */
  restore(): void {
    if (!run('umount', this.path) || !this.#mount()) throw new Error('the disk could not be mounted again')
  }

  [Symbol.dispose](): void {
    run('umount', this.path)
    rmSync(this.elsewhere, { recursive: true, force: true })
  }

  #mount(): boolean {
    return run('mount', '-o', 'loop', this.#image, this.path)
  }
}
