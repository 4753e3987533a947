/** A parent's stream under readers that are slow, several, late, or leave. */
import type { ReadEvent } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { ParentStream, type ChildEvent, type ChildRun } from '../src/parent-stream.ts'
import type { Run } from '../src/run.ts'

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A child that tells so many events, and what its readers did. */
function child(id: string, count: number) {
  const told = { events: 0, left: 0 }
  const outcome = Promise.withResolvers<Awaited<Run['outcome']>>()
  const more = Promise.withResolvers<void>()
  async function* events(): AsyncGenerator<ReadEvent, undefined> {
    try {
      for (let seq = 1; seq <= count; seq += 1) {
        told.events += 1
        yield { type: 'data', name: 'n', data: seq, seq, epoch: 1 }
      }
      await more.promise
    } finally {
      told.left += 1
    }
  }
  const run: Run = {
    id,
    outcome: outcome.promise,
    ask: () => Promise.reject(new Error('it has ended')),
    send: () => Promise.resolve('not-live'),
    cancel: () => outcome.promise,
    workerLog: () => [],
    status: () => ({
      runId: id,
      role: 'r',
      session: id,
      phase: 'running',
      attempts: 1,
      events: 0,
      startedAt: 0,
      ms: 0,
    }),
    [Symbol.asyncIterator]: events,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const as: ChildRun = { runId: id, role: 'r', session: id }
  const end = (): void => {
    more.resolve()
    outcome.resolve({ status: 'completed', output: null, text: '' })
  }
  return { run, as, told, end }
}

const brief = (event: ChildEvent): string => `${event.runId} ${event.type}`

async function take(reader: AsyncIterator<ChildEvent>, count: number): Promise<string[]> {
  const taken: string[] = []
  for (let n = 0; n < count; n += 1) {
    const { done, value } = await reader.next()
    taken.push(done === true ? 'end' : brief(value))
  }
  return taken
}

test('a reader that does not read holds its children back, and finds no more heartbeats than there is room for', async () => {
  const stream = new ParentStream()
  const reader = stream[Symbol.asyncIterator]()
  const { run, as, told } = child('a', 1_000)
  stream.add(run, as)
  for (let n = 0; n < 100; n += 1) await turn()
  expect(told.events).toBeLessThanOrEqual(66)
  for (let n = 0; n < 1_000; n += 1) stream.beat()
  const seen = await take(reader, 64)
  expect(new Set(seen)).toEqual(new Set(['a child-event']))
  // Now there is room again, for both.
  await turn()
  expect(told.events).toBeGreaterThan(66)
})

test('heartbeats alone fill the room, and no more', async () => {
  const stream = new ParentStream()
  const reader = stream[Symbol.asyncIterator]()
  const silent = child('a', 0)
  stream.add(silent.run, silent.as)
  for (let n = 0; n < 1_000; n += 1) stream.beat()
  silent.end()
  stream.end()
  const seen = await take(reader, 66)
  expect(seen.filter((event) => event === 'a child-heartbeat')).toHaveLength(64)
  expect(seen.slice(64)).toEqual(['a child-completed', 'end'])
})

test('every reader sees every child from when it opened, and all of it before the end', async () => {
  const stream = new ParentStream()
  const early = stream[Symbol.asyncIterator]()
  const [a, b] = [child('a', 100), child('b', 2)]
  stream.add(a.run, a.as)
  stream.add(b.run, b.as)
  const late = stream[Symbol.asyncIterator]()
  b.end()
  await turn()
  stream.remove(b.run)
  const later = stream[Symbol.asyncIterator]()
  a.end()
  stream.end()
  const all = 'a child-event '.repeat(100)
  for (const [reader, ids] of [
    [early, 'ab'],
    [late, 'ab'],
    [later, 'a'],
  ] as const) {
    const seen = await take(reader, ids === 'ab' ? 105 : 102)
    expect(
      seen
        .filter((event) => event === 'a child-event')
        .join(' ')
        .concat(' '),
    ).toBe(all)
    expect(seen.filter((event) => event === 'a child-completed')).toHaveLength(1)
    expect(seen.filter((event) => event.startsWith('b'))).toHaveLength(ids === 'ab' ? 3 : 0)
    expect(seen.at(-1)).toBe('end')
  }
})

test('a reader that left lets its children go on, and keeps nothing of them', async () => {
  const stream = new ParentStream()
  const reader = stream[Symbol.asyncIterator]()
  const { run, as, told } = child('a', 1_000)
  stream.add(run, as)
  expect(await take(reader, 1)).toEqual(['a child-event'])
  await reader.return?.()
  for (let n = 0; n < 10; n += 1) await turn()
  expect(told.left).toBe(1)
  expect(await take(reader, 1)).toEqual(['end'])
})
