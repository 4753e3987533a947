import { describe, expect, test } from 'vitest'
import { createMemoryStore } from '@greenroom/store'
import { createMemorySessions, type SessionEntry } from '../src/index.ts'
import { sessionCollections, StoreSessions } from '../src/store-sessions.ts'

const entry = (runId: string, epoch: number, seq: number, content: string): SessionEntry => ({
  runId,
  epoch,
  seq,
  message: { role: 'user', content },
})

test('in a database go on after what an earlier life appended', async () => {
  const store = createMemoryStore({ schema: { version: 1, collections: sessionCollections } })
  const said = ['one', 'two', 'three', 'four']
  for (const [seq, content] of said.entries())
    for (const session of ['s1', 's2']) await new StoreSessions(store).append(session, [entry('r', 1, seq, content)])
  for (const session of ['s1', 's2'])
    expect((await new StoreSessions(store).messages(session)).map(({ content }) => content)).toEqual(said)
})

describe.each([
  ['in memory', createMemorySessions],
  [
    'in a database',
    () => new StoreSessions(createMemoryStore({ schema: { version: 1, collections: sessionCollections } })),
  ],
])('sessions %s', (_name, create) => {
  test('keep the order of appending, each message once', async () => {
    const sessions = create()
    expect(await sessions.get('s1')).toBeUndefined()
    expect(await sessions.messages('s1')).toEqual([])
    await sessions.append('s1', [entry('r9', 0, 0, 'a'), entry('r9', 1, 5, 'b')])
    await Promise.all([
      sessions.append('s1', [entry('r9', 1, 5, 'b'), entry('r1', 0, 0, 'c')]),
      sessions.append('s1', [entry('r1', 0, 0, 'c'), entry('r1', 2, 0, 'd'), entry('r1', 2, 1, 'e')]),
      sessions.append('s2', [entry('r1', 0, 0, 'other')]),
    ])
    await sessions.append('s1', [entry('r9', 1, 5, 'in place of b'), entry('r1', 0, 0, 'in place of c')])
    expect((await sessions.messages('s1')).map(({ content }) => content)).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect((await sessions.messages('s2')).map(({ content }) => content)).toEqual(['other'])
    expect(await sessions.get('s1')).toEqual({ id: 's1' })
  })

  test('keep a title and metadata, which bound a session’s runs, each in place of the old one', async () => {
    const sessions = create()
    await sessions.describe('s1', { title: 'Release 1.0', metadata: { 'watchdog.totalSecs': '60', owner: 'ann' } })
    expect(await sessions.get('s1')).toEqual({
      id: 's1',
      title: 'Release 1.0',
      metadata: { 'watchdog.totalSecs': '60', owner: 'ann' },
    })
    expect(await sessions.messages('s1')).toEqual([])
    await sessions.append('s1', [entry('r1', 0, 0, 'a')])
    await sessions.describe('s1', { metadata: {} })
    expect(await sessions.get('s1')).toEqual({ id: 's1', title: 'Release 1.0', metadata: {} })
    expect(await sessions.get('s')).toBeUndefined()
  })

  test.for([
    [{ titel: 'x' }, 'description: "titel" must be one of title, metadata'],
    [undefined, 'description must be an object'],
    [{ title: 5 }, 'title must be a text'],
    [{ title: null }, 'title must be a text'],
    [{ metadata: { owner: 5 } }, 'metadata must be texts by their names'],
    [{ metadata: ['x'] }, 'metadata must be texts by their names'],
    [{ metadata: { 'watchdog.totalSecs': 'junk' } }, /"watchdog.totalSecs" must be a whole positive number of seconds/],
    [{ metadata: { 'watchdog.idleSecs': '0' } }, /"watchdog.idleSecs" must be a whole positive number of seconds/],
    [
      { metadata: { 'watchdog.totalSec': '5' } },
      /"watchdog.totalSec" must be one of watchdog.totalSecs, watchdog.idle/,
    ],
  ] as const)('take no description like %j', async ([description, message]) => {
    const sessions = create()
    const described: unknown = Reflect.apply(Reflect.get(sessions, 'describe'), sessions, ['s', description])
    await expect(described).rejects.toMatchObject({ code: 'BAD_OPTIONS', message: expect.stringMatching(message) })
    expect(await sessions.get('s')).toBeUndefined()
  })

  test.for([
    ['a/b', [], 'session: "a/b" is no id'],
    ['s', undefined, 'entries must be a list'],
    ['s', [undefined], 'entries.0 must be an object'],
    ['s', [{}, { runId: 'a/b' }], 'entries.1.runId must be an id: 1 to 128 of A-Z a-z 0-9 . _ -, and no . first'],
    ['s', [{ epoch: undefined }], 'entries.0.epoch must be a whole number'],
    ['s', [{ epoch: 0.5 }], 'entries.0.epoch must be a whole number'],
    ['s', [{ seq: -1 }], 'entries.0.seq must be a whole number'],
    ['s', [{ seq: 1e16 }], 'entries.0.seq must be a whole number'],
    ['s', [{}, { message: { role: 'nobody', content: 'x' } }], /^entries\.1\.message: .*message\.role/],
    [
      's',
      [{ message: { role: 'user', content: [{ type: 'data', at: new Date(0) }] } }],
      /content\.0\.at: a Date is not JSON/,
    ],
  ] as const)('append nothing of %j %j', async ([id, given, message]) => {
    const sessions = create()
    const entries = given?.map((more) => more && { ...entry('r', 1, 1, 'fine'), ...more })
    const appended: unknown = Reflect.apply(Reflect.get(sessions, 'append'), sessions, [id, entries])
    await expect(appended).rejects.toMatchObject({ code: 'BAD_OPTIONS', message: expect.stringMatching(message) })
    expect(await sessions.get('s')).toBeUndefined()
    await sessions.append('s', [entry('r', 1, 1, 'fine')])
    expect(await sessions.messages('s')).toEqual([{ role: 'user', content: 'fine' }])
  })

  test('keep parts of content that they do not know', async () => {
    const sessions = create()
    const message = { role: 'assistant' as const, content: [{ type: 'image', data: 'abc', deep: { x: [1] } }] }
    await sessions.append('s', [{ runId: 'r', epoch: 1, seq: 1, message }])
    expect(await sessions.messages('s')).toEqual([message])
  })
})
