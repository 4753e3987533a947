/**
 * A log that was cut or changed after its owner was killed: the store opens at an earlier whole commit, never half of one.
 *
 * Three logs: one from the first commit on, one that was begun anew after a checkpoint, and one that a checkpoint has just
 * copied into the database: cut there, it is refused.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backupFolder, inspectStore, isStoreError, openStore } from '../src/index.ts'
import { startChild } from './child.ts'
import { tempDir } from './temp-dir.ts'

const schema = { version: 1, collections: ['left', 'right'] }
const seed = 20_261_126
const cuts = 120

/** Numbers from 0 up to, not including, 1: mulberry32. */
function random(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The files of a writer that was killed after exactly so many commits. */
async function killedAfter(dir: string, commits: number): Promise<void> {
  await using child = startChild(
    'writer-program.ts',
    dir,
    join(dir, '..', 'receipts'),
    'own',
    'FULL',
    '1',
    `${commits}`,
  )
  for (let line = ''; line !== String(commits); line = await child.line());
  await child.kill()
}

describe.each([
  ['from the first commit on', 100],
  ['begun anew after a checkpoint', 400],
])('a log %s', (_, commits) => {
  const temp = tempDir()
  const origin = join(temp.path, 'data')
  let opened = 0
  beforeAll(() => killedAfter(origin, commits))
  afterAll(() => temp[Symbol.dispose]())

  /** Opens a copy with that log; how many commits are there, each of them whole, and none after one that is missing. */
  async function commitsWith(log: Buffer): Promise<number> {
    opened += 1
    const dir = join(temp.path, `copy-${opened}`)
    mkdirSync(dir)
    copyFileSync(join(origin, 'store.db'), join(dir, 'store.db'))
    writeFileSync(join(dir, 'store.db-wal'), log)
    await using store = await openStore({ dir, schema, thread: false })
    const left = store.scan('left')
    expect(store.scan('right')).toEqual(left)
    expect(left.map(({ meta }) => meta['n'])).toEqual(left.map((_record, index) => index + 1))
    for (const { meta, body } of left) expect(body).toEqual(new Uint8Array(1024).fill(Number(meta['n']) % 256))
    await store.commit([{ put: 'left', key: 'next', meta: {} }])
    await store.close()
    using inspection = inspectStore(dir, schema)
    expect(inspection.problems()).toEqual([])
    return left.length
  }

  test(`that is cut at ${cuts} places opens at an earlier whole commit (seed ${seed})`, async () => {
    const log = readFileSync(join(origin, 'store.db-wal'))
    expect(await commitsWith(log)).toBe(commits)
    const chance = random(seed)
    const places = Array.from({ length: cuts }, () => Math.floor(chance() * log.length)).toSorted((a, b) => a - b)
    const lengths: number[] = []
    for (const place of places) lengths.push(await commitsWith(log.subarray(0, place)))
    // The longer the log, the later the commit.
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b))
    expect(new Set(lengths).size).toBeGreaterThan(10)
  }, 120_000)

  test(`in which one of ${cuts} bytes is another opens at a whole commit (seed ${seed})`, async () => {
    const log = readFileSync(join(origin, 'store.db-wal'))
    const chance = random(seed + 1)
    for (let round = 0; round < cuts; round += 1) {
      const changed = Buffer.from(log)
      const place = Math.floor(chance() * log.length)
      changed.writeUInt8(changed.readUInt8(place) ^ (1 + Math.floor(chance() * 255)), place)
      expect(await commitsWith(changed)).toBeLessThanOrEqual(commits)
    }
  }, 120_000)
})

/** A process that copies the log into the database and is killed before it begins the log anew. */
const checkpoint = `const { DatabaseSync } = require('node:sqlite')
const db = new DatabaseSync(process.argv[1])
db.exec('PRAGMA wal_checkpoint(PASSIVE)')
process.kill(process.pid, 'SIGKILL')`

test(`that was just copied into the database, and is cut then, is refused: pages of two commits are never read as one (seed ${seed})`, async () => {
  using temp = tempDir()
  const origin = join(temp.path, 'data')
  const last = 60
  {
    await using child = startChild('replacing-program.ts', origin, `${last}`)
    expect(await child.line()).toBe(`${last}`)
    await child.kill()
  }
  const { signal } = spawnSync(process.execPath, ['-e', checkpoint, join(origin, 'store.db')])
  expect(signal).toBe('SIGKILL')
  const log = readFileSync(join(origin, 'store.db-wal'))
  expect(log.length).toBeGreaterThan(500_000)
  const chance = random(seed)
  // Without any whole commit in it the log counts for nothing: all of it is in the database.
  const places = [0, 31, 32, ...Array.from({ length: cuts }, () => Math.floor(chance() * log.length)), log.length]
  let refused = 0
  for (const [round, place] of places.entries()) {
    const dir = join(temp.path, `copy-${round}`)
    mkdirSync(dir)
    copyFileSync(join(origin, 'store.db'), join(dir, 'store.db'))
    writeFileSync(join(dir, 'store.db-wal'), log.subarray(0, place))
    try {
      inspectStore(dir, schema)[Symbol.dispose]()
      await using store = await openStore({ dir, schema, thread: false })
      expect([store.get('left', 'k')?.meta, store.get('right', 'k')?.meta]).toEqual([{ n: last }, { n: last }])
    } catch (error) {
      if (!isStoreError(error, 'STORE_DAMAGED')) throw error
      await expect(openStore({ dir, schema })).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
      const to = join(temp.path, 'backup.db')
      if (refused === 0) await expect(backupFolder({ dir, to })).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(cuts - 10)
}, 120_000)
