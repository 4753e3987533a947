import fc from 'fast-check'
import { decodeMessage, type Heartbeat, type Outgoing } from '@greenroom/proto'
import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { largestPayload, LossyLink } from './lossy-link.ts'

const failure = (code: string): object => expect.objectContaining({ code })
const event = (n: number): { type: string; n: number } => ({ type: 'data', n })

/** What arrived, as the numbers that went in. */
function numbers(link: LossyLink): unknown[] {
  return link.delivered.map(({ event: { n } }) => n)
}

describe('a link without losses', () => {
  test('numbers events from 1, hands them over in order, in messages of one tick, and forgets what is acknowledged', async () => {
    const link = new LossyLink()
    for (let n = 1; n <= 300; n += 1) expect(await link.sender.emit(event(n))).toBe(n)
    link.tick()
    expect(link.toRunner.map(({ kind }) => kind)).toEqual(['events', 'events'])
    link.settle()
    expect(link.delivered).toEqual(
      Array.from({ length: 300 }, (_, index) => ({ seq: index + 1, event: event(index + 1) })),
    )
    expect(link.largest.events).toBe(256)
    expect([link.sender.lastSeq, link.sender.acked, link.receiver.received, link.receiver.acked]).toEqual([
      300, 300, 300, 300,
    ])
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 0, resumes: 0 })
    await link.sender.flushed()
  })

  test('a message holds 12 KiB, or one event that is larger', async () => {
    const link = new LossyLink()
    for (const size of [8_000, 5_000, 20_000, 10]) await link.sender.emit({ type: 'data', text: 'x'.repeat(size) })
    link.tick()
    expect(link.toRunner.map(({ payload }) => Math.round(payload.length / 1_000))).toEqual([8, 5, 20, 0])
  })

  test('what fills a message to its last byte goes in one, and with a byte more in two', async () => {
    const empty = JSON.stringify({ type: 'data', text: '' }).length
    for (const [more, messages] of [
      [0, 1],
      [1, 2],
    ] as const) {
      const link = new LossyLink()
      for (const size of [6 * 1024, 6 * 1024 + more])
        await link.sender.emit({ type: 'data', text: 'x'.repeat(size - empty) })
      link.tick()
      expect(link.toRunner).toHaveLength(messages)
    }
  })

  test('a message is its events as they are, whatever their characters', async () => {
    const link = new LossyLink()
    const texts = ['', 'é', '漢字', '🌱', '\ud800', '"\\\n', 'x'.repeat(10_000)]
    for (const text of texts) await link.sender.emit({ type: 'text-delta', text })
    link.settle()
    expect(link.delivered.map(({ event: { text } }) => text)).toEqual(texts)
    expect(link.sender.acked).toBe(texts.length)
  })

  test('128 KiB may be on their way', async () => {
    const link = new LossyLink()
    link.acks = false
    for (let n = 0; n < 12; n += 1) await link.sender.emit({ type: 'data', text: 'x'.repeat(10_240) })
    const waiting = link.sender.emit({ type: 'data', text: 'x'.repeat(10_240) })
    expect(link.sender.waiting).toBe(1)
    link.settle()
    link.receiver.ack(1)
    link.settle()
    expect(await waiting).toBe(13)
  })

  test('an acknowledgement leaves once a tick, with the last number', async () => {
    const link = new LossyLink()
    link.acks = false
    for (let n = 1; n <= 10; n += 1) await link.sender.emit(event(n))
    link.settle()
    for (let n = 1; n <= 7; n += 1) link.receiver.ack(n)
    link.receiver.ack(3)
    link.tick()
    expect(link.toWorker.length).toBe(1)
    link.settle()
    // Not with the last one that came.
    expect(link.sender.acked).toBe(7)
    link.receiver.ack(10)
    link.settle()
    expect(link.sender.acked).toBe(10)
  })

  test('acknowledgements beyond what was handed over or sent count only up to there', async () => {
    const link = new LossyLink()
    await link.sender.emit(event(1))
    link.sender.ack(9)
    expect(link.sender.acked).toBe(0)
    link.receiver.ack(9)
    expect(link.receiver.acked).toBe(0)
    link.settle()
    expect(link.sender.acked).toBe(1)
  })
})

describe('the window', () => {
  test('is full after so many events: emit waits, heartbeats go on, and an acknowledgement lets the next in, in order', async () => {
    const link = new LossyLink({ windowEvents: 4, loopLag: () => 7 })
    link.acks = false
    for (let n = 1; n <= 4; n += 1) await link.sender.emit(event(n))
    const waiting = [5, 6, 7].map((n) => link.sender.emit(event(n)))
    expect(link.sender.waiting).toBe(3)
    link.settle()
    link.clock.jump(2000)
    expect(link.toRunner.map(({ kind, payload }) => [kind, Buffer.from(payload).toString()])).toEqual([
      ['heartbeat', '{"runId":"r1","epoch":1,"lastSentSeq":4,"progressSeq":4,"loopLagMs":7,"waiting":3}'],
    ])
    link.receiver.ack(2)
    link.settle()
    expect(await Promise.all(waiting.slice(0, 2))).toEqual([5, 6])
    expect(link.sender.waiting).toBe(1)
    link.acks = true
    link.receiver.ack(6)
    link.settle()
    expect(await waiting[2]).toBe(7)
    expect(numbers(link)).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('is full after so many bytes, and lets one larger event through when it is empty', async () => {
    const link = new LossyLink({ windowBytes: 1000 })
    link.acks = false
    await link.sender.emit({ type: 'data', text: 'x'.repeat(5000) })
    const second = link.sender.emit(event(2))
    expect(link.sender.waiting).toBe(1)
    link.settle()
    link.receiver.ack(1)
    link.settle()
    expect(await second).toBe(2)
  })

  test('a small event does not overtake a larger one that waits for room', async () => {
    const link = new LossyLink({ windowBytes: 1000 })
    link.acks = false
    for (let n = 1; n <= 2; n += 1) await link.sender.emit({ type: 'data', text: 'x'.repeat(400) })
    const large = link.sender.emit({ type: 'data', text: 'x'.repeat(700) })
    const small = link.sender.emit(event(4))
    link.settle()
    // Now there is room for the small one alone.
    link.receiver.ack(1)
    link.settle()
    expect([link.sender.waiting, link.sender.lastSeq]).toEqual([2, 2])
    link.receiver.ack(2)
    link.settle()
    expect(await Promise.all([large, small])).toEqual([3, 4])
  })

  test('an event that no message can hold is refused before it gets a number', async () => {
    const link = new LossyLink()
    await expect(link.sender.emit({ type: 'data', text: 'x'.repeat(largestPayload) })).rejects.toThrow(
      failure('FRAME_TOO_LARGE'),
    )
    await expect(link.sender.emit({ type: 'data', n: 1n })).rejects.toThrow(failure('BAD_FRAME'))
    expect(await link.sender.emit(event(1))).toBe(1)
  })

  test('a waiting emit or flush stops with its signal, and the next in line takes the room', async () => {
    const link = new LossyLink({ windowEvents: 1 })
    link.acks = false
    await link.sender.emit(event(1))
    const stop = new AbortController()
    const stopped = link.sender.emit(event(2), { signal: stop.signal })
    const patient = link.sender.emit(event(3))
    const flushed = link.sender.flushed(stop.signal)
    stop.abort()
    await expect(stopped).rejects.toThrow(failure('ABORTED'))
    await expect(flushed).rejects.toThrow(failure('ABORTED'))
    await expect(link.sender.emit(event(4), { signal: stop.signal })).rejects.toThrow(failure('ABORTED'))
    link.settle()
    link.receiver.ack(1)
    link.settle()
    expect(await patient).toBe(2)
    // Also when it is only who stopped that had no room.
    const narrow = new LossyLink({ windowBytes: 1000 })
    await narrow.sender.emit({ type: 'data', text: 'x'.repeat(600) })
    const again = new AbortController()
    const large = narrow.sender.emit({ type: 'data', text: 'x'.repeat(600) }, { signal: again.signal })
    const small = narrow.sender.emit(event(3))
    expect(narrow.sender.waiting).toBe(2)
    again.abort()
    await expect(large).rejects.toThrow(failure('ABORTED'))
    expect(narrow.sender.lastSeq).toBe(2)
    expect(await small).toBe(2)
  })

  test.each(['is answered', 'ends with its link'])('what waits and %s leaves nothing at its signal', async (how) => {
    const link = new LossyLink({ windowEvents: 1 })
    link.acks = false
    await link.sender.emit(event(1))
    const { signal } = new AbortController()
    const waits = [link.sender.emit(event(2), { signal }), link.sender.flushed(signal)]
    link.settle()
    if (how === 'is answered') link.receiver.ack(1)
    else link.sender.close()
    link.settle()
    await Promise.allSettled(waits)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('close rejects what waits and leaves no timer', async () => {
    const link = new LossyLink({ windowEvents: 1 })
    link.acks = false
    await link.sender.emit(event(1))
    const waits = [link.sender.emit(event(2)), link.sender.flushed()]
    link.sender.close()
    for (const wait of waits) await expect(wait).rejects.toThrow(failure('CLOSED'))
    await expect(link.sender.emit(event(3))).rejects.toThrow(failure('CLOSED'))
    expect(link.clock.timers.length).toBe(0)
    link.receiver.close()
    link.settle()
    expect(link.delivered).toEqual([])
  })
})

describe('losses', () => {
  test('a gap is asked for once, however many messages show it, and again when it still shows after 200 ms', async () => {
    const link = new LossyLink()
    const emitInOwnMessage = async (n: number): Promise<void> => {
      await link.sender.emit(event(n))
      link.tick()
    }
    for (let n = 1; n <= 4; n += 1) await emitInOwnMessage(n)
    link.toRunner.shift()
    link.carry(3)
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 3, resumes: 1 })
    link.toRunner.splice(0)
    link.clock.jump(199)
    await emitInOwnMessage(5)
    link.carry(1)
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 4, resumes: 1 })
    link.clock.jump(1)
    await emitInOwnMessage(6)
    link.settle()
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 5, resumes: 2 })
    expect(numbers(link)).toEqual([1, 2, 3, 4, 5, 6])
    // Another gap is another question.
    for (let n = 7; n <= 8; n += 1) await emitInOwnMessage(n)
    link.toRunner.shift()
    link.settle()
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 6, resumes: 3 })
    expect(numbers(link)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  test('a last event that was lost is asked for at the next heartbeat', async () => {
    const link = new LossyLink()
    for (const n of [1, 2]) await link.sender.emit(event(n))
    link.settle()
    await link.sender.emit(event(3))
    link.tick()
    link.toRunner.splice(0)
    link.clock.jump(2_000)
    link.settle()
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 0, resumes: 1 })
    expect(numbers(link)).toEqual([1, 2, 3])
  })

  test('who is attached again asks at once for what is missing, also when it has just asked', async () => {
    const link = new LossyLink()
    for (const n of [1, 2]) await link.sender.emit(event(n))
    link.tick()
    link.toRunner.splice(0)
    link.receiver.receive({ ...link.ref, first: 2, events: [event(2)] })
    // With its connection its question is lost.
    expect(link.toWorker.splice(0)).toHaveLength(1)
    link.receiver.attached()
    link.settle()
    expect(numbers(link)).toEqual([1, 2])
  })

  test('a question for what is acknowledged, or was never sent, moves nothing', async () => {
    const link = new LossyLink()
    for (const n of [1, 2, 3]) await link.sender.emit(event(n))
    link.settle()
    link.sender.resume(1)
    link.settle()
    await link.sender.emit(event(4))
    link.sender.resume(9)
    link.settle()
    expect(numbers(link)).toEqual([1, 2, 3, 4])
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 0, resumes: 0 })
  })

  test('what comes again, in whole or in part, is handed over once', async () => {
    const link = new LossyLink()
    const emitInOneMessage = async (...ns: number[]): Promise<void> => {
      for (const n of ns) await link.sender.emit(event(n))
      link.tick()
    }
    await emitInOneMessage(1, 2)
    await emitInOneMessage(3)
    const again = [...link.toRunner]
    link.carry(2)
    link.toRunner.splice(0, Infinity, ...again)
    link.carry(2)
    await emitInOneMessage(4)
    link.settle()
    expect(numbers(link)).toEqual([1, 2, 3, 4])
    expect(link.receiver.counters).toEqual({ duplicates: 3, gaps: 0, resumes: 0 })
    // Half of it is known: the other half is new.
    const half = { ...link.ref, first: 4, events: [4, 5].map(event) }
    link.receiver.receive(half)
    expect(numbers(link)).toEqual([1, 2, 3, 4, 5])
  })

  test('a lost end is found by the next heartbeat, and a lost acknowledgement is repeated after it', async () => {
    const link = new LossyLink()
    await link.sender.emit(event(1))
    link.tick()
    link.toRunner.splice(0)
    link.clock.jump(2000)
    link.settle()
    expect(numbers(link)).toEqual([1])
    await link.sender.emit(event(2))
    link.tick()
    link.carry()
    link.toWorker.splice(0)
    expect(link.sender.acked).toBe(1)
    link.clock.jump(2000)
    link.settle()
    expect(link.sender.acked).toBe(2)
  })

  test('when the peer takes no more, sending goes on from there at the next heartbeat or attach', async () => {
    const link = new LossyLink()
    link.room = 1
    for (let n = 1; n <= 600; n += 1) await link.sender.emit(event(n))
    link.settle()
    expect(link.delivered.length).toBe(256)
    link.room = 2
    link.clock.jump(2000)
    link.settle()
    expect(link.delivered.length).toBe(600)
    link.workerUp = false
    await link.sender.emit(event(601))
    link.settle()
    link.workerUp = true
    link.room = 9
    link.sender.attached()
    link.settle()
    expect(link.delivered.length).toBe(601)
    expect(link.receiver.counters.duplicates).toBe(0)
  })

  test('a worker that is attached again says at once what was sent: nobody waits for its next heartbeat', async () => {
    const link = new LossyLink()
    await link.sender.emit(event(1))
    link.tick()
    link.toRunner.splice(0)
    link.sender.attached()
    link.settle()
    expect(numbers(link)).toEqual([1])
  })

  test('a runner that starts anew goes on after what it has stored', async () => {
    const link = new LossyLink()
    link.acks = false
    for (let n = 1; n <= 10; n += 1) await link.sender.emit(event(n))
    link.settle()
    link.receiver.close()
    link.delivered.splice(4)
    const receiver = link.open(4)
    receiver.attached()
    link.settle()
    expect(numbers(link)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    // What it has stored it acknowledges at once.
    expect(link.sender.acked).toBe(4)
    receiver.ack(10)
    link.settle()
    expect(link.sender.acked).toBe(10)
  })

  test.each([
    ['the last event', {}, 3],
    ['what its owner says', { progress: () => 7 }, 7],
  ])(
    'a heartbeat says what was sent, not what the peer has yet to take, and that progress is %s',
    async (_, options, progressSeq) => {
      let takesEvents = false
      const heartbeats: Heartbeat[] = []
      const publish = ({ kind, payload }: Pick<Outgoing, 'kind' | 'payload'>): boolean => {
        if (kind === 'events') return takesEvents
        heartbeats.push(decodeMessage('heartbeat', payload))
        return true
      }
      const link = new LossyLink({ peer: { publish }, ...options })
      for (let n = 1; n <= 3; n += 1) await link.sender.emit(event(n))
      link.tick()
      link.clock.jump(2_000)
      takesEvents = true
      link.clock.jump(2_000)
      const said = { ...link.ref, progressSeq, loopLagMs: 0, waiting: 0 }
      expect(heartbeats).toEqual([
        { ...said, lastSentSeq: 0 },
        { ...said, lastSentSeq: 3 },
      ])
    },
  )

  test('a heartbeat tells the memory of its process, where that is known', () => {
    let rss = 40
    const link = new LossyLink({ rssMb: () => (rss += 1) })
    link.clock.jump(4_000)
    expect(link.toRunner.map(({ payload }) => decodeMessage('heartbeat', payload).rssMb)).toEqual([41, 42])
  })

  test('frames of another run or epoch are ignored', () => {
    const link = new LossyLink()
    link.receiver.receive({ runId: 'r1', epoch: 2, first: 1, events: [event(1)] })
    link.receiver.receive({ runId: 'r2', epoch: 1, first: 1, events: [event(1)] })
    link.receiver.heartbeat({ runId: 'r1', epoch: 2, lastSentSeq: 9, progressSeq: 9, loopLagMs: 0 })
    expect(link.receiver.received).toBe(0)
    expect(link.receiver.counters).toEqual({ duplicates: 0, gaps: 0, resumes: 0 })
  })

  test('whatever is lost, whenever either side is cut: each event once, in order, in a bounded window', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('emit' as const), count: fc.integer({ min: 1, max: 20 }) }) },
      { weight: 6, arbitrary: fc.record({ do: fc.constant('carry' as const), count: fc.integer({ min: 1, max: 5 }) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('drop' as const), at: fc.nat(9), worker: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 2500 }) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('room' as const), room: fc.nat(3) }) },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant('lose' as const),
          side: fc.constantFrom('worker' as const, 'runner' as const),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant('attach' as const),
          side: fc.constantFrom('worker' as const, 'runner' as const),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('ack' as const), acks: fc.boolean() }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 120 }), async (steps) => {
        const link = new LossyLink({ windowEvents: 32, windowBytes: 1200 })
        let emitted = 0
        const emits: Promise<number>[] = []
        const emit = (): void => {
          emitted += 1
          emits.push(link.sender.emit(event(emitted)))
        }
        for (const one of steps) {
          if (one.do === 'emit') for (let n = 0; n < one.count; n += 1) emit()
          else if (one.do === 'carry') link.carry(one.count)
          else if (one.do === 'drop') (one.worker ? link.toWorker : link.toRunner).splice(one.at, 1)
          else if (one.do === 'time') link.clock.jump(one.ms)
          else if (one.do === 'room') link.room = one.room
          else if (one.do === 'lose') link.lose(one.side)
          else if (one.do === 'attach') link.attach(one.side)
          else link.acks = one.acks
          link.tick()
          expect(link.sender.lastSeq - link.sender.acked).toBeLessThanOrEqual(32)
          expect(link.receiver.received).toBeLessThanOrEqual(link.sender.lastSeq)
          expect(link.sender.acked).toBeLessThanOrEqual(link.receiver.received)
        }
        link.acks = true
        link.attach('worker')
        link.attach('runner')
        link.receiver.ack(link.receiver.received)
        // Each heartbeat mends what is broken; a window holds 32, so that so many rounds are far more than enough.
        for (let round = 0; round < emitted / 8 + 4; round += 1) {
          link.settle()
          link.clock.jump(2000)
        }
        link.settle()
        expect(numbers(link)).toEqual(Array.from({ length: emitted }, (_, index) => index + 1))
        expect(link.delivered.map(({ seq }) => seq)).toEqual(numbers(link))
        expect(await Promise.all(emits)).toEqual(numbers(link))
        expect(link.sender.acked).toBe(emitted)
        await link.sender.flushed()
        link.sender.close()
        expect(link.clock.timers.length).toBe(0)
      }),
      { numRuns: 500 },
    )
  })
})
