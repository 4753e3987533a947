import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock, systemRandom } from '../src/index.ts'

describe('the platform clock', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('fires a timer once, at its time', () => {
    const fire = vi.fn<() => void>()
    systemClock.timer(1000, fire)
    vi.advanceTimersByTime(999)
    expect(fire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(100_000)
    expect(fire).toHaveBeenCalledTimes(1)
  })

  test('fires a timer of 60 days after 60 days, not at once', () => {
    const fire = vi.fn<() => void>()
    const days = 86_400_000
    systemClock.timer(60 * days, fire)
    vi.advanceTimersByTime(60 * days - 1)
    expect(fire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(fire).toHaveBeenCalledTimes(1)
  })

  test('never fires a timer that was cancelled, and cancelling again or late does nothing', () => {
    const fire = vi.fn<() => void>()
    const timer = systemClock.timer(10, fire)
    timer.cancel()
    timer.cancel()
    vi.advanceTimersByTime(100)
    expect(fire).not.toHaveBeenCalled()
    const long = systemClock.timer(2 ** 32, fire)
    vi.advanceTimersByTime(2 ** 31)
    long.cancel()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('reads the wall and a clock that does not jump', () => {
    vi.setSystemTime(1_790_000_000_000)
    const before = systemClock.monotonic()
    vi.setSystemTime(0)
    expect([systemClock.now(), systemClock.monotonic() >= before]).toEqual([0, true])
  })
})

test('the platform fraction is within 0 and 1, without 1', () => {
  const drawn = Array.from({ length: 1000 }, () => systemRandom.fraction())
  expect(drawn.every((each) => each >= 0 && each < 1)).toBe(true)
  expect(new Set(drawn).size).toBeGreaterThan(900)
})
