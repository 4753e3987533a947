import { describe, expect, test } from 'vitest'
import {
  decodeFrame,
  decodeMessage,
  encodeFrame,
  encodeMessage,
  parseBrokerHeader,
  parseClientHeader,
  parseEvent,
} from '../src/index.ts'

/** The time of one call in µs: the best of several rounds, since the machine also does other things. */
function cost(calls: number, call: () => unknown): number {
  let best = Infinity
  for (let round = 0; round < 6; round += 1) {
    const began = performance.now()
    for (let left = calls; left > 0; left -= 1) call()
    best = Math.min(best, ((performance.now() - began) / calls) * 1000)
  }
  return best
}

const ids = { req: 12345, to: 'worker.AbCdEfGhIjKlMnOpQrStUv', id: 'steer-AbCdEfGhIjKlMnOpQrStUv' }
const send = { t: 'send', ...ids, kind: 'steer', control: true }
const payload = new Uint8Array(200)
const frame = encodeFrame(send, payload)
const delta = { type: 'text-delta', text: 'x'.repeat(150), message: 'm1' }
const message = {
  type: 'message',
  message: { id: 'm1', role: 'assistant', content: [{ type: 'text', text: 'x'.repeat(100) }] },
}
const events = { runId: 'run1', epoch: 1, first: 1, events: Array.from({ length: 64 }, () => delta) }
const batch = encodeMessage('events', events)
const deliver = {
  t: 'deliver',
  seq: 1,
  id: ids.id,
  kind: 'steer',
  from: 'runner.r1',
  fromIncarnation: 'i',
  attempt: 1,
  at: 1_790_000_000_000,
}

describe('what a frame costs', () => {
  const costs = {
    'encodeFrame, 200 B': cost(20_000, () => encodeFrame(send, payload)),
    'decodeFrame, 200 B': cost(20_000, () => decodeFrame(frame)),
    'parseClientHeader, send': cost(20_000, () => parseClientHeader(send)),
    'parseBrokerHeader, deliver': cost(20_000, () => parseBrokerHeader(deliver)),
    'parseEvent, text-delta': cost(20_000, () => parseEvent(delta)),
    'parseEvent, message': cost(20_000, () => parseEvent(message)),
    'encodeMessage, 64 events of 200 B': cost(500, () => encodeMessage('events', events)),
    'decodeMessage, 64 events of 200 B': cost(500, () => decodeMessage('events', batch)),
  }
  console.log(
    Object.entries(costs)
      .map(([name, micros]) => `${name}: ${micros.toFixed(2)} µs`)
      .join('\n'),
  )

  test('checking an event stays below 3 µs, three times its bound', () => {
    expect(costs['parseEvent, text-delta']).toBeLessThan(3)
    expect(costs['parseEvent, message']).toBeLessThan(3)
  })
})
