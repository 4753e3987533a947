/** The file with a token: a real file, and the test's own time. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { signToken } from '@greenroom/broker'
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { temporaryFolder } from './program.ts'
import { TokenFile } from '../src/token-file.ts'

const key = 'a key of this test, of thirty-two bytes at least'
const grants = { consume: ['inbox'] }

function signed(clock: ManualClock, subject: string, forMs: number): Promise<string> {
  return signToken(key, { subject, grants, expiresAt: clock.now() + forMs }, clock)
}

async function stage(first: (clock: ManualClock) => Promise<string>) {
  const folder = temporaryFolder()
  const path = join(folder.path, 'token')
  const clock = createManualClock()
  const put = (text: string): void => writeFileSync(path, `${text}\n`, { mode: 0o600 })
  put(await first(clock))
  const looks: [string, boolean][] = []
  const warnings: string[] = []
  const onLook = ({ token }: { readonly token: string }, isNewer: boolean): void => void looks.push([token, isNewer])
  const file = new TokenFile(path, { clock, onLook, warn: (text) => void warnings.push(text) })
  return {
    clock,
    path,
    put,
    file,
    looks,
    warnings,
    [Symbol.dispose]() {
      file[Symbol.dispose]()
      expect(clock.timers).toEqual([])
      folder[Symbol.dispose]()
    },
  }
}

test('a newer token is found at a third of the time that is left, and told of again and again', async () => {
  using it = await stage((clock) => signed(clock, 'one', 9_000))
  const first = it.file.token
  const newer = await signed(it.clock, 'two', 60_000)
  it.put(newer)
  expect([it.file.token, it.file.subject]).toEqual([first, 'one'])
  await it.clock.advance(3_000)
  expect([it.file.token, it.file.subject]).toEqual([newer, 'two'])
  await it.clock.advance(19_000)
  expect(it.looks).toEqual([
    [newer, true],
    [newer, false],
  ])
  expect(it.warnings).toEqual([])
})

test.each([
  ['nothing', () => undefined, ''],
  ['no file', (path: string) => rmSync(path), ': --token-file: cannot read .*: ENOENT'],
  ['a file that others may read', (path: string) => chmodSync(path, 0o644), ': --token-file: other users may reach .*'],
  ['no token', (path: string) => writeFileSync(path, ''), ': what is there is no signed token'],
])('%s in its place: the old one stays, once it is warned that it expires, and why', async (_, change, why) => {
  using it = await stage((clock) => signed(clock, 'one', 100_000))
  const { token } = it.file
  const end = new Date(Math.floor((it.clock.now() + 100_000) / 1_000) * 1_000).toISOString()
  change(it.path)
  await it.clock.advance(70_000)
  expect(it.warnings).toEqual([])
  await it.clock.advance(25_000)
  const words = (verb: string): RegExp =>
    new RegExp(`the token of --token-file ${it.path} ${verb} at ${end}, and no newer one is there${why}$`)
  expect(it.warnings).toEqual([expect.stringMatching(words('expires'))])
  await it.clock.advance(10_000)
  expect(it.warnings).toHaveLength(1)
  expect(it.file.token).toBe(token)
  const { code, message } = it.file.explain('TOKEN_EXPIRED', 'as the bus says it')
  expect([code, message]).toEqual(['UNAUTHORIZED', expect.stringMatching(words('expired'))])
  expect(message).toMatch(/^UNAUTHORIZED: /)
})

test('one that has expired, too, takes the place of none; one that comes late is taken', async () => {
  using it = await stage((clock) => signed(clock, 'one', 10_000))
  it.put(await signed(it.clock, 'other', 1_000))
  await it.clock.advance(9_000)
  expect(it.warnings).toEqual([expect.stringMatching(/: what is there has expired, too$/)])
  expect(it.file.subject).toBe('one')
  it.put(await signed(it.clock, 'late', 60_000))
  await it.clock.advance(2_000)
  expect(it.file.subject).toBe('late')
})

test('a plain one is read for each connection, and not waited for', async () => {
  using it = await stage(() => Promise.resolve('a-plain-token-of-length'))
  expect(it.clock.timers).toEqual([])
  const { source } = it.file
  it.put('another-plain-token-of-length')
  expect([it.file.token, typeof source === 'function' ? source() : source]).toEqual(
    Array(2).fill('another-plain-token-of-length'),
  )
  expect(it.file.subject).toBeUndefined()
})
