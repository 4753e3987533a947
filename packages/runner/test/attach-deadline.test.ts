/** Who waits for a broker is told what it last answered. */
import { createManualClock } from '@greenroom/bus/testing'
import { GreenroomError } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { attachWithin } from '../src/attach-deadline.ts'

async function afterSilence(last: GreenroomError | undefined): Promise<unknown> {
  const clock = createManualClock()
  const attaching = attachWithin(clock, 1_000, 'is it there?', (signal) => {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => reject(new GreenroomError('ABORTED', 'gave up', { cause: last })))
    return promise
  })
  const ended = attaching.catch((error: unknown) => error)
  await clock.advance(1_000)
  return ended
}

test.each(['UNAUTHORIZED', 'TOKEN_EXPIRED'] as const)('%s as the last answer is why', async (code) => {
  expect(await afterSilence(new GreenroomError(code, 'not this one'))).toMatchObject({ code, message: 'not this one' })
})

test('else nobody could be reached, and it is said what was tried', async () => {
  const message = 'refused; tried for 1000 ms: is it there?'
  expect(await afterSilence(new GreenroomError('CONNECT_FAILED', 'refused'))).toMatchObject({
    code: 'CONNECT_FAILED',
    message,
  })
  expect(await afterSilence(undefined)).toMatchObject({ code: 'CONNECT_FAILED' })
})
