import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Outbox } from '../src/index.ts'

/** A frame of this size that says in its first bytes which one it is. */
function frame(number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(size, 4))
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}
const numberOf = (bytes: Uint8Array): number => new DataView(bytes.buffer).getUint32(0)

/** A transport whose network takes as many bytes as it is told to, and ticks that end when they are told to. */
class Transport {
  readonly writes: Uint8Array[][] = []
  readonly #ticks: (() => void)[] = []
  #held: Uint8Array[] = []
  readonly outbox: Outbox

  constructor(highWater?: number) {
    this.outbox = new Outbox({
      write: (frames) => {
        this.writes.push([...frames])
        this.#held.push(...frames)
      },
      buffered: () => this.buffered,
      defer: (flush) => this.#ticks.push(flush),
      ...(highWater === undefined ? {} : { highWater }),
    })
  }

  get buffered(): number {
    return this.#held.reduce((sum, each) => sum + each.length, 0)
  }

  get held(): readonly Uint8Array[] {
    return this.#held
  }

  /** Ends the tick, and says how many flushes that took. */
  endTick(): number {
    const flushes = this.#ticks.splice(0)
    for (const flush of flushes) flush()
    return flushes.length
  }

  pass(frames: number): void {
    this.#held = this.#held.slice(frames)
    this.outbox.resume()
  }
}

const push = fc.record({
  do: fc.constant('push' as const),
  control: fc.boolean(),
  size: fc.integer({ min: 4, max: 120 }),
})
const tick = fc.record({ do: fc.constant('tick' as const) })
const pass = fc.record({ do: fc.constant('pass' as const), frames: fc.integer({ min: 1, max: 5 }) })
const steps = fc.array(fc.oneof({ weight: 4, arbitrary: push }, tick, pass), { maxLength: 80 })

describe('an outbox', () => {
  test('keeps O1 to O4, and loses nothing, whatever happens in which order', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 300 }), (all, highWater) => {
        const transport = new Transport(highWater)
        const pushed: { number: number; control: boolean }[] = []
        const isControl = (bytes: Uint8Array): boolean => pushed[numberOf(bytes)]?.control === true
        const endTick = (): void => {
          const before = transport.writes.length
          expect(transport.endTick(), 'O3: one flush a tick').toBeLessThanOrEqual(1)
          const written = transport.writes.slice(before)
          expect(written.length, 'O3: one write a tick').toBeLessThanOrEqual(1)
          const lanes = written.flat().map(isControl)
          expect(lanes, 'O2: control first').toEqual(lanes.toSorted((a, b) => Number(b) - Number(a)))
          const data = transport.held.filter((each) => !isControl(each))
          const ahead = data.slice(0, -1).reduce((sum, each) => sum + each.length, 0)
          expect(ahead, 'O2: data that control waits behind').toBeLessThan(highWater)
          if (transport.outbox.bytes > 0)
            expect(transport.buffered, 'O4: data waits for a reason').toBeGreaterThanOrEqual(highWater)
          expect(pushed.filter(({ control }) => control).length, 'O2: no control waits').toBe(
            transport.writes.flat().filter(isControl).length,
          )
        }
        for (const step of all) {
          if (step.do === 'push') {
            transport.outbox.push(frame(pushed.length, step.size), step.control)
            pushed.push({ number: pushed.length, control: step.control })
          } else if (step.do === 'pass') transport.pass(step.frames)
          else endTick()
        }
        for (let left = pushed.length + 1; left > 0 && transport.outbox.bytes + transport.buffered > 0; left -= 1) {
          endTick()
          transport.pass(transport.held.length)
        }
        expect(transport.outbox.bytes, 'everything leaves').toBe(0)
        const left = transport.writes.flat().map(numberOf)
        for (const lane of [true, false])
          expect(
            left.filter((number) => pushed[number]?.control === lane),
            'O1',
          ).toEqual(pushed.filter(({ control }) => control === lane).map(({ number }) => number))
      }),
    )
  })

  test('lets control overtake data that waits', () => {
    const transport = new Transport(10)
    for (const number of [0, 1, 2]) transport.outbox.push(frame(number, 8), false)
    transport.endTick()
    transport.outbox.push(frame(3, 8), true)
    transport.endTick()
    transport.pass(3)
    transport.endTick()
    expect(transport.writes.map((frames) => frames.map(numberOf))).toEqual([[0, 1], [3], [2]])
  })

  test('fills the transport up to the frame that reaches the high-water mark, 256 KiB by default', () => {
    const transport = new Transport()
    for (let number = 0; number < 40; number += 1) transport.outbox.push(frame(number, 10_000), false)
    expect(transport.outbox.bytes).toBe(400_000)
    transport.endTick()
    expect([transport.buffered, transport.outbox.bytes]).toEqual([270_000, 130_000])
    // The frame that reaches it may fit exactly.
    const exact = new Transport(16)
    for (const number of [0, 1, 2]) exact.outbox.push(frame(number, 8), false)
    exact.endTick()
    expect([exact.buffered, exact.outbox.bytes]).toEqual([16, 8])
  })

  test('sends a frame that is larger than the mark', () => {
    const transport = new Transport(10)
    for (const [number, size] of [4, 5000, 4].entries()) transport.outbox.push(frame(number, size), false)
    transport.endTick()
    expect(transport.writes.flat().map(numberOf)).toEqual([0, 1])
    transport.pass(2)
    transport.endTick()
    expect(transport.writes.flat().map(numberOf)).toEqual([0, 1, 2])
  })

  test('that was cleared writes nothing', () => {
    const transport = new Transport()
    transport.outbox.push(frame(0, 8), true)
    transport.outbox.push(frame(1, 8), false)
    transport.outbox.clear()
    transport.endTick()
    expect([transport.outbox.bytes, transport.writes]).toEqual([0, []])
  })
})
