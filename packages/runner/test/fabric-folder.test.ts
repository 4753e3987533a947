import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  renameSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { FabricRecord } from '@greenroom/proto'
import { FabricFolder } from '../src/placement/index.ts'
import { temporaryFolder, until } from './fixtures/setup.ts'

const now = 1_700_000_000_000
const minute = 60_000
const record = (id: string, more: Partial<FabricRecord> = {}): FabricRecord => ({
  fabric: 1,
  id,
  role: 'crew',
  url: `ws+unix:///nowhere/${id}.sock`,
  token: 'a-token-of-enough-length',
  expiresAt: now + minute,
  ...more,
})
const idsIn = (folder: FabricFolder): string[] => folder.read().records.map(({ id }) => id)

/** Writes a file as a worker does, whatever is in it. */
function plant(folder: FabricFolder, file: string, content: unknown, mode = 0o600): string {
  const path = join(folder.path, file)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode })
  return path
}

test('what is published is found, in the order of ids, until it is withdrawn; both may be done again', () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(join(at.path, 'made', 'here'))
  expect(statSync(folder.path).mode & 0o777).toBe(0o700)
  const gpu = record('b', { labels: { gpu: 'big' }, host: 'here', pid: 7 })
  folder.publish(gpu)
  folder.publish(record('a'))
  expect(folder.read()).toEqual({ records: [record('a'), gpu], faults: [] })
  expect(statSync(join(folder.path, 'a.json')).mode & 0o777).toBe(0o600)
  folder.publish({ ...gpu, expiresAt: now + 2 * minute })
  expect(folder.read().records[1]?.expiresAt).toBe(now + 2 * minute)
  // What a power cut left of writing it.
  plant(folder, 'b.json.new', 'half of')
  folder.withdraw('b')
  folder.withdraw('b')
  expect(idsIn(folder)).toEqual(['a'])
  expect(readdirSync(folder.path)).toEqual(['a.json'])
})

test('a folder that others may reach, or that is none, is refused by name', () => {
  using at = temporaryFolder()
  for (const mode of [0o750, 0o701, 0o722]) {
    chmodSync(at.path, mode)
    expect(() => new FabricFolder(at.path)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTIONS', message: `other users may reach ${at.path}: chmod 700 it` }),
    )
  }
  chmodSync(at.path, 0o700)
  const file = join(at.path, 'file')
  writeFileSync(file, '', { mode: 0o600 })
  expect(() => new FabricFolder(file)).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
  expect(() => new FabricFolder(join(file, 'in'))).toThrow(expect.objectContaining({ code: 'BAD_OPTIONS' }))
  if (process.getuid?.() === 0) expect(() => new FabricFolder(foreign(at.path))).toThrow(/is another user's/)
})

/** A folder of user `nobody`. */
function foreign(path: string): string {
  const folder = join(path, 'foreign')
  mkdirSync(folder, { mode: 0o700 })
  execFileSync('chown', ['65534', folder])
  return folder
}

test.each([
  ['no JSON', 'x', /^it is not JSON$/],
  ['half a record', '{"fabric":1,"id":"bad","token":"secret-of-mine', /^it is not JSON$/],
  ['an empty file', '', /^it is not JSON$/],
  ['something else', { name: 'some-package', version: '1.0.0' }, /^the record is not valid at fabric/],
  ['no object', '"bad"', /^the record is not valid/],
  ['a field of another type', { ...record('bad'), role: 7 }, /^the record is not valid at role/],
  ['an endpoint that is none of ours', { ...record('bad'), url: 'wss://far.example' }, /not valid at url/],
  ['the record of another', record('other'), /^it is the record of "other"$/],
  ['an id that is a path', record('../bad'), /^the record is not valid at id/],
  ['a version of later', { ...record('bad'), fabric: 2, role: 7 }, /^record of version 2; this program knows 1$/],
  ['too much', { ...record('bad'), pad: 'x'.repeat(70_000) }, /^it has \d+ bytes, and a record 65536 at most$/],
])('what is no record is passed over, and said why: %s', (_, content, reason) => {
  using at = temporaryFolder()
  const folder = new FabricFolder(at.path)
  folder.publish(record('good'))
  plant(folder, 'bad.json', content)
  expect(folder.read()).toEqual({
    records: [record('good')],
    faults: [{ file: 'bad.json', reason: expect.stringMatching(reason) }],
  })
})

test('neither links, pipes and folders nor files that others may reach are read, and what has no name of a record is not looked at', () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(join(at.path, 'fabric'))
  const elsewhere = join(at.path, 'elsewhere')
  writeFileSync(elsewhere, JSON.stringify(record('link')), { mode: 0o600 })
  symlinkSync(elsewhere, join(folder.path, 'link.json'))
  execFileSync('sh', ['-c', 'mkfifo -m 600 "$0"', join(folder.path, 'pipe.json')])
  mkdirSync(join(folder.path, 'sub.json'), { mode: 0o700 })
  chmodSync(plant(folder, 'open.json', record('open')), 0o604)
  chmodSync(plant(folder, 'group.json', record('group')), 0o640)
  plant(folder, '.hidden.json', record('.hidden'))
  plant(folder, 'notes.txt', 'not a record')
  const { records, faults } = folder.read()
  expect(records).toEqual([])
  expect(faults).toEqual([
    { file: '.hidden.json', reason: 'its name is no id' },
    { file: 'group.json', reason: 'other users may reach it' },
    { file: 'link.json', reason: expect.stringMatching(/ELOOP/) },
    { file: 'open.json', reason: 'other users may reach it' },
    { file: 'pipe.json', reason: 'it is no plain file' },
    { file: 'sub.json', reason: 'it is no plain file' },
  ])
})

test('fields that this version does not know survive', () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(at.path)
  const newer = { ...record('a'), load: 0.5 }
  plant(folder, 'a.json', newer)
  expect(folder.read().records).toEqual([newer])
})

test('an id that is a path is refused before anything is touched', () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(join(at.path, 'fabric'))
  for (const id of ['../a', '/etc/a', 'a/b', '..', '.', '', 'a\0b', 'x'.repeat(129)]) {
    const refused = expect.objectContaining({ code: 'BAD_OPTIONS', message: expect.stringMatching(/is no id/) })
    expect(() => folder.publish(record(id))).toThrow(refused)
    expect(() => folder.withdraw(id)).toThrow(refused)
    expect(() => folder.socketOf(id)).toThrow(refused)
  }
  expect(() => folder.socketOf('x'.repeat(100))).toThrow(/is longer than the path of a socket may be/)
  expect(readdirSync(at.path)).toEqual(['fabric'])
  expect(readdirSync(folder.path)).toEqual([])
})

test('whoever reads while others write finds whole records only', async () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(at.path)
  const program = fileURLToPath(new URL('fixtures/publishing-program.ts', import.meta.url))
  const writers = ['a', 'b'].map((id) =>
    spawn(process.execPath, ['--conditions=@greenroom/source', program, at.path, id, '400'], { stdio: 'inherit' }),
  )
  const ends = Promise.all(writers.map((writer) => once(writer, 'exit')))
  let [looks, isOver] = [0, false]
  const seen = new Set<string>()
  void ends.then(() => (isOver = true))
  while (!isOver) {
    const { records, faults } = folder.read()
    expect(faults).toEqual([])
    for (const { id, labels } of records) {
      expect(labels?.['end']).toBe(labels?.['begin'])
      seen.add(`${id} ${labels?.['begin']}`)
    }
    looks += 1
    await new Promise(setImmediate)
  }
  expect((await ends).map(([code]) => code)).toEqual([0, 0])
  expect(idsIn(folder)).toEqual(['a', 'b'])
  expect(looks).toBeGreaterThan(10)
  expect(seen.size).toBeGreaterThan(4)
})

test('removed are records of which the lease has long been over, with their sockets, and nothing else', async () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(at.path)
  folder.publish(record('live'))
  folder.publish(record('late', { expiresAt: now - minute + 1 }))
  folder.publish(record('stale', { expiresAt: now - minute }))
  // Killed: its socket is still there.
  const listening = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', listening, folder.socketOf('stale')])
  expect(existsSync(folder.socketOf('stale'))).toBe(true)
  mkdirSync(folder.dataOf('stale'), { mode: 0o700 })
  // Its worker is there, and could not write.
  folder.publish(record('mute', { expiresAt: now - 10 * minute }))
  const server = createServer().listen(folder.socketOf('mute'))
  await once(server, 'listening')
  const old = new Date(now - 10 * minute)
  for (const [file, content] of [
    ['damaged.json', { fabric: 1, id: 'damaged' }],
    ['newer.json', { fabric: 9, id: 'newer' }],
    ['package.json', { name: 'package', version: '1' }],
    ['empty.json', ''],
    ['stale.txt', 'stale'],
  ] as const)
    utimesSync(plant(folder, file, content), old, old)
  plant(folder, 'newer-live.json', { fabric: 9, id: 'newer-live' })
  utimesSync(join(folder.path, 'newer-live.json'), new Date(now), new Date(now))
  expect(await folder.collect(now)).toEqual(['damaged', 'newer', 'stale'])
  expect(readdirSync(folder.path).toSorted()).toEqual(
    'empty.json late.json live.json mute.json mute.sock newer-live.json package.json stale.data stale.txt'.split(' '),
  )
  server.close()
})

test('whoever is there again while it is looked whether anybody is keeps its record and its socket', async () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(at.path)
  folder.publish(record('x', { expiresAt: now - minute }))
  const collecting = folder.collect(now)
  folder.publish(record('x'))
  const server = createServer().listen(folder.socketOf('x'))
  await once(server, 'listening')
  expect(await collecting).toEqual([])
  expect(readdirSync(folder.path).toSorted()).toEqual(['x.json', 'x.sock'])
  server.close()
})

test('whoever watches hears of a change, and of none when it has stopped', async () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(at.path)
  let heard = 0
  {
    using _watching = folder.watch(() => (heard += 1))
    folder.publish(record('a'))
    await until(() => heard > 0)
  }
  const before = heard
  folder.withdraw('a')
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(heard).toBe(before)
})

test('a folder that is taken away has nobody in it, and one that comes back has', () => {
  using at = temporaryFolder()
  const folder = new FabricFolder(join(at.path, 'fabric'))
  folder.publish(record('a'))
  renameSync(folder.path, `${folder.path}.away`)
  expect(folder.read()).toEqual({ records: [], faults: [{ file: '.', reason: expect.stringMatching(/ENOENT/) }] })
  renameSync(`${folder.path}.away`, folder.path)
  expect(idsIn(folder)).toEqual(['a'])
})
