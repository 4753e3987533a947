import { expect, test } from 'vitest'
import { SteeringInbox } from '../src/steering-inbox.ts'

test('a text that comes in the same turn as the end is refused, and not taken by who waited for it', async () => {
  const recorded: string[] = []
  const said: string[] = []
  const inbox = new SteeringInbox({
    record: ({ text }) => Promise.resolve(void recorded.push(text)),
    isHeldUp: () => false,
  })
  inbox.open()
  const next = inbox[Symbol.asyncIterator]().next()
  inbox.push({ steerId: 's1', text: 'left', mode: 'now', settle: (status) => said.push(status) })
  inbox.close()
  expect(await next).toEqual({ done: true, value: undefined })
  expect([said, recorded]).toEqual([['not-live'], []])
})
