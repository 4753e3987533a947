/** A record of which a bit changed in the file is never given. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { backupFolder, inspectStore, isStoreError, openStore, restoreBackup, type Schema } from '../src/index.ts'
import { tempDir } from './temp-dir.ts'

const schema: Schema = { version: 1, collections: ['tasks', 'notes'] }
const task = { key: 'task-1', meta: { role: 'reader', at: 7 }, body: Uint8Array.from(Buffer.from('rm -r build')) }
const note = { key: 'note-1', meta: { said: 'yes' } }
const damaged = (key: string): unknown =>
  expect.objectContaining({ code: 'STORE_DAMAGED', message: expect.stringContaining(`: ${key}`) })

async function write(dir: string): Promise<void> {
  await using store = await openStore({ dir, schema, thread: false })
  await store.commit([
    { put: 'tasks', ...task },
    { put: 'tasks', key: 'task-2', meta: {} },
    { put: 'notes', ...note },
    { put: 'notes', key: 'note-2', meta: {}, body: new Uint8Array(0) },
  ])
}

/** Changes the database itself, as a disk would. */
function change(dir: string, sql: string): void {
  using db = new DatabaseSync(join(dir, 'store.db'))
  expect(db.prepare(sql).run().changes).toBe(1)
}

test('whichever bit of a record flips in the file, no other record is given for it', { timeout: 120_000 }, async () => {
  using temp = tempDir()
  await write(temp.path)
  const path = join(temp.path, 'store.db')
  const whole = readFileSync(path)
  const at = whole.lastIndexOf('task-1{')
  const end = whole.indexOf(task.body, at) + task.body.length
  expect([at > 0, end > at]).toEqual([true, true])
  const fates = new Map<string, number>()
  // From before the lengths in the row's header to the end of its body.
  for (let bit = (at - 12) * 8; bit < end * 8; bit += 1) {
    const byte = bit >> 3
    const file = Buffer.from(whole)
    file.writeUInt8(file.readUInt8(byte) ^ (1 << (bit & 7)), byte)
    writeFileSync(path, file)
    using look = inspectStore(temp.path, schema)
    const read = [() => look.get('tasks', 'task-1'), () => look.scan('tasks', { limit: 1 })[0]]
    for (const one of read) {
      let fate = 'given'
      try {
        expect(one()).toEqual(task)
      } catch (error) {
        if (!isStoreError(error, 'STORE_DAMAGED')) throw new Error(`bit ${bit - at * 8}`, { cause: error })
        fate = 'damaged'
      }
      fates.set(fate, (fates.get(fate) ?? 0) + 1)
    }
  }
  expect(fates.get('damaged')).toBeGreaterThan(700)
})

test('the sums go along into a backup and back', async () => {
  using temp = tempDir()
  const [dir, to, restored] = ['data', 'backup.db', 'restored'].map((name) => join(temp.path, name))
  if (dir === undefined || to === undefined || restored === undefined) throw new Error('unreachable')
  await write(dir)
  change(dir, `UPDATE tasks SET meta = replace(meta, 'reader', 'seader') WHERE key = 'task-1'`)
  await backupFolder({ dir, to })
  restoreBackup({ from: to, dir: restored, schema })
  await using store = await openStore({ dir: restored, schema, thread: false })
  expect(() => store.get('tasks', 'task-1')).toThrow(damaged('task-1'))
  expect(store.scan('notes')).toHaveLength(2)
})
