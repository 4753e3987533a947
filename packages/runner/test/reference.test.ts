/** The reference's checklist of behaviours, a test a row, in its words: runner, fleet, live registry. */
import { decodeMessage, limits } from '@greenroom/proto'
import { defineExecutor, echo } from '@greenroom/worker'
import type { InProcessOptions } from '@greenroom/worker/testing'
import { describe, expect, test } from 'vitest'
import { checkOptions } from '../src/config.ts'
import type { RoleOptions } from '../src/index.ts'
import { standardNeed } from '../src/plan.ts'
import { fingerprintOf, type Fixed } from '../src/pool/fingerprint.ts'
import { explainReuse } from '../src/pool/index.ts'
import { assignment, openAttempt, ref } from './fixtures/attempt.ts'
import { firstData, isAlive, readAll, testRunner, until, worker } from './fixtures/setup.ts'
import { openStill } from './fixtures/still.ts'
import { openTheatre } from './fixtures/threadless.ts'

/** What a worker of this role fixes. */
async function fixedBy(role: Partial<RoleOptions>, name = 'a'): Promise<Fixed> {
  const config = checkOptions({ worker: worker.url, roles: { [name]: { executor: 'echo', ...role } }, dataDir: null })
  return (await standardNeed(config, name)).fixed
}

/** In what the fingerprints of two postures differ. */
function differing(a: Fixed, b: Fixed): readonly string[] {
  return explainReuse(fingerprintOf(a, [], 'key'), fingerprintOf(b, [], 'key')).map(({ field }) => field)
}

describe('Runner', () => {
  test('an idle worker stays attached as long as the pool keeps it', async () => {
    await using it = await openStill({ echo }, { pool: { idleMs: 900_000 } })
    await it.end(it.runner.run({ role: 'echo' }))
    await it.clock.advance(890_000)
    const next = it.runner.run({ role: 'echo' })
    await it.end(next)
    expect(next.status()).toMatchObject({ attempts: 1, worker: { warm: true } })
  })

  test('equal fingerprint for equal posture regardless of tool order and child id', async () => {
    const [one, other] = [{ disabledTools: ['bash', 'edit'] }, { disabledTools: ['edit', 'bash'] }]
    expect(differing(await fixedBy(one), await fixedBy(other))).toEqual([])

    await using it = await openStill({ echo })
    const [first, second] = [it.runner.run({ role: 'echo' }), it.runner.run({ role: 'echo' })]
    await it.end(first)
    await it.end(second)
    const third = it.runner.run({ role: 'echo' })
    await it.end(third)
    expect(new Set([first.id, second.id, third.id]).size).toBe(3)
    expect(third.status().worker).toMatchObject({ warm: true })
  })

  test.for([
    ['model', { model: 'openai/m' }, { model: 'openai/n' }],
    ['provider (before the slash of its model)', { model: 'openai/m' }, { model: 'azure/m' }, 'model'],
    ['workspace', { workspace: '/a' }, { workspace: '/b' }],
    ['tool set', { disabledTools: ['bash'] }, { disabledTools: ['bash', 'edit'] }, 'tools'],
  ] as const satisfies [string, Partial<RoleOptions>, Partial<RoleOptions>, string?][])(
    'different fingerprint for %s',
    async ([row, one, other, field = row]) => {
      expect(differing(await fixedBy(one), await fixedBy(other))).toEqual([field])
    },
  )

  test('different fingerprint for role', async () => {
    expect(differing(await fixedBy({}, 'a'), await fixedBy({}, 'b'))).toEqual(['role'])
  })

  test.for([
    ['nested spawn', 'nesting', false],
    ['bypass', 'bypass', true],
    ['enforce permissions', 'enforce', true],
    ['no human approver', 'unattended', true],
    ['guardian read only', 'readOnly', true],
  ] as const)('different fingerprint for %s', async ([, flag, value]) => {
    const posture = { unattended: false }
    const [without, withIt] = [await fixedBy({ posture }), await fixedBy({ posture: { ...posture, [flag]: value } })]
    expect(differing(without, withIt)).toEqual([flag])
  })

  // Of a run without a parent these two have one value: what is shown is that it is part of the fingerprint.
  test.for([
    ['depth', 'depth', 0],
    ['max depth', 'maxDepth', limits.depth],
  ] as const)('different fingerprint for %s', async ([, field, value]) => {
    const fixed = await fixedBy({})
    expect(fixed[field]).toBe(value)
    expect(differing(fixed, { ...fixed, [field]: value + 1 })).toEqual([field])
  })

  test('silent link trips the accept watchdog with the typed outcome', async () => {
    const silent: InProcessOptions['observe'] = (it) => ({ onStep: (name) => name === 'ready' && it.suspend() })
    await using it = await openStill({ echo }, { limits: { acceptColdMs: 1_000 } }, silent)
    expect(await it.end(it.runner.run({ role: 'echo' }))).toMatchObject({ status: 'timeout', which: 'accept' })
    // What a warm one may take is something else.
    expect(it.clock.monotonic()).toBeLessThan(5_000)
  })

  test('silent link trips the first-event watchdog with the typed outcome', async () => {
    const mute = defineExecutor({
      version: '1',
      run: (_request, { signal }) =>
        new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })
    await using it = await openStill({ mute }, { limits: { firstEventMs: 1_000 } })
    expect(await it.end(it.runner.run({ role: 'mute' }))).toMatchObject({ status: 'timeout', which: 'first-event' })
  })

  test('an instant terminal never trips the watchdog even with a tiny limit', async () => {
    const run = { ...assignment, limits: { firstEventMs: 1, noProgressMs: 1, totalMs: 1 } }
    let isThere = false
    await using it = await openAttempt({ run, acceptMs: 1, onTerminal: () => (isThere = true) })
    await it.claim()
    await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1, text: 'at once' })
    await until(() => isThere)
    // Its only event is still on its way, for longer than every limit.
    it.clock.jump(60_000)
    await until(() => it.heard.some(({ kind }) => kind === 'resume'))
    it.publish('events', { ...ref, first: 1, events: [{ type: 'text-delta', text: 'x' }] })
    const end = await it.attempt.ended
    expect(end).toMatchObject({ how: 'terminal', terminal: { text: 'at once' } })
    expect(end).not.toHaveProperty('tripped')
    expect(it.killed).toEqual([])
  })
})

describe('Fleet', () => {
  test('real subprocess: spawn, self-register, run, stream, terminal', async () => {
    await using runner = await testRunner()
    const run = runner.run({ role: 'echo', task: 'hello' })
    const events = await readAll(run)
    expect(events).toContainEqual({ type: 'text-delta', text: 'hello', seq: 1, epoch: 1 })
    const outcome = await run.outcome
    const pid = run.status().worker?.pid ?? 0
    expect(outcome).toMatchObject({ status: 'completed', text: 'hello', output: { pid } })
    expect(pid).not.toBe(process.pid)
    expect(isAlive(pid)).toBe(true)
  })

  test('one reusable process serves two assignments and stays registered', async () => {
    await using runner = await testRunner()
    const one = runner.run({ role: 'echo', task: 'one' })
    expect(await one.outcome).toMatchObject({ status: 'completed', text: 'one' })
    const two = runner.run({ role: 'echo', task: 'two' })
    expect(await two.outcome).toMatchObject({ status: 'completed', text: 'two' })
    const pid = one.status().worker?.pid ?? 0
    expect(two.status().worker).toMatchObject({ pid, warm: true })
    await until(() => runner.stats().pool.idle === 1)
    expect(runner.stats()).toMatchObject({ processes: 1, pool: { idle: 1, hits: 1 } })
    expect(isAlive(pid)).toBe(true)
  })
})

describe('Live registry', () => {
  /** Says that it is there, and ends with the first text that it gets. */
  const listen = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      const heard = ctx.steering[Symbol.asyncIterator]().next()
      await ctx.emit({ type: 'data', name: 'here', data: true })
      return { text: (await heard).value?.text ?? 'nothing' }
    },
  })

  test('register, deliver, unregister: not-live once the run is over', async () => {
    await using theatre = await openTheatre({ listen })
    const run = theatre.runner.run({ role: 'listen' })
    await firstData(run, 'here')
    expect(await run.send('turn left')).toBe('delivered')
    expect(await run.outcome).toMatchObject({ status: 'completed', text: 'turn left' })
    expect(await run.send('too late')).toBe('not-live')
  })

  test('false (not-live) when the receiver is gone', async () => {
    const kills: (() => void)[] = []
    await using theatre = await openTheatre({ listen }, ({ kill }) => kills.push(kill))
    const run = theatre.runner.run({ role: 'listen' })
    await firstData(run, 'here')
    kills.at(-1)?.()
    expect(await run.send('anybody?')).toBe('not-live')
    expect(await run.outcome).toMatchObject({ status: 'failed', code: 'WORKER_LOST' })
  })

  test.for([
    ['run', { ...ref, runId: 'r2' }, 'w1'],
    ['epoch', { ...ref, epoch: 1 }, 'w1'],
    ['incarnation', ref, 'w0'],
  ] as const)('frames of another %s do not reach', async ([, named, incarnation]) => {
    // Who sends them is `w1`.
    const expected = {
      address: 'worker.1',
      incarnation,
      gone: new Promise<never>(() => undefined),
      kill: () => undefined,
    }
    await using it = await openAttempt({ worker: expected })
    await it.claim()
    it.publish('events', { ...named, first: 1, events: [{ type: 'text-delta', text: 'x' }] })
    await it.send('terminal', { ...named, status: 'completed', lastSeq: 0 })
    await until(() => it.drive.strayMessages === 2)
    expect(it.events).toEqual([])
    expect(it.attempt.isAccepted).toBe(false)
  })

  /** Starts the next attempt, at the same worker. */
  const startNext = (
    it: Awaited<ReturnType<typeof openAttempt>>,
    record: (first: number) => unknown = () => undefined,
  ) =>
    it.drive.start({
      run: { ...assignment, epoch: 3 },
      worker: {
        address: 'worker.1',
        incarnation: 'w1',
        gone: new Promise<never>(() => undefined),
        kill: () => undefined,
      },
      signal: new AbortController().signal,
      acceptMs: 10_000,
      cancelGraceMs: 5_000,
      settleMs: 30_000,
      record,
      flushed: () => Promise.resolve(),
    })

  test('a text is said anew to the next attempt, also at the same worker', async () => {
    await using it = await openAttempt()
    await it.claim()
    const newer = startNext(it)
    for (const attempt of [it.attempt, newer]) attempt.steer('s1', 'left', 'now')
    const texts = () => it.inbox.filter(({ kind }) => kind === 'steer')
    await until(() => texts().length === 2)
    expect(texts().map(({ payload }) => decodeMessage('steer', payload).epoch)).toEqual([2, 3])
    for (const epoch of [2, 3]) await it.send('terminal', { ...ref, epoch, status: 'completed', lastSeq: 0 })
    await Promise.all([it.attempt.ended, newer.ended])
  })

  test('dropping an old attempt’s guard keeps the new one, and neither hears the other', async () => {
    await using it = await openAttempt()
    await it.claim()
    const heard: number[] = []
    const newer = startNext(it, (first) => heard.push(first))
    const delta = { type: 'text-delta', text: 'x' }
    it.publish('events', { ...ref, first: 1, events: [delta] })
    await until(() => it.events.length === 1)
    await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1 })
    expect(await it.attempt.ended).toMatchObject({ how: 'terminal' })
    expect(heard).toEqual([])
    it.publish('events', { ...ref, epoch: 3, first: 1, events: [delta] })
    await until(() => heard.length === 1)
    expect(it.events).toHaveLength(1)
    await it.send('terminal', { ...ref, epoch: 3, status: 'completed', lastSeq: 1 })
    expect(await newer.ended).toMatchObject({ how: 'terminal' })
    it.publish('heartbeat', { ...ref, epoch: 3, lastSentSeq: 1, progressSeq: 1, loopLagMs: 0 })
    await until(() => it.drive.strayMessages === 1)
  })
})
