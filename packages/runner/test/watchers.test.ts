/** Whoever watches approvals, and does not always keep up. */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { Watchers } from '../src/approval/watchers.ts'
import type { ApprovalRecord } from '../src/index.ts'
import { approval } from './fixtures/approval.ts'

/** What is asked by an id, in one of its states. */
const record = (id: string, afterSeq: number): ApprovalRecord => ({ ...approval, id, afterSeq })

/** All that it still hears. */
const rest = async (reader: AsyncIterable<ApprovalRecord>): Promise<readonly string[]> => {
  const told: string[] = []
  for await (const { id, afterSeq } of reader) told.push(`${id}${afterSeq}`)
  return told
}

test('who is behind hears of each its latest state, in order, and what changes as it comes', async () => {
  const watchers = new Watchers()
  const reader = watchers.watch(() => {
    watchers.tell(record('a', 2))
    return [record('z', 1)]
  })
  expect((await reader.next()).value).toMatchObject({ id: 'a', afterSeq: 2 })
  for (const [id, state] of [
    ['b', 1],
    ['c', 1],
    ['b', 2],
  ] as const)
    watchers.tell(record(id, state))
  watchers.end()
  expect(await rest(reader)).toEqual(['z1', 'c1', 'b2'])
})

test('who is told by a signal to leave is told nothing more, whatever waits', async () => {
  const watchers = new Watchers()
  const enough = new AbortController()
  const reader = watchers.watch(() => [record('a', 1), record('b', 1)], enough.signal)
  await reader.next()
  enough.abort()
  expect(await rest(reader)).toEqual([])
})

test('who left is told nothing more, and hears no signal', async () => {
  const watchers = new Watchers()
  const { signal } = new AbortController()
  const reader = watchers.watch(() => [record('a', 1)], signal)
  await reader.next()
  await reader.return(undefined)
  // Nobody who would be told reads it.
  let told = 0
  watchers.tell({
    ...record('b', 1),
    get id() {
      told += 1
      return 'b'
    },
  })
  expect([told, getEventListeners(signal, 'abort').length]).toEqual([0, 0])
})
