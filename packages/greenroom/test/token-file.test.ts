/** The file with a token: a real file, and the test's own time. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { signToken } from '@greenroom/broker'
import { createManualClock, type ManualClock } from '@greenroom/bus/testing'
import { GreenroomError } from '@greenroom/proto'
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
  const looks: string[] = []
  const warnings: string[] = []
  const onLook = ({ token }: { readonly token: string }): void => void looks.push(token)
  const refused = new Map<string, Error>()
  const shown: [string, string | undefined][] = []
  const take = (newer: string, present: string | undefined): Promise<void> => {
    shown.push([newer, present])
    const why = refused.get(newer)
    return why === undefined ? Promise.resolve() : Promise.reject(why)
  }
  const informed: string[] = []
  const into = (said: string[]) => (text: string) => void said.push(text)
  const file = new TokenFile(path, { clock, take, onLook, warn: into(warnings), inform: into(informed) })
  return {
    clock,
    path,
    put,
    file,
    looks,
    warnings,
    informed,
    refused,
    shown,
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
  const newer = await signed(it.clock, 'one', 60_000)
  it.put(newer)
  expect(it.file.token).toBe(first)
  await it.clock.advance(3_000)
  expect(it.file.token).toBe(newer)
  await it.clock.advance(19_000)
  expect(it.looks).toEqual([newer, newer])
  expect(it.shown).toEqual([[newer, first]])
  expect(it.warnings).toEqual([])
  expect(it.informed).toEqual([
    expect.stringMatching(`^the token of --token-file ${it.path} was read again: the newer one holds until \\d{4}-`),
  ])
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
  const first = it.file.token
  it.put(await signed(it.clock, 'one', 1_000))
  await it.clock.advance(9_000)
  expect(it.warnings).toEqual([expect.stringMatching(/: what is there has expired, too$/)])
  expect(it.file.token).toBe(first)
  await it.clock.advance(2_000)
  const late = await signed(it.clock, 'one', 60_000)
  it.put(late)
  await it.clock.advance(2_000)
  expect(it.file.token).toBe(late)
  // Nothing else holds any more.
  expect(it.shown).toEqual([[late, undefined]])
})

test('one that is refused takes the place of none: it is said once, tried again, and the right one is found in time', async () => {
  using it = await stage((clock) => signed(clock, 'one', 30_000))
  const first = it.file.token
  const wrong = await signed(it.clock, 'one', 3_600_000)
  it.refused.set(wrong, new GreenroomError('UNAUTHORIZED', 'as the bus says it'))
  it.put(wrong)
  await it.clock.advance(18_000)
  expect(it.file.token).toBe(first)
  expect(it.looks).toEqual([first, first])
  expect(it.shown).toEqual([
    [wrong, first],
    [wrong, first],
  ])
  expect(it.warnings).toEqual([
    `the token of --token-file ${it.path} is not replaced: what is there is refused: UNAUTHORIZED: as the bus says it`,
  ])
  const right = await signed(it.clock, 'one', 60_000)
  it.put(right)
  await it.clock.advance(4_000)
  expect(it.file.token).toBe(right)
  expect(it.looks.at(-1)).toBe(right)
  expect(it.warnings).toHaveLength(1)
})

test('each that comes to its end without a newer one is warned of, once', async () => {
  using it = await stage((clock) => signed(clock, 'one', 30_000))
  await it.clock.advance(25_000)
  expect(it.warnings).toHaveLength(1)
  const newer = await signed(it.clock, 'one', 60_000)
  it.put(newer)
  await it.clock.advance(4_000)
  expect([it.file.token, it.warnings.length]).toEqual([newer, 1])
  await it.clock.advance(55_000)
  expect(it.warnings).toHaveLength(2)
})

test('one that was refused is taken once it is good, as when its key comes later', async () => {
  using it = await stage((clock) => signed(clock, 'one', 30_000))
  const early = await signed(it.clock, 'one', 60_000)
  it.refused.set(early, new GreenroomError('UNAUTHORIZED'))
  it.put(early)
  await it.clock.advance(10_000)
  it.refused.clear()
  await it.clock.advance(10_000)
  expect(it.file.token).toBe(early)
})

test('one that could not be shown, for the bus is away, is warned of only when the present one is about to expire', async () => {
  using it = await stage((clock) => signed(clock, 'one', 30_000))
  const unseen = await signed(it.clock, 'one', 60_000)
  it.refused.set(unseen, new GreenroomError('CONNECT_FAILED', 'the bus is away'))
  it.put(unseen)
  await it.clock.advance(20_000)
  expect(it.warnings).toEqual([])
  await it.clock.advance(5_000)
  expect(it.warnings).toEqual([expect.stringMatching(/: what is there was not shown yet: the bus is away$/)])
  await it.clock.advance(6_000)
  // The present one holds no longer: there is nothing to lose.
  expect(it.shown.at(-1)).toEqual([unseen, undefined])
})

test("one of another subject is shown to nobody: its names are the first one's", async () => {
  using it = await stage((clock) => signed(clock, 'one', 30_000))
  const first = it.file.token
  it.put(await signed(it.clock, 'two', 60_000))
  await it.clock.advance(18_000)
  expect([it.file.token, it.file.subject]).toEqual([first, 'one'])
  expect(it.shown).toEqual([])
  expect(it.warnings).toEqual([
    `the token of --token-file ${it.path} is not replaced: what is there is of the subject "two", not of "one"`,
  ])
  await it.clock.advance(20_000)
  expect(it.file.explain('TOKEN_EXPIRED', '').message).toMatch(/: what is there is of the subject "two", not of "one"/)
})

test('one that is not answered when its reader ends is looked for no more', async () => {
  using it = await stage((clock) => signed(clock, 'one', 9_000))
  it.put(await signed(it.clock, 'one', 60_000))
  it.clock.jump(3_000)
  it.file[Symbol.dispose]()
  await it.clock.settle()
  expect(it.clock.timers).toEqual([])
  expect(it.looks).toEqual([])
})

test('a bus that turns it away is named with its code, the flag and the file', async () => {
  using it = await stage((clock) => signed(clock, 'one', 9_000))
  const { code, message } = it.file.explain('UNAUTHORIZED', 'The token is missing or wrong.')
  expect([code, message]).toEqual([
    'UNAUTHORIZED',
    `UNAUTHORIZED: the token of --token-file ${it.path}: The token is missing or wrong.`,
  ])
  expect(it.file.explain('CLOSED', 'the peer was closed').message).toBe('the peer was closed')
})

test('a plain one is read for each connection, and not waited for', async () => {
  using it = await stage(() => Promise.resolve('a-plain-token-of-length'))
  expect(it.clock.timers).toEqual([])
  const { source } = it.file
  it.put('another-plain-token-of-length')
  expect([it.file.token, typeof source === 'function' ? source() : source]).toEqual(
    Array(2).fill('another-plain-token-of-length'),
  )
  expect(it.informed).toEqual([`the token of --token-file ${it.path} was read again: there is a newer one`])
  expect(it.file.subject).toBeUndefined()
})
