import { codeOf, GreenroomError, type Deliver, type Ok } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { Holding, type Verdict } from '../src/holding.ts'

const deliver = (seq: number, attempt: number): Deliver => ({
  t: 'deliver',
  seq,
  attempt,
  id: 'm1',
  kind: 'note',
  from: 'somebody',
  at: 0,
})

test('a message that comes again is the same one, unless it was given back or put back since', () => {
  const holding = new Holding({
    request: () => new Promise(() => undefined),
    defer: (flush) => flush(),
    timesOut: false,
  })
  const body = new Uint8Array()
  const first = holding.take(deliver(1, 2), body)
  expect(first).toMatchObject({ attempt: 2 })
  expect(holding.take(deliver(1, 2), body)).toBeUndefined()
  // The answer is lost on the way; meanwhile it was too often, and an operator has put it back.
  void first?.nack()
  expect(holding.take(deliver(1, 3), body)).toMatchObject({ attempt: 3 })
  expect(holding.take(deliver(9, 1), body)).toMatchObject({ seq: 9, attempt: 1 })
})

test('what is confirmed of an earlier delivery does not drop the present one', async () => {
  const confirmed = Promise.withResolvers<Ok>()
  const holding = new Holding({ request: () => confirmed.promise, defer: (flush) => flush(), timesOut: false })
  const body = new Uint8Array()
  const given = holding.take(deliver(1, 1), body)?.nack()
  expect(holding.take(deliver(1, 2), body)).toMatchObject({ attempt: 2 })
  confirmed.resolve({ t: 'ok', req: 1 })
  await given
  expect(holding.listed(1_000)).toEqual({ held: ['m1'] })
  expect(holding.take(deliver(1, 2), body)).toBeUndefined()
})

test('of ack and nack the first stands, and is said once', async () => {
  const said: Verdict[] = []
  const request = (verdict: Verdict): Promise<Ok> => Promise.resolve({ t: 'ok', req: said.push(verdict) })
  const holding = new Holding({ request, defer: queueMicrotask, timesOut: false })
  const acked = holding.take(deliver(1, 1), new Uint8Array())
  await Promise.all([acked?.ack(), acked?.nack(), acked?.ack()])
  const given = holding.take(deliver(2, 1), new Uint8Array())
  await Promise.all([given?.nack({ delayMs: 5 }), given?.ack(), given?.nack()])
  expect(said).toEqual([
    { t: 'ack', ids: ['m1'] },
    { t: 'nack', id: 'm1', attempt: 1, delayMs: 5 },
  ])
})

test.for([
  ['ack', 'confirmed'],
  ['ack', 'refused'],
  ['claim', 'confirmed'],
  ['claim', 'refused'],
  ['nack', 'confirmed'],
  ['nack', 'refused'],
] as const)('a message is held until its %s is %s', async ([verdict, how]) => {
  const answer = Promise.withResolvers<Ok>()
  const holding = new Holding({ request: () => answer.promise, defer: queueMicrotask, timesOut: false })
  const settled = holding.take(deliver(1, 1), new Uint8Array())?.[verdict]()
  await new Promise((resolve) => setImmediate(resolve))
  expect(holding.listed(1_000)).toEqual({ held: ['m1'] })
  if (how === 'confirmed') answer.resolve({ t: 'ok', req: 1 })
  else answer.reject(new GreenroomError('NOT_HOLDER'))
  expect(await settled?.catch(codeOf)).toBe(how === 'confirmed' ? undefined : 'NOT_HOLDER')
  expect(holding.listed(1_000)).toEqual({})
})
