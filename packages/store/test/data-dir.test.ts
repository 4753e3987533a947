/** The data folder: owner, modes, how the file is written, and what people can do with it. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test, vi } from 'vitest'
import { inspectStore, openStore } from '../src/index.ts'
import { schema } from './contract.ts'
import { tempDir } from './temp-dir.ts'

test('a second open in the same process is refused, also repeatedly, and allowed after close', async () => {
  using temp = tempDir()
  const dir = join(temp.path, 'deep', 'data')
  const first = await openStore({ dir, schema })
  for (const thread of [true, false]) {
    const second = openStore({ dir, schema, thread })
    await expect(second).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE', ownerPid: process.pid })
  }
  await first.commit([{ put: 'messages', key: 'k', meta: {} }])
  await first.close()
  await using second = await openStore({ dir, schema, thread: false })
  expect(second.count('messages')).toBe(1)
})

test('only the owner of the files can read them', async () => {
  using temp = tempDir()
  const dir = join(temp.path, 'above', 'data')
  const files = ['owner.json', 'owner.lock', 'store.db', 'store.db-shm', 'store.db-wal']
  // From the first on; those that were there before become so.
  for (const time of ['first', 'second']) {
    await using store = await openStore({ dir, schema })
    await store.commit([{ put: 'messages', key: time, meta: {} }])
    const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)
    expect([dir, dirname(dir)].map(mode), time).toEqual(['700', '700'])
    expect(readdirSync(dir).toSorted(), time).toEqual(files)
    expect(
      files.map((file) => mode(join(dir, file))),
      time,
    ).toEqual(files.map(() => '600'))
    const owner: unknown = JSON.parse(readFileSync(join(dir, 'owner.json'), 'utf8'))
    expect(owner).toEqual({ pid: process.pid, startedAt: expect.stringMatching(/^\d{4}-.*Z$/) })
    await store.close()
    for (const file of ['owner.lock', 'store.db']) chmodSync(join(dir, file), 0o644)
  }
})

test('close removes the owner and folds the log into the database', async () => {
  using temp = tempDir()
  const store = await openStore({ dir: temp.path, schema })
  await store.commit([{ put: 'messages', key: 'k', meta: {} }])
  await store.close()
  expect(existsSync(join(temp.path, 'owner.json'))).toBe(false)
  expect(existsSync(join(temp.path, 'store.db-wal'))).toBe(false)
})

test('close lets the folder go also when owner.json cannot be removed', async () => {
  using temp = tempDir()
  const first = await openStore({ dir: temp.path, schema })
  const owner = join(temp.path, 'owner.json')
  rmSync(owner)
  mkdirSync(owner)
  await first.close()
  rmdirSync(owner)
  await using second = await openStore({ dir: temp.path, schema })
  expect(second.count('messages')).toBe(0)
})

test('another program can query the live database with json_extract', async () => {
  using temp = tempDir()
  await using store = await openStore({ dir: temp.path, schema })
  await store.commit([{ put: 'messages', key: 'k', meta: { from: { name: 'ada' } }, body: Buffer.from('x') }])
  const db = new DatabaseSync(join(temp.path, 'store.db'), { readOnly: true })
  const sql = `SELECT key, json_extract(meta, '$.from.name') AS name FROM messages`
  expect({ ...db.prepare(sql).get() }).toEqual({ key: 'k', name: 'ada' })
  db.close()
})

test('options that make no sense are refused before anything is touched', async () => {
  using temp = tempDir()
  const dir = join(temp.path, 'data')
  const bad = [
    { dir: '', schema },
    { dir, schema: { version: 0, collections: [] } },
    { dir, schema: { version: 1, collections: ['Messages'] } },
    { dir, schema: { version: 1, collections: ['a"b'] } },
    { dir, schema: { version: 1, collections: ['a', 'a'] } },
    { dir, schema: { version: 2, collections: [], migrations: [{ from: 2, migrate: () => {} }] } },
    { dir, schema, reserveBytes: -1 },
  ]
  for (const options of bad) await expect(openStore(options)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  const aborted = openStore({ dir, schema, signal: AbortSignal.abort('why') })
  await expect(aborted).rejects.toMatchObject({ code: 'ABORTED', cause: 'why' })
  expect(existsSync(dir)).toBe(false)
})

test.runIf(process.platform === 'linux')('a folder that cannot be made is an error at once', async () => {
  // Where making it fails as if what is above it were missing, Node's own recursion never ends: hence a process to kill.
  const open = `import { openStore } from '@greenroom/store'
    await openStore({ dir: '/proc/none/data', schema: { version: 1, collections: [] } }).catch(({ code, message }) => console.log(code, message))`
  const { stdout, signal } = spawnSync(
    process.execPath,
    ['--conditions=@greenroom/source', '--input-type=module', '-e', open],
    {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      timeout: 10_000,
    },
  )
  expect(signal).toBe(null)
  expect(stdout).toMatch(/^IO_FAILED .*\/proc\/none/)
})

test('a database that somebody emptied is not opened as a new one; what a first start left unfinished is no matter', async () => {
  using temp = tempDir()
  const path = join(temp.path, 'store.db')
  await (await openStore({ dir: temp.path, schema })).close()
  truncateSync(path)
  for (let twice = 0; twice < 2; twice += 1) {
    const opening = openStore({ dir: temp.path, schema })
    await expect(opening).rejects.toMatchObject({ code: 'STORE_DAMAGED', message: expect.stringMatching(/is empty/) })
    expect(() => inspectStore(temp.path, schema)).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
  }
  rmSync(path)
  await (await openStore({ dir: temp.path, schema })).close()
  for (const leftOver of ['store.db.new', 'store.db.new-journal']) writeFileSync(join(temp.path, leftOver), 'half')
  await (await openStore({ dir: temp.path, schema })).close()
  expect(readdirSync(temp.path).filter((name) => name.includes('.new'))).toEqual([])
  rmSync(path)
  writeFileSync(`${path}.new`, 'half')
  await using store = await openStore({ dir: temp.path, schema })
  expect(store.count('messages')).toBe(0)
  expect(existsSync(`${path}.new`)).toBe(false)
})

test('whoever says nothing of flushing has a writer that flushes each commit', async () => {
  using temp = tempDir()
  using exec = vi.spyOn(DatabaseSync.prototype, 'exec')
  await using store = await openStore({ dir: temp.path, schema, thread: false })
  await store.commit([{ put: 'messages', key: 'a', meta: {} }])
  const writers = exec.mock.contexts.filter(
    (db, call): db is DatabaseSync =>
      db instanceof DatabaseSync && db.isOpen && /synchronous/.test(exec.mock.calls[call]?.[0] ?? ''),
  )
  const settings = ['synchronous', 'fullfsync', 'checkpoint_fullfsync', 'journal_mode']
  const said = (db: DatabaseSync): unknown[] =>
    settings.map((name) => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])
  // 2 is FULL.
  expect(writers.map(said)).toEqual([[2, 1, 1, 'wal']])
})
