/** Versions: older is migrated, newer and foreign files are refused and left as they are. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { inspectStore, openStore, type Migration, type Schema } from '../src/index.ts'
import { tempDir } from './temp-dir.ts'

const first: Schema = { version: 1, collections: ['drafts', 'messages'] }

async function makeFirst(dir: string): Promise<void> {
  await using store = await openStore({ dir, schema: first, thread: false })
  await store.commit([
    { put: 'drafts', key: 'd', meta: { n: 1 }, body: Buffer.from('body') },
    { put: 'messages', key: 'm', meta: { n: 2 } },
  ])
}

const moveDrafts: Migration = {
  from: 1,
  migrate: (tx) => {
    const drafts = tx.scan('drafts')
    tx.apply(drafts.map((record) => ({ put: 'letters', ...record, meta: { ...record.meta, moved: true } })))
    tx.drop('drafts')
  },
}

test('older data is migrated step by step, in one transaction, once', async () => {
  using temp = tempDir()
  await makeFirst(temp.path)
  const steps: number[] = []
  const migrations: Migration[] = [
    { from: 1, migrate: (tx) => (steps.push(1), moveDrafts.migrate(tx)) },
    { from: 3, migrate: (tx) => (steps.push(3), tx.apply([{ delete: 'messages', key: 'm' }])) },
  ]
  const schema: Schema = { version: 4, collections: ['messages', 'letters'], migrations }
  for (let round = 0; round < 2; round += 1) {
    await using store = await openStore({ dir: temp.path, schema })
    expect(store.scan('messages')).toEqual([])
    expect(store.scan('letters')).toEqual([
      { key: 'd', meta: { n: 1, moved: true }, body: Uint8Array.from(Buffer.from('body')) },
    ])
    expect(steps).toEqual([1, 3])
  }
})

test('a migration that throws leaves the data as it was', async () => {
  using temp = tempDir()
  await makeFirst(temp.path)
  const broken: Migration = {
    from: 2,
    migrate: () => {
      throw new Error('no good')
    },
  }
  const schema: Schema = { version: 3, collections: ['messages', 'letters'], migrations: [moveDrafts, broken] }
  const refused = openStore({ dir: temp.path, schema })
  await expect(refused).rejects.toMatchObject({ code: 'MIGRATION_FAILED', cause: { message: 'no good' } })
  await using store = await openStore({ dir: temp.path, schema: first })
  expect(store.scan('drafts')).toHaveLength(1)
})

test('newer data is refused and left as it is', async () => {
  using temp = tempDir()
  await (await openStore({ dir: temp.path, schema: { ...first, version: 7 } })).close()
  const before = readFileSync(join(temp.path, 'store.db'))
  const path = join(temp.path, 'store.db')
  await expect(openStore({ dir: temp.path, schema: first })).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW', path })
  expect(readFileSync(path)).toEqual(before)
})

test('a collection that is new in the same version gets its table', async () => {
  using temp = tempDir()
  await makeFirst(temp.path)
  await using store = await openStore({ dir: temp.path, schema: { version: 1, collections: ['messages', 'extra'] } })
  await store.commit([{ put: 'extra', key: 'k', meta: {} }])
  expect(store.count('extra')).toBe(1)
})

test('what is no database, or not ours, is reported as damaged with its path and left alone', async () => {
  using temp = tempDir()
  const path = join(temp.path, 'store.db')
  writeFileSync(path, 'not a database at all '.repeat(500))
  await expect(openStore({ dir: temp.path, schema: first })).rejects.toMatchObject({ code: 'STORE_DAMAGED', path })
  expect(readFileSync(path, 'utf8')).toContain('not a database')
  writeFileSync(path, '')
  const foreign = new DatabaseSync(path)
  foreign.exec('CREATE TABLE guests (name TEXT)')
  foreign.close()
  const before = readFileSync(path)
  await expect(openStore({ dir: temp.path, schema: first })).rejects.toMatchObject({ code: 'STORE_DAMAGED', path })
  expect(readFileSync(path)).toEqual(before)
})

test('a record that somebody broke is reported, not returned', async () => {
  using temp = tempDir()
  await makeFirst(temp.path)
  const db = new DatabaseSync(join(temp.path, 'store.db'))
  db.exec(`UPDATE drafts SET meta = '{"n":'`)
  db.close()
  await using store = await openStore({ dir: temp.path, schema: first })
  expect(() => store.get('drafts', 'd')).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
  expect(store.keys('drafts')).toEqual(['d'])
  using look = inspectStore(temp.path, first)
  expect([look.damagedKeys('drafts'), look.damagedKeys('messages'), look.damagedKeys('none')]).toEqual([['d'], [], []])
  expect(store.get('messages', 'm')).toBeDefined()
})

/** What a disk, or somebody, may do to a record that stays readable. */
const alterations: readonly (readonly [what: string, sql: string, isBody: boolean])[] = [
  ['a number in its meta', `UPDATE drafts SET meta = '{"n":2}'`, false],
  ['its key', `UPDATE drafts SET key = 'e'`, false],
  ['its body', `UPDATE drafts SET body = CAST('bodz' AS BLOB)`, true],
  ['its body is gone', 'UPDATE drafts SET body = NULL', true],
  ['its body is a text', `UPDATE drafts SET body = 'body'`, true],
  ['a sum', 'UPDATE drafts SET sum = sum + 1', false],
  ['the sum of its body', 'UPDATE drafts SET body_sum = body_sum + 1', false],
  ['its body with its sum', 'UPDATE drafts SET body_sum = NULL, body = NULL', false],
  ['a sum that is none', `UPDATE drafts SET sum = 'none'`, false],
]

test.each(alterations)(
  'a record of which something else is read than was written is not given: %s',
  async (_, sql, isBody) => {
    using temp = tempDir()
    await makeFirst(temp.path)
    {
      using db = new DatabaseSync(join(temp.path, 'store.db'))
      expect(db.prepare(sql).run().changes).toBe(1)
    }
    await using store = await openStore({ dir: temp.path, schema: first })
    const key = store.keys('drafts')[0] ?? ''
    const damaged = expect.objectContaining({ code: 'STORE_DAMAGED', message: expect.stringContaining(`"drafts"`) })
    expect(() => store.get('drafts', key)).toThrow(damaged)
    expect(() => store.scan('drafts')).toThrow(damaged)
    const read = (): unknown[] => [
      store.get('drafts', key, { unchecked: true })?.meta,
      ...store.scan('drafts', { bodies: false }),
    ]
    if (isBody) expect(read()).toEqual([{ n: 1 }, { key, meta: { n: 1 } }])
    else expect(read).toThrow(damaged)
    using look = inspectStore(temp.path, first)
    expect(look.damagedKeys('drafts')).toEqual([key])
    expect(look.damagedKeys('drafts', { unchecked: true })).toEqual(isBody ? [] : [key])
    expect(store.get('messages', 'm')).toBeDefined()
  },
)

test('tables of before have sums from the first start on', async () => {
  using temp = tempDir()
  await makeFirst(temp.path)
  const path = join(temp.path, 'store.db')
  {
    using db = new DatabaseSync(path)
    for (const name of ['drafts', 'messages'])
      db.exec(`CREATE TABLE before (key TEXT NOT NULL PRIMARY KEY, meta TEXT NOT NULL, body BLOB);
        INSERT INTO before SELECT key, meta, body FROM ${name}; DROP TABLE ${name}; ALTER TABLE before RENAME TO ${name}`)
  }
  {
    using look = inspectStore(temp.path, first)
    expect(look.scan('drafts', {})).toMatchObject([{ key: 'd', meta: { n: 1 } }])
    expect(look.damagedKeys('drafts')).toEqual([])
  }
  for (let round = 0; round < 2; round += 1) {
    await using store = await openStore({ dir: temp.path, schema: first })
    expect(store.scan('drafts')).toEqual([{ key: 'd', meta: { n: 1 }, body: Uint8Array.from(Buffer.from('body')) }])
    expect(store.get('messages', 'm')).toEqual({ key: 'm', meta: { n: 2 } })
  }
  {
    using db = new DatabaseSync(path)
    db.exec(`UPDATE messages SET meta = '{"n":3}'`)
  }
  await using store = await openStore({ dir: temp.path, schema: first })
  expect(() => store.get('messages', 'm')).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
})
