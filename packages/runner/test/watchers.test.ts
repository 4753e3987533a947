/** Whoever watches approvals, behind or not. */
import { expect, test } from 'vitest'
import { Watchers } from '../src/approval/watchers.ts'
import { approval } from './fixtures/approval.ts'

const record = (id: string, afterSeq: number) => ({ ...approval, id, afterSeq })

test('who is behind hears of each its latest state, in the order of the changes, and of what changes as it begins', async () => {
  const watchers = new Watchers()
  const reader = watchers.watch(() => {
    watchers.tell(record('early', 1))
    return [record('a', 1)]
  })
  const heard = async () => {
    const { value } = await reader.next()
    return value && `${value.id} ${value.afterSeq}`
  }
  expect([await heard(), await heard()]).toEqual(['early 1', 'a 1'])
  for (const [id, afterSeq] of [
    ['b', 1],
    ['c', 1],
    ['b', 2],
  ] as const)
    watchers.tell(record(id, afterSeq))
  watchers.end()
  expect([await heard(), await heard(), await heard()]).toEqual(['c 1', 'b 2', undefined])
})
