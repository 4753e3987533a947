import { expect, test } from 'vitest'
import { Stopwatch, type Clock } from '../src/index.ts'

function stopwatch(stepMs: number) {
  let now = 5_000
  const clock: Clock = { now: () => now, monotonic: () => now, timer: () => ({ cancel: () => undefined }) }
  const watch = new Stopwatch(clock, stepMs)
  return (ms: number): number => {
    now += ms
    return watch.read()
  }
}

test('a stopwatch counts what passes between looks at it, also when they are late', () => {
  const after = stopwatch(1_000)
  expect([after(0), after(1_000), after(1_500), after(2_000)]).toEqual([0, 1_000, 2_500, 4_500])
})

test('the time in which the process did not run does not count, be it an hour or three seconds', () => {
  const after = stopwatch(1_000)
  expect([after(900), after(3_600_000), after(3_000), after(100)]).toEqual([900, 900, 900, 1_000])
})

test('a busy machine is no standstill: less than a second always counts', () => {
  const after = stopwatch(10)
  expect([after(10), after(900), after(1_001), after(5)]).toEqual([10, 910, 910, 915])
})
