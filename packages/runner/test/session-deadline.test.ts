import { createManualClock } from '@greenroom/bus/testing'
import { codeOf } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { withDeadline } from '../src/session-deadline.ts'
import { createMemorySessions } from '../src/session-store.ts'

test('a session store that does not answer is given half a minute for each call', async () => {
  const clock = createManualClock()
  const hangs = (): Promise<never> => new Promise(() => undefined)
  const sessions = withDeadline({ get: hangs, describe: hangs, append: hangs, messages: hangs }, clock)
  const calls = [sessions.get('s'), sessions.describe('s', {}), sessions.append('s', []), sessions.messages('s')].map(
    (call) => call.catch(codeOf),
  )
  let ended = 0
  for (const call of calls) void call.then(() => (ended += 1))
  await clock.advance(29_999)
  expect(ended).toBe(0)
  await clock.advance(1)
  expect(await Promise.all(calls)).toEqual(['TIMEOUT', 'TIMEOUT', 'TIMEOUT', 'TIMEOUT'])
  expect(clock.timers).toEqual([])
})

test('one that answers is the store itself, and leaves no timer', async () => {
  const clock = createManualClock()
  const sessions = withDeadline(createMemorySessions(), clock)
  await sessions.append('s', [{ runId: 'r', epoch: 1, seq: 1, message: { role: 'user', content: 'hello' } }])
  expect(await sessions.messages('s')).toMatchObject([{ content: 'hello' }])
  expect(await sessions.get('s')).toMatchObject({ id: 's' })
  expect(clock.timers).toEqual([])
})
