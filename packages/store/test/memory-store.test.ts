/** The twin's faults. */
import fc from 'fast-check'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { createMemoryStore, isStoreError, type CommitFault, type MemoryStore, type Operation } from '../src/index.ts'

const put = (key: string): Operation => ({ put: 'messages', key, meta: {} })
const keys = (store: MemoryStore): string[] => store.scan('messages').map(({ key }) => key)
const faulty = (...faults: (CommitFault | undefined)[]): MemoryStore =>
  createMemoryStore({ faults: (commit) => faults[commit - 1] })

/** A scheduler that runs only when it is told to. */
function stepper(): { defer: (run: () => void) => void; step: () => Promise<void> } {
  const due: (() => void)[] = []
  return {
    defer: (run) => void due.push(run),
    step: async () => {
      due.shift()?.()
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
    },
  }
}

test('what is deleted takes no room, also where nobody looks', async () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const heap = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  const store = createMemoryStore()
  const comeAndGo = async (from: number, to: number): Promise<void> => {
    for (let first = from; first < to; first += 1_000) {
      const names = Array.from({ length: 1_000 }, (_, index) => `mailbox/${String(first + index).padStart(40, '0')}`)
      await store.commit(names.map(put))
      await store.commit(names.map((key): Operation => ({ delete: 'messages', key })))
    }
  }
  await comeAndGo(0, 20_000)
  const before = heap()
  await comeAndGo(20_000, 120_000)
  const perKey = (heap() - before) / 100_000
  expect(perKey).toBeLessThan(10)
  expect(store.count('messages')).toBe(0)
})

test('a commit can fail, lie, or find the disk full; the next one works', async () => {
  const store = faulty({ outcome: 'fails' }, { outcome: 'lies' }, { outcome: 'full' })
  await expect(store.commit([put('a')])).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN', retry: 'later' })
  await expect(store.commit([put('b')])).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' })
  await expect(store.commit([put('c')])).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  await store.commit([put('d')])
  expect(keys(store)).toEqual(['b', 'd'])
  expect(store.stats()).toMatchObject({ commits: 1, failedCommits: 3 })
})

test('a slow commit takes its turns, and what arrives meanwhile shares the next one', async () => {
  const { defer, step } = stepper()
  const store = createMemoryStore({ defer, faults: (commit) => (commit === 1 ? { turns: 2 } : undefined) })
  const ends: string[] = []
  const commit = (key: string): void => void store.commit([put(key)]).then(() => ends.push(key))
  commit('a')
  await step()
  commit('b')
  commit('c')
  await step()
  expect(ends).toEqual([])
  await step()
  expect(ends).toEqual(['a'])
  await step()
  expect(ends).toEqual(['a', 'b', 'c'])
  expect(store.stats().commits).toBe(2)
})

test('what is queued behind a commit that fails fails with it', async () => {
  const { defer, step } = stepper()
  const store = createMemoryStore({
    defer,
    faults: (commit) => (commit === 1 ? { outcome: 'fails', turns: 1 } : undefined),
  })
  const ends: unknown[] = []
  const commit = (key: string): void =>
    void store.commit([put(key)]).then(
      () => ends.push(key),
      (error: unknown) => ends.push(isStoreError(error) ? error.code : error),
    )
  commit('a')
  await step()
  commit('b')
  await step()
  expect(ends).toEqual(['COMMIT_UNKNOWN', 'COMMIT_UNKNOWN'])
  commit('c')
  await step()
  expect(keys(store)).toEqual(['c'])
})

test('a power cut keeps what was receipted and, of the rest, a prefix of whole batches', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(6),
      fc.nat(6),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      async (receipted, pending, random) => {
        const { defer, step } = stepper()
        const store = createMemoryStore({ defer, random: () => random })
        const commit = (n: number): Promise<void> => store.commit([put(`${n}/left`), put(`${n}/right`)])
        const first = Promise.all(Array.from({ length: receipted }, (_, n) => commit(n)))
        await step()
        await first
        for (let n = receipted; n < receipted + pending; n += 1) void commit(n)
        const after = store.powerCut()
        const survivors = after.count('messages') / 2
        expect(survivors).toBeGreaterThanOrEqual(receipted)
        expect(survivors).toBe(receipted + Math.floor(random * (pending + 1)))
        const expected = Array.from({ length: survivors }, (_, n) => [`${n}/left`, `${n}/right`]).flat()
        expect(keys(after)).toEqual(expected.toSorted())
        await expect(store.commit([put('late')])).rejects.toMatchObject({ code: 'CLOSED' })
        await step()
        expect(after.count('messages')).toBe(survivors * 2)
      },
    ),
  )
})

test('a failed flush may come back after a power cut, unless a later commit overwrote it', async () => {
  const faults = (commit: number): CommitFault | undefined => (commit === 1 ? { outcome: 'limbo' } : undefined)
  const randoms = [0.1, 0.9]
  const store = createMemoryStore({ faults, random: () => randoms.shift() ?? 0 })
  await expect(store.commit([put('a')])).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' })
  expect(keys(store)).toEqual([])
  expect(keys(store.powerCut())).toEqual(['a'])

  const other = createMemoryStore({ faults, random: () => 0.1 })
  await expect(other.commit([put('a')])).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' })
  await other.commit([put('b')])
  expect(keys(other.powerCut())).toEqual(['b'])
})

test('a closed store reopens with its records; backups open on a disk of their own', async () => {
  const store = createMemoryStore({ schema: { version: 1, collections: ['messages'] } })
  await store.commit([put('a')])
  await store.backup('backup')
  expect(() => store.reopen()).toThrow(expect.objectContaining({ code: 'DATA_DIR_IN_USE' }))
  void store.commit([put('b')])
  await store.close()
  const again = store.reopen()
  expect(keys(again)).toEqual(['a', 'b'])
  const copy = again.openBackup('backup')
  expect([again.restoredFrom, copy.restoredFrom]).toEqual([undefined, { id: 'backup-1', at: 0 }])
  await copy.commit([{ delete: 'messages', key: 'a' }])
  expect([keys(copy), keys(again)]).toEqual([[], ['a', 'b']])
  expect(() => again.openBackup('other')).toThrow(expect.objectContaining({ code: 'IO_FAILED' }))
})

test('reading the head of a long queue stays cheap while it is consumed', async () => {
  const store = createMemoryStore()
  const size = 50_000
  await store.commit(Array.from({ length: size }, (_, n) => put(String(n).padStart(6, '0'))))
  for (let n = 0; n < size; n += 1) {
    const [head] = store.scan('messages', { limit: 1 })
    if (head === undefined) break
    void store.commit([{ delete: 'messages', key: head.key }])
    await Promise.resolve()
    if (n % 100 === 0) await store.commit([])
  }
  await store.commit([])
  expect(store.count('messages')).toBe(0)
}, 5_000)
