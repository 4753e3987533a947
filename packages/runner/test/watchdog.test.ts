import { expect, test } from 'vitest'
import type { Limits, RunEvent } from '@greenroom/proto'
import { Watchdog } from '../src/drive/watchdog.ts'
import { createManualClock } from '@greenroom/bus/testing'

const status: RunEvent = { type: 'status', status: 'working' }
const call = (id: string): RunEvent => ({ type: 'tool-call', id, tool: 't', input: null })
const result = (id: string): RunEvent => ({ type: 'tool-result', id, output: null })

/** A watchdog whose inbox is drained at once, or when the test says so. */
function open(limits: Limits, { acceptMs = 60_000, drains = true } = {}) {
  const clock = createManualClock()
  const trips: string[] = []
  const inbox: (() => void)[] = []
  const watchdog = new Watchdog({
    clock,
    acceptMs,
    limits,
    whenDrained: (task) => void (drains ? task() : inbox.push(task)),
    onTrip: (which) => trips.push(`${which} at ${clock.monotonic()}`),
  })
  return { clock, watchdog, trips, inbox, drain: () => inbox.splice(0).forEach((task) => task()) }
}

function accepted(limits: Limits, options: { drains?: boolean } = {}) {
  const it = open(limits, options)
  it.watchdog.sent()
  it.watchdog.accepted()
  return it
}

test('accept: trips when the worker is silent, and not before the assignment is stored', () => {
  const it = open({}, { acceptMs: 10_000 })
  it.clock.jump(100_000)
  it.watchdog.sent()
  it.clock.jump(9_999)
  expect(it.trips).toEqual([])
  it.clock.jump(1)
  expect(it.trips).toEqual(['accept at 110000'])
})

test('accept: is disarmed for ever by acceptance, also by one that came before the receipt', () => {
  const it = open({}, { acceptMs: 10_000 })
  it.watchdog.accepted()
  it.watchdog.sent()
  it.clock.jump(1_000_000)
  expect(it.trips).toEqual([])
})

test('first event: trips when nothing has come; any event disarms it for ever', () => {
  const silent = accepted({ firstEventMs: 60_000 })
  silent.clock.jump(59_999)
  expect(silent.trips).toEqual([])
  silent.clock.jump(1)
  expect(silent.trips).toEqual(['first-event at 60000'])
  const spoke = accepted({ firstEventMs: 60_000 })
  spoke.clock.jump(59_999)
  spoke.watchdog.events([{ type: 'progress', done: 1 }])
  spoke.clock.jump(1_000_000)
  expect(spoke.trips).toEqual([])
  const spokeAtOnce = accepted({ firstEventMs: 60_000 })
  spokeAtOnce.watchdog.events([status])
  spokeAtOnce.clock.jump(1_000_000)
  expect(spokeAtOnce.trips).toEqual([])
})

test('no progress: counts from the last event, or from acceptance', () => {
  const it = accepted({ noProgressMs: 900_000 })
  it.clock.jump(899_999)
  it.watchdog.events([status])
  it.clock.jump(899_999)
  expect(it.trips).toEqual([])
  it.clock.jump(1)
  expect(it.trips).toEqual(['no-progress at 1799999'])
  const never = accepted({ noProgressMs: 900_000 })
  never.clock.jump(900_000)
  expect(never.trips).toEqual(['no-progress at 900000'])
})

test('tool: counts each call for itself, whatever else comes; its result disarms it', () => {
  const it = accepted({ toolMs: 20_000 })
  it.watchdog.events([call('a')])
  it.clock.jump(10_000)
  it.watchdog.events([call('b'), result('a')])
  it.clock.jump(15_000)
  it.watchdog.events([{ type: 'tool-output-delta', id: 'b', text: 'still here' }])
  expect(it.trips).toEqual([])
  it.clock.jump(5_000)
  expect(it.trips).toEqual(['tool at 30000'])
  const several = accepted({ toolMs: 20_000 })
  several.watchdog.events([call('a')])
  several.clock.jump(15_000)
  several.watchdog.events([call('b')])
  several.clock.jump(5_000)
  expect(several.trips).toEqual(['tool at 20000'])
  const done = accepted({ toolMs: 20_000 })
  done.watchdog.events([call('a'), result('a')])
  done.clock.jump(1_000_000)
  expect(done.trips).toEqual([])
})

test('total: counts whatever comes, and decides when others have passed too', () => {
  const it = accepted({ totalMs: 3_600_000, noProgressMs: 900_000 })
  for (let n = 0; n < 3_600; n += 1) {
    expect(it.trips).toEqual([])
    it.watchdog.events([status])
    it.clock.jump(1_000)
  }
  expect(it.trips).toEqual(['total at 3600000'])
  expect(it.watchdog.executedMs).toBe(3_600_000)
  const both = accepted({ totalMs: 60_000, noProgressMs: 60_000, firstEventMs: 60_000 })
  both.clock.jump(60_000)
  expect(both.trips).toEqual(['total at 60000'])
})

test('nothing that passed before acceptance counts', () => {
  for (const limits of [{ firstEventMs: 60_000, toolMs: 50_000 }, { noProgressMs: 60_000 }, { totalMs: 60_000 }]) {
    const it = open(limits)
    it.watchdog.sent()
    it.clock.jump(40_000)
    it.watchdog.events([status, call('a')])
    it.watchdog.accepted()
    expect(it.watchdog.executedMs).toBe(0)
    it.clock.jump(59_999)
    expect(it.trips).toEqual([])
    // What says so once more begins nothing anew.
    it.watchdog.accepted()
    it.clock.jump(1)
    expect(it.trips).toEqual([expect.stringMatching(/ at 100000$/)])
  }
})

test('zero is zero, absent is none', () => {
  expect(accepted({ firstEventMs: 0 }).trips).toEqual(['first-event at 0'])
  expect(accepted({ noProgressMs: 0 }).trips).toEqual(['no-progress at 0'])
  expect(accepted({ totalMs: 0 }).trips).toEqual(['total at 0'])
  const tool = accepted({ toolMs: 0 })
  tool.watchdog.events([call('a')])
  tool.clock.jump(10)
  expect(tool.trips).toEqual(['tool at 10'])
  const none = accepted({})
  none.clock.jump(100_000_000)
  expect(none.trips).toEqual([])
})

test('one trips, once, and nothing after stop', () => {
  const it = accepted({ firstEventMs: 1_000, noProgressMs: 2_000, totalMs: 3_000 })
  it.clock.jump(100_000)
  expect(it.trips).toHaveLength(1)
  expect(it.clock.timers).toHaveLength(0)
  // Nor is one that was too silent watched any more when it accepts after all.
  const silent = open({ totalMs: 3_000 }, { acceptMs: 1_000 })
  silent.watchdog.sent()
  silent.clock.jump(1_000)
  silent.watchdog.accepted()
  silent.clock.jump(100_000)
  expect(silent.trips).toEqual(['accept at 1000'])
  const stopped = accepted({ totalMs: 3_000 })
  stopped.clock.jump(1_000)
  stopped.watchdog.stop()
  stopped.watchdog.stop()
  stopped.clock.jump(100_000)
  expect(stopped.trips).toEqual([])
  expect(stopped.watchdog.executedMs).toBe(1_000)
  // Also when it had passed, and the inbox is drained only afterwards.
  const late = accepted({ totalMs: 3_000 }, { drains: false })
  late.clock.jump(3_000)
  late.watchdog.stop()
  late.drain()
  expect(late.trips).toEqual([])
  expect(stopped.clock.timers).toHaveLength(0)
})

test.for(['detached', 'window', 'approval'] as const)('held by "%s" all stand still but total', (reason) => {
  for (const limits of [{ firstEventMs: 60_000 }, { noProgressMs: 60_000 }] as const) {
    const it = accepted(limits)
    it.clock.jump(40_000)
    it.watchdog.hold(reason)
    it.clock.jump(1_000_000)
    it.watchdog.release(reason)
    it.clock.jump(19_999)
    expect(it.trips).toEqual([])
    it.clock.jump(1)
    expect(it.trips).toHaveLength(1)
  }
  const accept = open({}, { acceptMs: 10_000 })
  accept.watchdog.hold(reason)
  accept.watchdog.sent()
  accept.clock.jump(1_000_000)
  expect(accept.trips).toEqual([])
  accept.watchdog.release(reason)
  accept.clock.jump(10_000)
  expect(accept.trips).toEqual(['accept at 1010000'])
  const tool = accepted({ toolMs: 60_000 })
  tool.watchdog.events([call('a')])
  tool.watchdog.hold(reason)
  tool.clock.jump(1_000_000)
  expect(tool.trips).toEqual([])
  const total = accepted({ totalMs: 60_000 })
  total.watchdog.hold(reason)
  total.clock.jump(60_000)
  expect(total.trips).toEqual(['total at 60000'])
})

test('while a run waits for its children all stand still, the total too', () => {
  for (const limits of [{ firstEventMs: 60_000 }, { noProgressMs: 60_000 }, { totalMs: 60_000 }]) {
    const it = accepted(limits)
    it.clock.jump(40_000)
    it.watchdog.hold('children')
    it.clock.jump(1_000_000)
    expect(it.watchdog.executedMs).toBe(40_000)
    it.watchdog.release('children')
    it.clock.jump(19_999)
    expect(it.trips).toEqual([])
    it.clock.jump(1)
    expect(it.trips).toEqual([expect.stringMatching(/ at 1060000$/)])
  }
})

test('two reasons hold until both have ended', () => {
  const it = accepted({ noProgressMs: 60_000 })
  it.watchdog.hold('window')
  it.watchdog.hold('detached')
  it.watchdog.release('window')
  it.clock.jump(1_000_000)
  expect(it.trips).toEqual([])
  it.watchdog.release('detached')
  it.clock.jump(60_000)
  expect(it.trips).toEqual(['no-progress at 1060000'])
})

test('a deadline that has passed waits until the inbox was drained: what was in it saves the run', () => {
  const saved = accepted({ noProgressMs: 60_000 }, { drains: false })
  saved.clock.jump(60_000)
  expect(saved.inbox).toHaveLength(1)
  saved.watchdog.events([status])
  saved.drain()
  expect(saved.trips).toEqual([])
  saved.clock.jump(60_000)
  saved.drain()
  expect(saved.trips).toEqual(['no-progress at 120000'])
})

test('acceptance while the inbox is drained starts the others, and nothing is looked at twice', () => {
  const it = open({ noProgressMs: 60_000 }, { acceptMs: 10_000, drains: false })
  it.watchdog.sent()
  it.clock.jump(10_000)
  it.watchdog.accepted()
  it.drain()
  expect(it.trips).toEqual([])
  expect(it.clock.timers).toHaveLength(1)
})

test('an hour in which the process did not run trips nothing: it goes on as if there had been none', () => {
  for (const [limits, which] of [
    [{ firstEventMs: 60_000 }, 'first-event'],
    [{ noProgressMs: 60_000 }, 'no-progress'],
    [{ totalMs: 60_000 }, 'total'],
  ] as const) {
    const it = accepted(limits)
    it.clock.jump(45_000)
    it.clock.suspend(3_600_000)
    expect(it.trips).toEqual([])
    it.clock.jump(14_999)
    expect(it.trips).toEqual([])
    it.clock.jump(1)
    expect(it.trips).toEqual([`${which} at 3660000`])
  }
  const tool = accepted({ toolMs: 60_000 })
  tool.watchdog.events([call('a')])
  tool.clock.suspend(3_600_000)
  tool.clock.jump(59_999)
  expect(tool.trips).toEqual([])
  const accept = open({}, { acceptMs: 10_000 })
  accept.watchdog.sent()
  accept.clock.jump(7_500)
  accept.clock.suspend(3_600_000)
  accept.clock.jump(2_499)
  expect(accept.trips).toEqual([])
  accept.clock.jump(1)
  expect(accept.trips).toHaveLength(1)
})

test('an hour counts for nothing also when an event is what comes first after it', () => {
  const it = accepted({ totalMs: 60_000 })
  it.clock.jump(45_000)
  it.clock.suspend(3_600_000, { quietly: true })
  it.watchdog.events([status])
  it.clock.jump(0)
  expect(it.trips).toEqual([])
  expect(it.watchdog.executedMs).toBe(45_000)
})
