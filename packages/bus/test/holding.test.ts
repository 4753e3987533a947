import type { Deliver } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { Holding } from '../src/holding.ts'

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
