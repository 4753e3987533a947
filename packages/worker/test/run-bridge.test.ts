/** The worker's side of the bridge, without a runner. */
import { createManualClock, settle } from '@greenroom/bus/testing'
import { codeOf, systemRandom, type BridgeRequest, type BridgeResult, type Run } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { harmlessBridge } from '../src/harmless.ts'
import { RunBridge } from '../src/run-bridge.ts'
import type { Lasting } from '../src/runner-requests.ts'

const shot = { server: 'screen', name: 'shot' }

/** The bridge of a run whose requests are `sent`; `isDown`: none of them gets to the bus. */
function bridged(run: Pick<Run, 'bridge' | 'detached'> = { bridge: ['screen'] }, isDown = false) {
  const clock = createManualClock()
  const sent: BridgeRequest[] = []
  const lastings: Lasting[] = []
  const over = new AbortController()
  let settled = 0
  const bridge = new RunBridge({
    ref: { runId: 'r', epoch: 1 },
    run,
    random: systemRandom,
    clock,
    signal: over.signal,
    onSettled: () => (settled += 1),
    send(request, lasting) {
      sent.push(request)
      lastings.push(lasting)
      return isDown ? new Promise(() => undefined) : Promise.resolve()
    },
  })
  const answer = (given: Omit<BridgeResult, 'runId' | 'epoch' | 'requestId'>, at = 0): void =>
    bridge.answered({ runId: 'r', epoch: 1, requestId: sent[at]?.requestId ?? '', ...given })
  return { bridge, clock, sent, lastings, over, answer, settled: () => settled }
}

test('a call has its result; meanwhile its run is busy', async () => {
  const { bridge, clock, sent, answer, settled } = bridged()
  const abort = new AbortController()
  // As an executor has it.
  const called = harmlessBridge(bridge).call(shot, { window: 'editor' }, { timeoutMs: 500, signal: abort.signal })
  expect(bridge.isCalling).toBe(true)
  await settle()
  expect(sent).toMatchObject([{ op: 'call', args: { tool: shot, input: { window: 'editor' }, timeoutMs: 500 } }])
  answer({ result: { content: [] } })
  expect(await called).toEqual({ content: [] })
  expect([bridge.isCalling, settled()]).toEqual([false, 1])
  // What is over is not given up.
  abort.abort()
  await settle()
  expect([sent.length, clock.timers]).toEqual([1, []])
})

test.each([
  ['is connected', false],
  ['is cut off', true],
])('its time is over when it is, whether its worker %s', async (_how, isDown) => {
  const { bridge, clock, sent } = bridged(undefined, isDown)
  const called = bridge.call(shot)
  const error = called.catch((reason: unknown) => reason)
  await clock.advance(60_000)
  expect(await error).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining('60000 ms') })
  await settle()
  expect(sent.map(({ op }) => op)).toEqual(['call', 'cancel'])
  expect(bridge.isCalling).toBe(false)
})

test('a call that is over before it came to the bus does not come there later, nor out of a mailbox', async () => {
  const { bridge, clock, sent, lastings, over } = bridged(undefined, true)
  const late = bridge.call(shot, {}, { timeoutMs: 500.5 }).catch(codeOf)
  const abort = new AbortController()
  const givenUp = bridge.call(shot, {}, { signal: abort.signal }).catch(codeOf)
  const [first, second] = lastings
  expect(lastings).toMatchObject([{ ttlMs: 501 }, { ttlMs: 60_000 }])
  await clock.advance(501)
  expect([await late, first?.signal.aborted, second?.signal.aborted]).toEqual(['TIMEOUT', true, false])
  abort.abort()
  expect([await givenUp, second?.signal.aborted]).toEqual(['ABORTED', true])
  // Who may have it is told all the same, for as long as the run is.
  expect(sent.map(({ op }) => op)).toEqual(['call', 'call', 'cancel', 'cancel'])
  expect(lastings[2]).toEqual({ signal: over.signal })
})

test('no more calls are at the runner at once than it takes; the others wait here, and are not told when they are given up', async () => {
  const { bridge, sent, over, answer } = bridged()
  const abort = new AbortController()
  const first = Array.from({ length: 64 }, () => bridge.call(shot))
  const waiting = bridge.call(shot, {}, { signal: abort.signal }).catch(codeOf)
  const last = bridge.call(shot, { n: 66 })
  await settle()
  expect(sent).toHaveLength(64)
  abort.abort()
  expect(await waiting).toBe('ABORTED')
  expect(sent).toHaveLength(64)
  answer({ result: { content: [] } }, 7)
  await first[7]
  await settle()
  expect(sent[64]).toMatchObject({ op: 'call', args: { input: { n: 66 } } })
  const cut = bridge.call(shot)
  over.abort(new Error('the run is over'))
  const rest = [...first.toSpliced(7, 1), last, cut]
  for (const one of await Promise.allSettled(rest))
    expect(one).toMatchObject({ reason: { message: 'the run is over' } })
})

test('a call that its caller gives up is over at once, and told; a late result is nobody’s', async () => {
  const { bridge, sent, answer } = bridged()
  const abort = new AbortController()
  const called = bridge.call(shot, {}, { signal: abort.signal })
  await settle()
  abort.abort()
  await expect(called).rejects.toMatchObject({ code: 'ABORTED' })
  await settle()
  expect(sent[1]).toMatchObject({ op: 'cancel', args: { requestId: sent[0]?.requestId } })
  answer({ result: { content: [] } })
  await expect(bridge.call(shot, {}, { signal: abort.signal })).rejects.toMatchObject({ code: 'ABORTED' })
  expect(sent).toHaveLength(2)
})

test('what its runner refuses is told by its code, and a run that is over calls nothing', async () => {
  const { bridge, over, answer } = bridged()
  const called = bridge.call(shot)
  await settle()
  answer({ error: { code: 'OUTCOME_UNKNOWN', message: 'the lamp exploded' } })
  await expect(called).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', message: 'the lamp exploded' })
  const cut = bridge.call(shot)
  await settle()
  over.abort(new Error('the run is over'))
  await expect(cut).rejects.toThrow('the run is over')
  await expect(bridge.call(shot)).rejects.toThrow('the run is over')
})

test('a run without servers lists none, and a detached one has no bridge', async () => {
  const none = bridged({})
  expect(await none.bridge.list()).toEqual([])
  await expect(none.bridge.call(shot)).rejects.toMatchObject({ code: 'UNKNOWN_TOOL' })
  const detached = bridged({ detached: true })
  await expect(detached.bridge.list()).rejects.toMatchObject({ code: 'MISSING_FEATURE' })
  await expect(detached.bridge.call(shot)).rejects.toMatchObject({ code: 'MISSING_FEATURE' })
  expect([...none.sent, ...detached.sent]).toEqual([])
})

test.each([
  ['no tool', [undefined], 'BAD_OPTIONS'],
  ['half a tool', [{ server: 'screen' }], 'BAD_OPTIONS'],
  ['a list as input', [shot, []], 'INPUT_INVALID'],
  ['a date as input', [shot, { at: new Date(0) }], 'INPUT_INVALID'],
  ['no time', [shot, {}, { timeoutMs: 0 }], 'BAD_OPTIONS'],
  ['too much time', [shot, {}, { timeoutMs: 3_600_001 }], 'BAD_OPTIONS'],
  ['a signal that is none', [shot, {}, { signal: {} }], 'BAD_OPTIONS'],
])('%s is refused', async (_what, given, code) => {
  const { bridge, sent } = bridged()
  // @ts-expect-error -- who does not compile may give anything
  await expect(bridge.call(...given)).rejects.toMatchObject({ code })
  expect(sent).toEqual([])
})
