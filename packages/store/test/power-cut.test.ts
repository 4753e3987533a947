/**
 * Real power cuts: an ext4 file system on a loop device is shut down under load, so that only what was flushed is left.
 *
 * With `FULL`, the default, every receipted batch is there. With `OFF` some are missing, which shows that the test can see
 * it; `kill -9` never finds a missing flush. Needs root, loop devices and python3 (for the ioctl), and skips with a word
 * otherwise.
 *
 * A shutdown takes some milliseconds, and an `fsync` that is under way meanwhile may return 0 although nothing was flushed:
 * whoever asks for the journal's transaction after its abort is told that it is complete. When a real plug is pulled,
 * nobody is left to say what such a flush let him say. So what was receipted before the cut began has to be there; of
 * what was receipted later no more may be missing than the one group whose flush was under way.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, type TestContext } from 'vitest'
import { isStoreError, openStore } from '../src/index.ts'
import { readReceipts, startChild } from './child.ts'
import { tempDir } from './temp-dir.ts'

/**
 * `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from now on nothing reaches the disk. Says when it began, by the
 * monotonic clock.
 */
const cut = `import fcntl, os, struct, sys, time
disk = os.open(sys.argv[1], os.O_RDONLY)
began = time.monotonic_ns()
fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))
print(began)`

interface Disk {
  /** Where it is mounted. */
  readonly path: string
  /** A file that is not on it. */
  readonly receipts: string
  /**
   * Cuts the power, lets `gone` end the processes that use it, and mounts what is left.
   *
   * @returns when the cut began, as of `process.hrtime.bigint()`
   */
  powerCut(gone: () => Promise<void>): Promise<bigint>
  [Symbol.dispose](): void
}

function run(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

function loopDisk(context: TestContext): Disk {
  const temp = tempDir()
  const image = join(temp.path, 'image')
  const path = join(temp.path, 'mounted')
  writeFileSync(image, '')
  truncateSync(image, 256 * 1024 * 1024)
  mkdirSync(path)
  const mount = (): boolean => run('mount', '-o', 'loop', image, path)
  const unmount = (): boolean => run('umount', path)
  if (!run('mkfs.ext4', '-q', '-F', image) || !mount() || !run('python3', '-c', 'import fcntl')) {
    unmount()
    temp[Symbol.dispose]()
    context.skip('this user may not mount a loop device, or mkfs.ext4 or python3 is missing')
  }
  const powerCut = async (gone: () => Promise<void>): Promise<bigint> => {
    const { status, stdout } = spawnSync('python3', ['-c', cut, path], { encoding: 'utf8' })
    await gone()
    if (status !== 0 || !unmount() || !mount()) throw new Error('The disk could not be shut down and mounted again.')
    return BigInt(stdout.trim())
  }
  const dispose = (): void => {
    unmount()
    temp[Symbol.dispose]()
  }
  return { path, receipts: join(temp.path, 'receipts'), powerCut, [Symbol.dispose]: dispose }
}

/** Receipted numbers that are missing after a cut. */
interface Missing {
  /** Receipted before it began. */
  readonly before: readonly number[]
  /** Receipted later. */
  readonly since: readonly number[]
}

/** Cuts the power when the writer said so many receipts. */
async function missingAfterCut(disk: Disk, after: number, ...writer: string[]): Promise<Missing> {
  const dir = join(disk.path, 'data')
  await using child = startChild('writer-program.ts', dir, disk.receipts, ...writer)
  expect(await child.line()).toBe('open')
  for (let line = ''; line !== String(after); line = await child.line());
  const cutAt = await disk.powerCut(() => child.kill())
  const receipted = readReceipts(disk.receipts)
  await using store = await openStore({ dir, schema: { version: 1, collections: ['left', 'right'] } })
  const stored = new Set(store.scan('left', { bodies: false }).map(({ meta }) => meta['n']))
  expect(store.count('right')).toBe(stored.size)
  const missing = receipted.filter(({ n }) => !stored.has(n))
  const numbers = (isBefore: boolean): number[] => missing.filter(({ at }) => at < cutAt === isBefore).map(({ n }) => n)
  return { before: numbers(true), since: numbers(false) }
}

test.for(['thread', 'own'])('receipted batches survive a power cut under load (%s)', async (mode, context) => {
  using disk = loopDisk(context)
  const inFlight = 16
  const { before, since } = await missingAfterCut(disk, 3000, mode, 'default', String(inFlight))
  expect(before).toEqual([])
  expect(since.length).toBeLessThanOrEqual(inFlight)
})

// So few that no checkpoint flushes them by the way.
test.for(['thread', 'own'])(
  'receipted batches survive a power cut before any checkpoint (%s)',
  async (mode, context) => {
    using disk = loopDisk(context)
    expect(await missingAfterCut(disk, 100, mode, 'default', '1', '100')).toEqual({ before: [], since: [] })
  },
)

test.for(['NORMAL', 'OFF'])(
  'without full flushes they do not, which this test sees (%s)',
  async (synchronous, context) => {
    using disk = loopDisk(context)
    const missing = missingAfterCut(disk, 100, 'own', synchronous, '1', '100').catch((error: unknown) => {
      // Without any flush it may also be the database that is damaged.
      if (isStoreError(error, 'STORE_DAMAGED')) return { before: ['all'] }
      throw error
    })
    expect((await missing).before).not.toEqual([])
  },
)
