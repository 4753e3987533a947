/** Parts of long histories, until their run comes. */
import { textOf, type Message } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { HistoryShelf } from '../src/history-shelf.ts'

const ref = { runId: 'r', epoch: 1 }

/** A shelf on which nothing is too old, and what it is given and asked for. */
function shelved() {
  const shelf = new HistoryShelf(() => new Promise(() => undefined))
  const add = (part: number, content: string, { epoch = 1, from = 'runner' } = {}): void =>
    shelf.add(from, { runId: 'r', epoch, part, parts: 3, messages: [{ role: 'user', content }] satisfies Message[] })
  const take = (epoch: number, parts: number): readonly string[] | undefined =>
    shelf.take('runner', { ...ref, epoch }, parts)?.map(textOf)
  return { add, take }
}

test('a run has its whole history or none, and has it once', () => {
  const { add, take } = shelved()
  add(3, 'three')
  add(1, 'one')
  expect(take(1, 3)).toBeUndefined()
  add(2, 'two')
  expect(take(1, 3)).toEqual(['one', 'two', 'three'])
  expect(take(1, 3)).toBeUndefined()
})

test('an attempt has the history that was sent for it, and nothing of an earlier one’s, or of another runner’s', () => {
  const { add, take } = shelved()
  add(1, 'earlier')
  add(2, 'earlier')
  add(1, 'its own', { epoch: 2 })
  add(3, 'too late')
  add(2, 'of another', { epoch: 2, from: 'another' })
  for (const parts of [1, 2, 3]) expect(take(1, parts)).toBeUndefined()
  expect(take(2, 3)).toBeUndefined()
  expect(take(2, 1)).toEqual(['its own'])
})
