import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JsonValue, ReadEvent, RunEvent } from '@greenroom/proto'
import { systemClock } from '@greenroom/proto'
import { createMemoryStore, type CommitFault } from '@greenroom/store'
import { Journal, journalCollections } from '../src/journal.ts'
import { patient } from '../src/persistence.ts'
import { Feed } from '../src/reader.ts'
import { Recorder } from '../src/recorder.ts'

const entry = (data: JsonValue): RunEvent => ({ type: 'data', name: 'n', data })
const delta = (text: string): RunEvent => ({ type: 'text-delta', text })

/** A feed behind a recorder on a journal in memory, and what it released. */
function createFeed(faults: Parameters<typeof createMemoryStore>[0] = {}) {
  const store = createMemoryStore({ schema: { version: 1, collections: journalCollections }, ...faults })
  const clock = { ...systemClock, timer: (_ms: number, fire: () => void) => systemClock.timer(0, fire) }
  const journal = new Journal(patient(store, clock))
  const feed = new Feed('r1', journal)
  const released: number[] = []
  feed.begin(1, (upTo) => released.push(upTo))
  const cancel = new AbortController()
  const { signal } = cancel
  const recorder = new Recorder({ runId: 'r1', journal, feed, signal, onBroken: () => undefined })
  let next = 1
  const tell = async (...events: RunEvent[]): Promise<void> => {
    recorder.record(1, next, events)
    next += events.length
    await recorder.flushed()
  }
  return { feed, recorder, released, tell, store, cancel }
}

const brief = (event: ReadEvent): string =>
  event.type === 'skipped' ? `skipped ${event.first}-${event.last}` : `${event.seq}${event.type === 'data' ? 'e' : 'd'}`

async function take(reader: AsyncIterator<ReadEvent>, count: number): Promise<string[]> {
  const taken: string[] = []
  for (let n = 0; n < count; n += 1) {
    const { done, value } = await reader.next()
    taken.push(done === true ? 'end' : brief(value))
  }
  return taken
}

test('without a reader everything is released once it is stored', async () => {
  const { released, tell } = createFeed()
  await tell(delta('a'), entry(2), delta('b'))
  expect(released.at(-1)).toBe(3)
})

test('an open reader holds back the deltas it has not taken, never entries', async () => {
  const { feed, released, tell } = createFeed()
  const reader = feed.read()
  await tell(entry(1), entry(2), delta('c'), entry(4))
  expect(released.at(-1)).toBe(2)
  expect(await take(reader, 2)).toEqual(['1e', '2e'])
  expect(released.at(-1)).toBe(2)
  expect(await take(reader, 1)).toEqual(['3d'])
  expect(released.at(-1)).toBe(4)
  expect(await take(reader, 1)).toEqual(['4e'])
})

test('a late reader finds entries in the journal and a marker for each gap', async () => {
  const { feed, tell } = createFeed()
  await tell(delta('a'), delta('b'), entry(3), entry(4), delta('c'), entry(6), delta('d'))
  const reader = feed.read()
  await tell(delta('live'))
  expect(await take(reader, 6)).toEqual(['skipped 1-2', '3e', '4e', 'skipped 5-5', '6e', 'skipped 7-7'])
  expect(await take(reader, 1)).toEqual(['8d'])
  feed.end()
  expect(await take(reader, 2)).toEqual(['end', 'end'])
})

test('a late reader finds also what an attempt before said, of which nothing is at hand any more', async () => {
  const { feed, recorder, tell } = createFeed()
  await tell(entry(1), delta('x'), entry(3), delta('y'))
  feed.begin(2, () => undefined)
  recorder.record(2, 1, [entry(1)])
  await recorder.flushed()
  feed.end()
  const events: string[] = []
  for await (const event of feed.read()) events.push(`${event.epoch}: ${brief(event)}`)
  expect(events).toEqual(['1: 1e', '1: skipped 2-2', '1: 3e', '1: skipped 4-4', '2: 1e'])
})

test('a delta that comes while nobody reads is let go of at once, not when the entry before it is stored', async () => {
  const { feed, released, tell } = createFeed({ faults: () => ({ turns: 3 }), defer: setImmediate })
  const told = tell(entry(1), delta('b'), delta('c'), entry(4))
  const reader = feed.read()
  await told
  await tell(delta('e'))
  expect(released.at(-1)).toBe(4)
  expect(await take(reader, 4)).toEqual(['1e', 'skipped 2-3', '4e', '5d'])
  expect(released.at(-1)).toBe(5)
})

test('reading a long journal lets the program around it go on', async () => {
  const { feed, tell } = createFeed()
  await tell(...Array.from({ length: 1_000 }, (_, n) => entry(n)))
  feed.end()
  let turns = 0
  let isReading = true
  const count = (): void => {
    turns += 1
    if (isReading) setImmediate(count)
  }
  setImmediate(count)
  let events = 0
  for await (const _event of feed.read()) events += 1
  isReading = false
  expect(events).toBe(1_000)
  expect(turns).toBeGreaterThan(10)
})

test('a reader that starts after the end reads what is kept, then ends', async () => {
  const { feed, tell } = createFeed()
  await tell(entry(1), delta('x'), delta('y'))
  feed.end()
  expect(await take(feed.read(), 3)).toEqual(['1e', 'skipped 2-3', 'end'])
})

test('the slower of two readers decides, and leaving lets go', async () => {
  const { feed, released, tell } = createFeed()
  const [fast, slow] = [feed.read(), feed.read()]
  await tell(delta('a'), delta('b'), delta('c'))
  expect(await take(fast, 3)).toEqual(['1d', '2d', '3d'])
  expect(released).toEqual([])
  expect(await take(slow, 1)).toEqual(['1d'])
  expect(released.at(-1)).toBe(1)
  await slow.return?.()
  expect(released.at(-1)).toBe(3)
  expect(await take(slow, 1)).toEqual(['end'])
  const waiting = take(fast, 1)
  await tell(delta('d'))
  expect(await waiting).toEqual(['4d'])
})

test('what a stopped reader has not taken is read back from the journal, in full', async () => {
  const { feed, released, tell } = createFeed()
  const reader = feed.read()
  const text = 'x'.repeat(10_000)
  for (let n = 0; n < 100; n += 1)
    await tell(...Array.from({ length: 10 }, (): RunEvent => ({ type: 'data', name: 'n', data: text })))
  expect(released.at(-1)).toBe(1_000)
  const expected = Array.from({ length: 1_000 }, (_, n) => `${n + 1}e`)
  expect(await take(reader, 1_000)).toEqual(expected)
})

test('once the executor is done nothing is held back, yet a slow reader still gets what is at hand', async () => {
  const { feed, released, tell } = createFeed()
  const reader = feed.read()
  await tell(delta('a'), delta('b'))
  feed.hurry('run')
  expect(released.at(-1)).toBe(2)
  await tell(delta('c'))
  expect(released.at(-1)).toBe(3)
  feed.end()
  expect(await take(reader, 4)).toEqual(['1d', '2d', '3d', 'end'])
})

test('the end of one attempt is no reason to hurry the next', async () => {
  const { feed, released, recorder } = createFeed()
  feed.read()
  feed.hurry('attempt')
  const released2: number[] = []
  feed.begin(2, (upTo) => released2.push(upTo))
  recorder.record(2, 1, [delta('a')])
  await recorder.flushed()
  expect([released, released2]).toEqual([[], []])
  feed.hurry('run')
  expect(released2).toEqual([1])
  feed.begin(3, (upTo) => released2.push(upTo))
  recorder.record(3, 1, [delta('a'), delta('b')])
  expect(released2).toEqual([1, 2])
})

test('a second attempt follows the first', async () => {
  const { feed, recorder, tell } = createFeed()
  const early = feed.read()
  await tell(entry(1), delta('x'))
  feed.begin(2, () => undefined)
  recorder.record(2, 1, [entry(1), delta('y')])
  await recorder.flushed()
  feed.end()
  const events: ReadEvent[] = []
  for await (const event of early) events.push(event)
  expect(events.map((event) => `${event.epoch}:${brief(event)}`)).toEqual(['1:1e', '1:skipped 2-2', '2:1e', '2:2d'])
})

test('nothing is released or shown before its commit, which is repeated until it holds', async () => {
  const fate: ('fails' | 'full' | 'stored')[] = ['fails', 'full', 'stored']
  const { feed, released, tell, store } = createFeed({
    faults: (commit) => ({ outcome: fate[commit - 1] ?? 'stored' }),
  })
  const reader = feed.read()
  const told = tell(entry(1), delta('b'))
  expect(released).toEqual([])
  await told
  expect(store.stats()).toMatchObject({ commits: 1, failedCommits: 2 })
  expect(await take(reader, 2)).toEqual(['1e', '2d'])
  expect(released.at(-1)).toBe(2)
})

test('a run that is cancelled does not wait for a disk that stays full', async () => {
  const { recorder, cancel, tell } = createFeed({ faults: () => ({ outcome: 'full' }) })
  const told = tell(entry(1))
  cancel.abort()
  await expect(told).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  await expect(recorder.flushed()).rejects.toMatchObject({ code: 'STORAGE_FULL' })
})

test('whatever the order of events and reading, every reader sees every entry once, and each gap where it was', async () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant('tell'),
      entries: fc.array(fc.boolean(), { minLength: 1, maxLength: 200, size: 'max' }),
      bytes: fc.constantFrom(0, 0, 20_000),
      stored: fc.boolean(),
    }),
    fc.record({ do: fc.constant('open') }),
    fc.record({ do: fc.constant('take'), reader: fc.nat(3), count: fc.integer({ min: 1, max: 150 }) }),
    fc.record({ do: fc.constant('leave'), reader: fc.nat(3) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30, size: 'max' }), async (steps) => {
      const slow = (commit: number): CommitFault => ({
        turns: commit % 7,
        outcome: commit % 5 === 0 ? 'lies' : 'stored',
      })
      const { feed, released, tell } = createFeed({ faults: slow, defer: setImmediate })
      let told: Promise<void> | undefined
      const kinds: boolean[] = []
      const readers: {
        readonly iterator: AsyncIterator<ReadEvent>
        readonly seen: ReadEvent[]
        /** How many events there were when it was opened. */
        readonly from: number
        open: boolean
      }[] = []
      const position = (seen: readonly ReadEvent[]): number => {
        const last = seen.at(-1)
        return last === undefined ? 0 : last.type === 'skipped' ? last.last : last.seq
      }
      for (const now of steps) {
        if ('entries' in now) {
          kinds.push(...now.entries)
          const text = 'x'.repeat(now.bytes)
          told = tell(...now.entries.map((isEntry) => (isEntry ? entry(text) : delta(text))))
          if (now.stored) await told
        } else if (now.do === 'open') readers.push({ iterator: feed.read(), seen: [], from: kinds.length, open: true })
        else if ('reader' in now) {
          const reader = readers[now.reader]
          if (reader === undefined) continue
          if ('count' in now) {
            for (let n = 0; n < now.count && reader.open && position(reader.seen) < kinds.length; n += 1) {
              const { value } = await reader.iterator.next()
              reader.seen.push(value)
              if (value.type === 'skipped') expect(value.last).toBeLessThanOrEqual(reader.from)
            }
          } else {
            reader.open = false
            await reader.iterator.return?.()
          }
        }
      }
      // F1: what is released holds no delta that came after a reader was opened and that it has not taken.
      for (const { seen, from, open } of readers) {
        const untaken = kinds.findIndex((isEntry, at) => !isEntry && at >= Math.max(position(seen), from)) + 1
        if (open && untaken > 0) expect(released.at(-1) ?? 0).toBeLessThan(untaken)
      }
      await told
      feed.end()
      for (const { iterator, seen, open } of readers) {
        for (let next = await iterator.next(); open && next.done !== true; next = await iterator.next())
          seen.push(next.value)
        if (!open) continue
        let at = 0
        for (const event of seen) {
          const [first, last] = event.type === 'skipped' ? [event.first, event.last] : [event.seq, event.seq]
          expect(first).toBe(at + 1)
          for (let seq = first; seq <= last; seq += 1) expect(kinds[seq - 1]).toBe(event.type === 'data')
          at = last
        }
        expect(at).toBe(kinds.length)
      }
    }),
    { numRuns: 200 },
  )
})
