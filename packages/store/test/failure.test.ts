/** Commits that fail on a real database: another program's lock, a dead thread, a full disk. */
import { spawnSync } from 'node:child_process'
import { writeFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import { expect, test, type TestContext } from 'vitest'
import { openStore, type Operation, type Store } from '../src/index.ts'
import { schema } from './contract.ts'
import { tempDir } from './temp-dir.ts'

const put = (key: string, size = 0): Operation => ({ put: 'messages', key, meta: {}, body: new Uint8Array(size) })

async function codes(promises: Promise<void>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(promises)
  return settled.map((one) => (one.status === 'fulfilled' ? 'stored' : (one.reason as { code: unknown }).code))
}

test.each([true, false])(
  'a commit that fails is rolled back, fails all that was called, and the next one works (thread: %s)',
  async (thread) => {
    using temp = tempDir()
    await using store = await openStore({ dir: temp.path, schema, thread, busyTimeoutMs: 20 })
    const other = new DatabaseSync(join(temp.path, 'store.db'))
    other.exec('BEGIN IMMEDIATE')
    expect(await codes([store.commit([put('a')]), store.commit([put('b')])])).toEqual([
      'COMMIT_UNKNOWN',
      'COMMIT_UNKNOWN',
    ])
    other.exec('ROLLBACK')
    other.close()
    expect(store.count('messages')).toBe(0)
    await store.commit([put('c')])
    expect(store.scan('messages').map(({ key }) => key)).toEqual(['c'])
    expect(store.stats()).toMatchObject({ commits: 1, failedCommits: 1, waiting: 0, waitingBytes: 0 })
  },
)

test('what is queued behind a commit that fails fails with it', async () => {
  using temp = tempDir()
  await using store = await openStore({ dir: temp.path, schema, busyTimeoutMs: 50 })
  const other = new DatabaseSync(join(temp.path, 'store.db'))
  other.exec('BEGIN IMMEDIATE')
  const running = store.commit([put('a')])
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  const queued = store.commit([put('b')])
  expect(await codes([running, queued])).toEqual(['COMMIT_UNKNOWN', 'COMMIT_UNKNOWN'])
  other.exec('ROLLBACK')
  other.close()
  await store.commit([put('c')])
  expect(store.scan('messages').map(({ key }) => key)).toEqual(['c'])
})

async function openWithThread(dir: string): Promise<{ store: Store; worker: Worker }> {
  const started = Promise.withResolvers<Worker>()
  process.once('worker', (worker) => started.resolve(worker))
  const store = await openStore({ dir, schema })
  return { store, worker: await started.promise }
}

test('when the commit thread dies, what is pending fails, the store is closed, and can be opened again', async () => {
  using temp = tempDir()
  const { store, worker } = await openWithThread(temp.path)
  await store.commit([put('before')])
  const pending = [store.commit([put('a', 1_000_000)]), store.commit([put('b')])]
  setImmediate(() => setImmediate(() => void worker.terminate()))
  const closed = store.closed.catch((error: unknown) => error)
  const ends = await codes(pending)
  expect(await closed).toMatchObject({ code: 'STORE_FAILED', retry: 'later' })
  await expect(store.commit([put('late')])).rejects.toMatchObject({ code: 'CLOSED', cause: { code: 'STORE_FAILED' } })
  expect(() => store.get('messages', 'before')).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  await store.close()
  await using again = await openStore({ dir: temp.path, schema })
  expect(again.get('messages', 'before')).toBeDefined()
  const stored = ['a', 'b'].filter((_key, index) => ends[index] === 'stored')
  expect(stored.filter((key) => again.get('messages', key) === undefined)).toEqual([])
  expect(ends.filter((end) => end !== 'stored' && end !== 'COMMIT_UNKNOWN')).toEqual([])
})

test('a store that broke while nothing was pending says so at `closed`', async () => {
  using temp = tempDir()
  const { store, worker } = await openWithThread(temp.path)
  await worker.terminate()
  await expect(store.closed).rejects.toMatchObject({ code: 'STORE_FAILED' })
  await store.close()
})

/** A file system of 8 MiB in memory; skips the test where this user may not mount one. */
function smallDisk(context: TestContext): { readonly path: string; [Symbol.dispose](): void } {
  const temp = tempDir()
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', temp.path])
  if (mounted.status !== 0) {
    temp[Symbol.dispose]()
    context.skip('this user may not mount a file system')
  }
  const unmount = (): void => {
    spawnSync('umount', [temp.path])
    temp[Symbol.dispose]()
  }
  return { path: temp.path, [Symbol.dispose]: unmount }
}

test.for([true, false])(
  'a full disk refuses with a code, keeps what was stored, and recovers (thread: %s)',
  async (thread, context) => {
    using disk = smallDisk(context)
    await using store = await openStore({ dir: join(disk.path, 'data'), schema, thread, reserveBytes: 0 })
    await store.commit([put('kept', 1000)])
    writeFileSync(join(disk.path, 'ballast'), new Uint8Array(5_000_000))
    const stored = ['kept']
    let end: unknown = 'stored'
    for (let n = 0; end === 'stored' && n < 100; n += 1) {
      ;[end] = await codes([store.commit([put(`k${n}`, 200_000)])])
      if (end === 'stored') stored.push(`k${n}`)
    }
    expect(end).toBe('STORAGE_FULL')
    expect(store.stats().failedCommits).toBe(1)
    const sorted = (): string[] => store.scan('messages').map(({ key }) => key)
    expect(sorted()).toEqual(stored.toSorted())
    rmSync(join(disk.path, 'ballast'))
    await store.commit([put('after', 200_000)])
    expect(sorted()).toEqual(['after', ...stored].toSorted())
  },
)

test('the reserve is measured on the file system of the folder', async (context) => {
  using disk = smallDisk(context)
  await using store = await openStore({ dir: disk.path, schema })
  await expect(store.commit([put('a')], { reserve: true })).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  await store.commit([put('b')])
})
