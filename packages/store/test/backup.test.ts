/** Backups under load, and back. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openStore } from '../src/index.ts'
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

    mkdirSync(join(temp.path, 'restored'))
    copyFileSync(path, join(temp.path, 'restored', 'store.db'))
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
  await expect(store.backup(nowhere)).rejects.toMatchObject({ code: 'IO_FAILED' })
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
