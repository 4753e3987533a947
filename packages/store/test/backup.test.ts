/** Backups under load, and back; and looks into a folder. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { backupFolder, inspectFolder, inspectStore, openStore, restoreBackup, type Schema } from '../src/index.ts'
import { startChild } from './child.ts'
import { schema } from './contract.ts'
import { tempDir } from './temp-dir.ts'

test.each([true, false])(
  'a backup under load is one moment between batches, and opens as a store (thread: %s)',
  async (thread) => {
    using temp = tempDir()
    await using store = await openStore({ dir: join(temp.path, 'data'), schema, thread })
    const body = new Uint8Array(4096)
    let n = 0
    const pair = async (): Promise<void> => {
      const key = String((n += 1)).padStart(6, '0')
      await store.commit([
        { put: 'messages', key, meta: { n }, body },
        { put: 'letters', key, meta: { n } },
      ])
    }
    while (n < 2000) await Promise.all(Array.from({ length: 100 }, pair))
    const before = n
    let running = true
    const load = (async () => {
      while (running) await pair()
    })()
    const path = join(temp.path, 'backup.db')
    await store.backup(path)
    await store.backup(path)
    running = false
    await load
    expect(n).toBeGreaterThan(before)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(temp.path).toSorted()).toEqual(['backup.db', 'data'])

    restoreBackup({ from: path, dir: join(temp.path, 'restored'), schema })
    await using restored = await openStore({ dir: join(temp.path, 'restored'), schema })
    const keys = restored.scan('messages', { bodies: false }).map(({ key }) => key)
    expect(keys.length).toBeGreaterThanOrEqual(before)
    expect(keys.at(-1)).toBe(String(keys.length).padStart(6, '0'))
    expect(restored.scan('letters').map(({ key }) => key)).toEqual(keys)
  },
)

test('a backup that cannot be written is refused with a code and leaves nothing behind', async () => {
  using temp = tempDir()
  await using store = await openStore({ dir: temp.path, schema })
  await expect(store.backup(join(temp.path, 'store.db'))).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  const nowhere = `${temp.path}-missing/backup.db`
  await expect(store.backup(nowhere)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  expect(existsSync(`${nowhere}.partial`)).toBe(false)
})

test('a backup does not replace the live database, by whatever name its folder goes', async () => {
  using temp = tempDir()
  const [dir, alias] = [join(temp.path, 'data'), join(temp.path, 'alias')]
  mkdirSync(dir)
  symlinkSync(dir, alias)
  for (const [opened, written] of [
    [dir, alias],
    [alias, dir],
  ] as const) {
    await using store = await openStore({ dir: opened, schema })
    const before = statSync(join(dir, 'store.db')).ino
    await expect(store.backup(join(written, 'store.db'))).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    expect(statSync(join(dir, 'store.db')).ino).toBe(before)
  }
})

test('backups to the same path do not get into each other’s way', async () => {
  using temp = tempDir()
  await using store = await openStore({ dir: join(temp.path, 'data'), schema })
  await store.commit([{ put: 'messages', key: 'k', meta: {}, body: new Uint8Array(20_000_000) }])
  const path = join(temp.path, 'backup.db')
  await Promise.all([store.backup(path), store.backup(path), store.backup(path)])
  expect(readdirSync(temp.path).toSorted()).toEqual(['backup.db', 'data'])
})

test('close waits for a running backup', async () => {
  using temp = tempDir()
  const store = await openStore({ dir: join(temp.path, 'data'), schema })
  await store.commit([{ put: 'messages', key: 'k', meta: {}, body: new Uint8Array(20_000_000) }])
  const path = join(temp.path, 'backup.db')
  const backup = store.backup(path)
  await store.close()
  expect(existsSync(path)).toBe(true)
  await backup
})

test('a backup replaces an older backup, and nothing else', async () => {
  using temp = tempDir()
  await using store = await openStore({ dir: join(temp.path, 'data'), schema })
  await using other = await openStore({ dir: join(temp.path, 'other'), schema })
  const path = join(temp.path, 'backup.db')
  await store.backup(path)
  await store.backup(path)
  writeFileSync(join(temp.path, 'letter'), 'dear')
  symlinkSync(path, join(temp.path, 'link'))
  for (const target of ['letter', 'link', 'data', join('other', 'store.db'), join('other', 'new.db')])
    await expect(store.backup(join(temp.path, target))).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  expect(readFileSync(join(temp.path, 'letter'), 'utf8')).toBe('dear')
  expect(readdirSync(temp.path).toSorted()).toEqual(['backup.db', 'data', 'letter', 'link', 'other'])
  await other.commit([{ put: 'messages', key: 'k', meta: {} }])
})

test('a folder that nobody owns is backed up whatever its schema, also after kill -9, and left as it was', async () => {
  using temp = tempDir()
  const dir = join(temp.path, 'data')
  const pairs: Schema = { version: 1, collections: ['left', 'right'] }
  await using child = startChild('writer-program.ts', dir, join(temp.path, 'receipts'), 'thread', 'FULL', '1', '100')
  for (let line = ''; line !== '100'; line = await child.line());
  const to = join(temp.path, 'backup.db')
  await expect(backupFolder({ dir, to })).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE', ownerPid: child.pid })
  await child.kill()
  await backupFolder({ dir, to })
  expect(readdirSync(dir).toSorted()).toEqual(['owner.lock', 'store.db'])
  restoreBackup({ from: to, dir: join(temp.path, 'restored'), schema: pairs })
  await using restored = await openStore({ dir: join(temp.path, 'restored'), schema: pairs })
  expect(restored.count('left')).toBe(100)
  await expect(backupFolder({ dir: join(temp.path, 'none'), to })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  expect(existsSync(join(temp.path, 'none'))).toBe(false)
})

test('a database that is damaged is not backed up: what is told names it, and the last good backup stays', async () => {
  using temp = tempDir()
  const [dir, to] = [join(temp.path, 'data'), join(temp.path, 'backup.db')]
  const path = join(dir, 'store.db')
  {
    await using store = await openStore({ dir, schema })
    for (let n = 0; n < 200; n += 1)
      await store.commit([{ put: 'messages', key: `k${n}`, meta: { n }, body: new Uint8Array(1_000) }])
    await store.backup(to)
  }
  const [whole, good] = [readFileSync(path), readFileSync(to)]
  const headless = Buffer.from(whole)
  for (const page of [5, 7, 9]) headless.fill(0xff, page * 8192, page * 8192 + 12)
  const damaged = { headless, cut: whole.subarray(0, 4 * 8192 + 100), noise: Buffer.alloc(50_000, 'noise'), gone: '' }
  for (const [what, content] of Object.entries(damaged)) {
    writeFileSync(path, content)
    const error = await backupFolder({ dir, to }).catch((thrown: unknown) => thrown)
    expect([what, error]).toEqual([what, expect.objectContaining({ code: 'STORE_DAMAGED', path })])
    expect(readdirSync(temp.path).toSorted()).toEqual(['backup.db', 'data'])
    expect(readFileSync(to)).toEqual(good)
  }
  writeFileSync(path, headless)
  await using live = await openStore({ dir, schema })
  await expect(live.backup(to)).rejects.toMatchObject({
    code: 'STORE_DAMAGED',
    path,
    message: expect.stringMatching(/^The copy of .*store\.db is damaged: (?!\*\*\*).*There is no new backup/),
  })
  expect(readFileSync(to)).toEqual(good)
})

test('what was a backup says so for ever, by whatever way it came into its folder', async () => {
  using temp = tempDir()
  await using store = await openStore({ dir: join(temp.path, 'data'), schema })
  expect(store.restoredFrom).toBe(undefined)
  const path = join(temp.path, 'backup.db')
  const before = Date.now()
  await store.backup(path)
  const mark = restoreBackup({ from: path, dir: join(temp.path, 'restored'), schema })
  expect(mark.at).toBeGreaterThanOrEqual(before)
  mkdirSync(join(temp.path, 'copied'))
  copyFileSync(path, join(temp.path, 'copied', 'store.db'))
  for (const dir of ['restored', 'copied', 'restored']) {
    await using again = await openStore({ dir: join(temp.path, dir), schema })
    expect(again.restoredFrom).toEqual(mark)
  }
  await using restored = await openStore({ dir: join(temp.path, 'restored'), schema })
  await restored.backup(path)
  const second = restoreBackup({ from: path, dir: join(temp.path, 'second'), schema })
  expect(second.id).not.toBe(mark.id)
})

describe('a restore', () => {
  async function world(): Promise<{ readonly path: string; readonly from: string; [Symbol.dispose](): void }> {
    const temp = tempDir()
    await using store = await openStore({ dir: join(temp.path, 'data'), schema })
    await store.commit([{ put: 'messages', key: 'k', meta: {}, body: new Uint8Array(50_000) }])
    const from = join(temp.path, 'backup.db')
    await store.backup(from)
    return { ...temp, from }
  }

  test('takes a folder in which a first start was cut off', async () => {
    using it = await world()
    const dir = join(it.path, 'cut-off')
    mkdirSync(dir)
    for (const leftOver of ['store.db.new', 'store.db.new-journal', 'owner.json.new'])
      writeFileSync(join(dir, leftOver), 'half')
    restoreBackup({ from: it.from, dir, schema })
    await using store = await openStore({ dir, schema })
    expect(store.count('messages')).toBe(1)
    expect(readdirSync(dir).filter((name) => name.includes('.new'))).toEqual([])
  })

  test('refuses a folder that is not empty or has an owner, and changes nothing in it', async () => {
    using it = await world()
    await using owner = await openStore({ dir: join(it.path, 'data'), schema })
    expect(() => restoreBackup({ from: it.from, dir: join(it.path, 'data'), schema })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTIONS', message: expect.stringContaining('not empty') }),
    )
    expect(owner.count('messages')).toBe(1)
    const full = join(it.path, 'full')
    mkdirSync(full)
    writeFileSync(join(full, 'letter'), 'dear')
    expect(() => restoreBackup({ from: it.from, dir: full, schema })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTIONS' }),
    )
    expect(readdirSync(full)).toEqual(['letter'])
    const owned = join(it.path, 'owned')
    await using opening = await openStore({ dir: owned, schema })
    rmSync(join(owned, 'store.db'))
    for (const name of ['store.db-wal', 'store.db-shm']) rmSync(join(owned, name), { force: true })
    expect(() => restoreBackup({ from: it.from, dir: owned, schema })).toThrow(
      expect.objectContaining({ code: 'DATA_DIR_IN_USE', ownerPid: process.pid }),
    )
    expect(opening.restoredFrom).toBe(undefined)
  })

  test('checks the backup first: what is none, newer or damaged makes no folder', async () => {
    using it = await world()
    const dir = join(it.path, 'restored')
    const bad = (from: string, code: string, known: Schema = schema): void => {
      expect(() => restoreBackup({ from, dir, schema: known })).toThrow(expect.objectContaining({ code }))
      expect(existsSync(dir)).toBe(false)
    }
    bad(join(it.path, 'nothing'), 'BAD_OPTIONS')
    bad(join(it.path, 'data', 'store.db'), 'BAD_OPTIONS')
    const letter = join(it.path, 'letter')
    writeFileSync(letter, 'dear '.repeat(100))
    bad(letter, 'STORE_DAMAGED')
    await (await openStore({ dir: join(it.path, 'newer'), schema: { ...schema, version: 7 } })).close()
    await backupFolder({ dir: join(it.path, 'newer'), to: join(it.path, 'newer.db') })
    bad(join(it.path, 'newer.db'), 'SCHEMA_TOO_NEW')
    const whole = readFileSync(it.from)
    const damaged = join(it.path, 'damaged.db')
    writeFileSync(damaged, whole.subarray(0, whole.length - 8192))
    bad(damaged, 'STORE_DAMAGED')
    // What is wrong, and not SQLite's heading of it.
    writeFileSync(damaged, Buffer.from(whole).fill(0xff, 5 * 8192, 5 * 8192 + 12))
    expect(() => restoreBackup({ from: damaged, dir, schema })).toThrow(/is damaged: (?!\*\*\*).*page/i)
  })

  test('that was cut off leaves a folder that does not open as an empty one, and can be repeated', async () => {
    using it = await world()
    const dir = join(it.path, 'restored')
    mkdirSync(dir)
    writeFileSync(join(dir, 'store.db.restoring'), 'half')
    await expect(openStore({ dir, schema })).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
    expect(existsSync(join(dir, 'store.db'))).toBe(false)
    restoreBackup({ from: it.from, dir, schema })
    await using store = await openStore({ dir, schema })
    expect(store.count('messages')).toBe(1)
    expect(existsSync(join(dir, 'store.db.restoring'))).toBe(false)
  })
})

describe('a look into a folder', () => {
  const files = (dir: string): unknown =>
    readdirSync(dir)
      .toSorted()
      .map((name) => [name, readFileSync(join(dir, name))])

  test('changes nothing when nobody owns it, and finds owner, version, records and damage', async () => {
    using temp = tempDir()
    await using store = await openStore({ dir: temp.path, schema })
    await store.commit([{ put: 'messages', key: 'k', meta: { n: 1 }, body: new Uint8Array(50_000) }])
    expect(inspectFolder(temp.path)).toMatchObject({ owner: { pid: process.pid }, reserveBytes: 67_108_864 })
    {
      using live = inspectStore(temp.path, schema)
      await store.commit([{ put: 'messages', key: 'later', meta: {} }])
      expect([live.count('messages'), live.get('messages', 'k')?.meta]).toEqual([1, { n: 1 }])
    }
    await store.close()
    const before = files(temp.path)
    {
      using still = inspectStore(temp.path, schema)
      expect(still).toMatchObject({ version: schema.version, restoredFrom: undefined })
      expect([still.problems(), still.count('messages'), still.count('nothing')]).toEqual([[], 2, 0])
    }
    expect(inspectFolder(temp.path).owner).toBe(undefined)
    expect(files(temp.path)).toEqual(before)
    const path = join(temp.path, 'store.db')
    writeFileSync(path, readFileSync(path).fill(7, 3 * 8192, 5 * 8192))
    using damaged = inspectStore(temp.path, schema)
    expect(damaged.problems().length).toBeGreaterThan(0)
    expect(() => inspectFolder(join(temp.path, 'none'))).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
  })

  test('does not keep an owner out that opens it at the same time', async () => {
    using temp = tempDir()
    await (await openStore({ dir: temp.path, schema })).close()
    using look = inspectStore(temp.path, schema)
    await using store = await openStore({ dir: temp.path, schema })
    expect([look.count('messages'), store.count('messages')]).toEqual([0, 0])
  })
})
