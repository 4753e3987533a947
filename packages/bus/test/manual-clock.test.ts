import { createManualClock, createSeededRandom } from '@greenroom/bus/testing'
import { createMemoryBus } from '@greenroom/bus'
import { describe, expect, test } from 'vitest'

describe('a manual clock', () => {
  test('fires timers in the order of their times, each with the clock at its time, ties in the order they were set', () => {
    const clock = createManualClock()
    const start = clock.now()
    const fired: [name: string, at: number][] = []
    const set = (name: string, ms: number) => clock.timer(ms, () => fired.push([name, clock.now() - start]))
    set('late', 20)
    set('early', 10)
    set('with late', 20)
    set('never', 5).cancel()
    clock.jump(19)
    expect(fired).toEqual([['early', 10]])
    clock.jump(1)
    expect(fired).toEqual([
      ['early', 10],
      ['late', 20],
      ['with late', 20],
    ])
    expect(clock.monotonic()).toBe(20)
  })

  test('names what is set, the next first', () => {
    const clock = createManualClock()
    clock.timer(300, () => undefined, { background: true })
    const timer = clock.timer(200, () => undefined)
    clock.jump(50)
    expect(clock.timers).toEqual([
      { inMs: 150, background: false },
      { inMs: 250, background: true },
    ])
    timer.cancel()
    clock.jump(250)
    expect(clock.timers).toEqual([])
  })

  test('advance lets what a timer started set its own timers before time goes on', async () => {
    const clock = createManualClock()
    const at: number[] = []
    const wait = (ms: number) => new Promise<void>((resolve) => void clock.timer(ms, resolve))
    const rounds = async (): Promise<void> => {
      for (let round = 0; round < 5; round += 1) {
        await wait(10)
        at.push(clock.monotonic())
      }
    }
    const over = rounds()
    await clock.advance(49)
    expect(at).toEqual([10, 20, 30, 40])
    await clock.advance(1)
    await over
    expect(at.at(-1)).toBe(50)
  })

  test('settle waits for chains longer than its quiet turns, on a bus that defers by it', async () => {
    const clock = createManualClock()
    await using bus = createMemoryBus({ clock, defer: clock.defer })
    let hops = 0
    const note = (to: string) => ({ to, id: `${(hops += 1)}`, kind: 'note', payload: new Uint8Array() })
    const open = (address: string, other: string) =>
      bus.attach({
        address,
        incarnation: address,
        lifetime: 'named',
        onMessage: (message) => {
          void message.ack()
          if (hops < 500) void peers[address]?.send(note(other))
        },
      })
    const peers = { a: await open('a', 'b'), b: await open('b', 'a') } as Record<
      string,
      Awaited<ReturnType<typeof open>>
    >
    await peers['a']?.send(note('b'))
    await clock.settle()
    expect(hops).toBe(500)
    expect(bus.stats().messages).toBe(0)
  })
})

test('the same seed draws the same, another one does not', () => {
  const draw = (seed: number) => {
    const random = createSeededRandom(seed)
    return [random.fraction(), random.id(), random.fraction()]
  }
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7)).not.toEqual(draw(8))
  expect(draw(7)[1]).toMatch(/^[A-Za-z0-9_-]{22}$/)
})
