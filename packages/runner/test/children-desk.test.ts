/** What an attempt asks of its runner about its children. */
import { settle } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { ChildrenDesk, type ChildrenDeskOptions } from '../src/children-desk.ts'
import type { RunChildren } from '../src/run-children.ts'

test('a request that comes twice is dealt with once, and none when its attempt has ended', async () => {
  let listed = 0
  const children = { list: () => Promise.resolve([`${(listed += 1)}`]) } as unknown as RunChildren
  const answers: unknown[] = []
  const answer = (result: unknown): void => void answers.push(result)
  const desk = new ChildrenDesk({ id: 'r', children, answer } as unknown as ChildrenDeskOptions)
  for (const requestId of ['one', 'one', 'two']) desk.take({ runId: 'r', epoch: 1, requestId, op: 'list', args: {} })
  await settle()
  desk.close()
  desk.take({ runId: 'r', epoch: 1, requestId: 'three', op: 'list', args: {} })
  await settle()
  expect(answers).toEqual([
    { requestId: 'one', listed: ['1'] },
    { requestId: 'two', listed: ['2'] },
  ])
})
