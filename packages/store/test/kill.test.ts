/** `kill -9` of a process that writes: what it got a receipt for is there. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { openStore } from '../src/index.ts'
import { readReceipts, startChild } from './child.ts'
import { tempDir } from './temp-dir.ts'

const schema = { version: 1, collections: ['left', 'right'] }

test.each(['thread', 'own'])('receipted batches survive kill -9, whole and in order (%s)', async (mode) => {
  using temp = tempDir()
  const dir = join(temp.path, 'data')
  const receipts = join(temp.path, 'receipts')
  await using child = startChild('writer-program.ts', dir, receipts, mode, 'FULL', '16')
  expect(await child.line()).toBe('open')
  for (let line = ''; line !== '500'; line = await child.line());
  await child.kill()
  const receipted = readReceipts(receipts).map(({ n }) => n)
  expect(receipted.length).toBeGreaterThanOrEqual(500)

  await using store = await openStore({ dir, schema })
  const left = store.scan('left')
  expect(store.scan('right')).toEqual(left)
  expect(left.map(({ meta }) => meta['n'])).toEqual(left.map((_, index) => index + 1))
  expect(left.length).toBeGreaterThanOrEqual(Math.max(...receipted))
  const db = new DatabaseSync(join(dir, 'store.db'), { readOnly: true })
  expect({ ...db.prepare('PRAGMA integrity_check').get() }).toEqual({ integrity_check: 'ok' })
  db.close()
})

test('a second owner is refused while the first lives, by its pid, and let in after kill -9', async () => {
  using temp = tempDir()
  const dir = join(temp.path, 'data')
  await using child = startChild('writer-program.ts', dir, join(temp.path, 'receipts'), 'thread', 'FULL', '1')
  expect(await child.line()).toBe('open')
  const refused = openStore({ dir, schema })
  await expect(refused).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE', retry: 'later', ownerPid: child.pid })
  await expect(openStore({ dir, schema })).rejects.toThrow(`belongs to process ${child.pid}`)
  await child.kill()
  await using store = await openStore({ dir, schema })
  expect(store.stats().commits).toBe(0)
})
