/** What an earlier life of the runner left of approvals, and what crashes do to them. */
import { createManualClock } from '@greenroom/bus/testing'
import {
  encodeMessage,
  parseMessage,
  decodePayload,
  GreenroomError,
  systemRandom,
  type Delivery,
  type JsonValue,
  type RunRef,
} from '@greenroom/proto'
import { createMemoryStore, type CommitFault } from '@greenroom/store'
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { untilAbort } from '../src/abort.ts'
import { ApprovalJournal, Arbiter, type Approval, type ApprovalOptions, type Verdict } from '../src/approval/index.ts'
import { Journal, type RunRecord } from '../src/journal.ts'
import { patient } from '../src/persistence.ts'
import { detachedStage } from './fixtures/detached-stage.ts'
import { firstPending } from './fixtures/asking.ts'
import { dead, Scene } from './fixtures/left-over.ts'
import { until } from './fixtures/setup.ts'

const detached = { ...dead, detached: { limits: {} } }

/** An approval that an earlier life had recorded, and perhaps decided. */
async function left(
  scene: Scene,
  {
    attempt,
    allowed,
    ageMs = 0,
    ...edited
  }: { readonly attempt: object; readonly allowed?: boolean; readonly ageMs?: number; readonly input?: JsonValue },
) {
  await scene.left('r1', { attempt, entries: 1 })
  const { peer } = await scene.worker('r1')
  const journal = new ApprovalJournal(scene.store)
  const createdAt = Date.now() - ageMs
  const approval: Approval = {
    id: 'a1',
    runId: 'r1',
    epoch: 1,
    path: ['r1'],
    role: 'work',
    session: 'r1',
    workspace: '/',
    tool: 'git',
    permission: 'execute',
    resource: '/',
    input: ['push'],
    digest: 'as asked',
    afterSeq: 1,
    createdAt,
    deadline: createdAt + 60_000,
  }
  await journal.request(approval, {})
  if (allowed !== undefined) {
    const said = { allowed, reason: 'said before', decider: 'person', scope: 'once', decidedAt: createdAt } as const
    await journal.commit(journal.decide(approval, { ...said, ...edited }, undefined), {})
  }
  return { approval, peer }
}

/** The decision that the worker of the earlier life gets. */
async function decisionAt(scene: Scene): Promise<unknown> {
  const there = Promise.withResolvers<Delivery>()
  const peer = await scene.bus.client().attach({
    address: 'worker.r1',
    incarnation: 'old',
    lifetime: 'incarnation',
    onMessage: there.resolve,
  })
  const delivery = await there.promise
  expect(delivery.kind).toBe('approval-decision')
  await delivery.ack()
  await peer.close()
  return parseMessage('approval-decision', decodePayload(delivery.payload))
}

describe('an approval of an earlier life', () => {
  test('that was decided is delivered first, as it was decided, and nobody is asked again', async () => {
    const asAsked = { edited: {}, digest: 'as asked' }
    // What was edited has a digest of its own.
    const asEdited = { edited: { input: ['push', '--dry-run'] }, digest: expect.stringMatching(/^[0-9a-f]{64}$/) }
    for (const { edited, digest } of [asAsked, asEdited]) {
      await using scene = new Scene()
      const { peer } = await left(scene, { attempt: detached, allowed: true, ageMs: 90_000, ...edited })
      await peer.close()
      const decision = decisionAt(scene)
      const runner = await scene.life({ approvals: { person: () => expect.fail('asked again') } })
      const said = { allowed: true, reason: 'said before', ...edited }
      expect(await decision).toMatchObject({ requestId: 'a1', ...said, digest })
      await until(() => scene.store.count('unsettled') === 0, 'settled')
      expect(runner.approvals.get('a1').decision).toMatchObject(said)
    }
  })

  test.each<[whoIsThere: string, approvals: ApprovalOptions, ageMs: number]>([
    ['nobody', { person: 'elsewhere' }, 90_000],
    ['a policy that would allow it', { policy: () => ({ allow: true }) }, 90_000],
    // Its time goes on where it was, and does not begin anew.
    ['nobody in the last half of a second that it had', { person: 'elsewhere' }, 59_500],
  ])('whose time is over is denied by it: %s is there', async (_who, approvals, ageMs) => {
    await using scene = new Scene()
    const { peer } = await left(scene, { attempt: detached, ageMs })
    await peer.close()
    const decision = decisionAt(scene)
    await scene.life({ approvals })
    expect(await decision).toMatchObject({
      allowed: false,
      decider: 'deadline',
      reason: 'nobody decided within 60000 ms',
    })
  })

  test('that waits is asked again, and answered by id', async () => {
    await using scene = new Scene()
    const { peer } = await left(scene, { attempt: detached })
    await peer.close()
    const decision = decisionAt(scene)
    const asked = Promise.withResolvers<Approval>()
    const answer = Promise.withResolvers<Verdict>()
    const runner = await scene.life({
      approvals: {
        person: (approval) => {
          asked.resolve(approval)
          return answer.promise
        },
      },
    })
    expect(await asked.promise).toMatchObject({ id: 'a1', input: ['push'] })
    expect(runner.approvals.list({ state: 'pending' })).toHaveLength(1)
    answer.resolve({ allow: true, input: ['push', '--dry-run'] })
    expect(await decision).toMatchObject({ allowed: true, decider: 'person', input: ['push', '--dry-run'] })
  })

  test('ended with its worker, where that ended with its runner', async () => {
    await using scene = new Scene()
    await left(scene, { attempt: dead })
    const runner = await scene.life({ approvals: { person: () => expect.fail('asked again') } })
    await until(() => scene.store.count('unsettled') === 0, 'settled')
    expect(runner.approvals.get('a1').decision).toMatchObject({
      allowed: false,
      decider: 'system',
      reason: 'its runner ended',
    })
  })

  test('ended with its attempt, where another one of its run goes on', async () => {
    await using scene = new Scene()
    await left(scene, { attempt: detached })
    const place = { address: 'worker.r1', incarnation: 'old', host: 'here', warm: false, startedAt: Date.now() }
    await new Journal(scene.store).attempt({ runId: 'r1', epoch: 2 }, { ...place, ...detached })
    const runner = await scene.life({ approvals: { person: () => expect.fail('asked again') } })
    await until(() => scene.store.count('unsettled') === 0, 'settled')
    expect(runner.approvals.get('a1')).toMatchObject({
      epoch: 1,
      decision: { allowed: false, decider: 'system', reason: 'its runner ended' },
    })
  })

  test('that was decided, where its worker ended with its runner, is over as it was decided', async () => {
    await using scene = new Scene()
    const input = ['push', '--dry-run']
    await left(scene, { attempt: dead, allowed: true, input })
    const runner = await scene.life({ approvals: { person: () => expect.fail('asked again') } })
    const [run] = await runner.resume()
    expect(await run?.outcome).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await until(() => scene.store.count('unsettled') === 0, 'settled')
    expect(runner.approvals.get('a1').decision).toMatchObject({ allowed: true, reason: 'said before', input })
  })

  test('is nobody’s concern when it arrives after its worker ended with its runner', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: dead, entries: 1 })
    const { peer } = await scene.worker('r1')
    const question = { tool: 't', permission: 'p', resource: 'r', digest: '', afterSeq: 1, createdAt: Date.now() }
    await peer.send({
      to: 'runner.me',
      id: 'late',
      kind: 'approval-request',
      control: true,
      payload: encodeMessage('approval-request', { runId: 'r1', epoch: 1, requestId: 'a1', ...question }),
    })
    await peer.close()
    const runner = await scene.life({ approvals: { person: 'elsewhere' } })
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
    expect(runner.approvals.list()).toEqual([])
  })

  test('is not taken from whoever is not its worker, and not twice from it', async () => {
    await using scene = new Scene()
    await scene.left('r1', { attempt: detached, entries: 1 })
    const worker = await scene.worker('r1')
    const other = await scene.worker('r2')
    const request = {
      runId: 'r1',
      epoch: 1,
      afterSeq: 1,
      tool: 't',
      permission: 'p',
      resource: 'r',
      digest: '',
      createdAt: Date.now(),
    }
    const ask = (peer: typeof worker.peer, requestId: string, id = requestId): Promise<unknown> =>
      peer.send({
        to: 'runner.me',
        id,
        kind: 'approval-request',
        control: true,
        payload: encodeMessage('approval-request', { ...request, requestId }),
      })
    await ask(other.peer, 'forged')
    await ask(worker.peer, 'true')
    await ask(worker.peer, 'true', 'once-more')
    const runner = await scene.life({ approvals: { person: 'elsewhere' } })
    await until(() => scene.bus.stats().messages === 0, 'an empty bus')
    expect(runner.approvals.list()).toMatchObject([{ id: 'true', runId: 'r1', role: 'work', input: null }])
  })
})

/** Who decides on what one run asks, with a clock and a disk of the test's own; `life` is one more at these. */
function arbiterOf(
  faults: (commit: number) => CommitFault = () => ({ outcome: 'stored' }),
  arrives: (signal: AbortSignal) => Promise<unknown> = () => Promise.resolve(),
  policy: NonNullable<ApprovalOptions['policy']> = () => undefined,
) {
  const clock = createManualClock()
  const store = createMemoryStore({ faults })
  const sent: string[] = []
  const life = (): Arbiter =>
    new Arbiter({
      journal: new ApprovalJournal(patient(store, clock)),
      send: ({ id }, _via, signal) => {
        sent.push(id)
        return arrives(signal)
      },
      clock,
      random: systemRandom,
      options: { person: 'elsewhere', policy },
      postureOf: () => ({}),
      warn: () => undefined,
    })
  const arbiter = life()
  const ref = { runId: 'r1', epoch: 1 }
  const question = { tool: 't', permission: 'p', resource: 'r', input: ['x'], digest: '', afterSeq: 0, createdAt: 0 }
  const run = { ...ref, role: 'work', session: 's', workspace: '/', task: '', startedAt: 0 }
  const request = (requestId: string, from: Partial<RunRef & Pick<RunRecord, 'kin'>> = {}): Promise<void> =>
    arbiter.request(
      { ...ref, ...from, requestId, ...question },
      { address: 'w', incarnation: 'i' },
      { ...run, ...from },
    )
  return { arbiter, life, clock, store, ref, request, sent }
}

test('one deadline of 300 s is the whole way’s: a life that follows gives what is left of it', async () => {
  const { arbiter, life, clock, request } = arbiterOf()
  await request('a1')
  await clock.advance(200_000)
  arbiter.close()
  const next = life()
  next.recover(() => ({ address: 'w', incarnation: 'i' }))
  await clock.advance(99_999)
  expect(next.get('a1').decision).toBeUndefined()
  await clock.advance(1)
  await clock.settle()
  expect(next.get('a1').decision).toMatchObject({ allowed: false, decider: 'deadline' })
})

test('an ancestor has the same deadline, and is told when it is over', async () => {
  const { arbiter, clock, request } = arbiterOf()
  const told: number[] = []
  const ask = (_approval: Approval, signal: AbortSignal): Promise<never> => {
    signal.addEventListener('abort', () => told.push(clock.monotonic()))
    return new Promise(() => undefined)
  }
  arbiter.follow({ runId: 'p', epoch: 1 }, { waits: () => () => undefined, ask })
  const asked = clock.monotonic()
  await request('a1', { kin: { lineage: ['p'], childKey: 'k' } })
  await clock.advance(299_999)
  expect(told).toEqual([])
  await clock.advance(1)
  await clock.settle()
  expect(told).toEqual([asked + 300_000])
  expect(arbiter.get('a1').decision).toMatchObject({ allowed: false, decider: 'deadline' })
})

test('what has no time left when a life begins is denied, and put to nobody', async () => {
  let asked = 0
  const { arbiter, life, clock, request } = arbiterOf(undefined, undefined, () => void (asked += 1))
  await request('a1')
  arbiter.close()
  await clock.advance(300_000)
  const next = life()
  next.recover(() => ({ address: 'w', incarnation: 'i' }))
  await clock.settle()
  expect([next.get('a1').decision?.decider, asked, clock.timers.length]).toEqual(['deadline', 1, 0])
})

test('what a later attempt asked is led on as its own: the worker of another one gets no decision on it', async () => {
  const { arbiter, life, clock, request, sent } = arbiterOf()
  await request('a1', { epoch: 12 })
  await request('a2', { epoch: 13 })
  arbiter.close()
  const next = life()
  next.recover(({ runId, epoch }) => (runId === 'r1' && epoch === 12 ? { address: 'w', incarnation: 'i' } : undefined))
  await clock.settle()
  expect(next.get('a2').decision).toMatchObject({ allowed: false, reason: 'its runner ended' })
  expect(next.list({ state: 'pending' })).toMatchObject([{ id: 'a1', epoch: 12 }])
  await next.answer('a1', { allow: true })
  await clock.settle()
  expect(sent).toEqual(['decision-a1'])
})

test('what an attempt asks that ends before the disk has taken the question is recorded with its end', async () => {
  let isFull = true
  const told: string[] = []
  const { arbiter, clock, store, ref, request, sent } = arbiterOf(
    () => ({ outcome: isFull ? 'full' : 'stored' }),
    undefined,
    () => void told.push('the policy'),
  )
  const watching = (async () => {
    for await (const { decision } of arbiter.watch()) told.push(decision?.reason ?? 'asked')
  })()
  const asked = request('a1')
  await clock.advance(300)
  // Nobody is told of what is not recorded.
  expect(told).toEqual([])
  arbiter.attemptEnded(ref)
  isFull = false
  await clock.advance(300)
  await asked
  await arbiter.runEnded('r1')
  expect(arbiter.list()).toMatchObject([{ id: 'a1', input: ['x'], decision: { reason: 'its attempt ended' } }])
  expect(store.count('unsettled')).toBe(0)
  arbiter.close()
  await watching
  expect([told, sent]).toEqual([['its attempt ended'], []])
})

test('what an attempt asks that ends while the disk takes the question is shown to nobody but with its end', async () => {
  const told: string[] = []
  const { arbiter, clock, ref, request, sent } = arbiterOf(undefined, undefined, () => void told.push('the policy'))
  const watching = (async () => {
    for await (const { decision } of arbiter.watch()) told.push(decision?.reason ?? 'asked')
  })()
  const asked = request('a1')
  arbiter.attemptEnded(ref)
  await asked
  await clock.settle()
  arbiter.close()
  await watching
  expect([told, sent]).toEqual([['its attempt ended'], []])
})

test('what is decided leaves no deadline, and its run waits no more, also before its worker has heard of it', async () => {
  const { arbiter, clock, ref, request } = arbiterOf()
  await request('a1')
  await clock.settle()
  expect([clock.timers.length, arbiter.pending(ref.runId)]).toEqual([1, 1])
  await arbiter.answer('a1', { allow: true })
  expect([clock.timers.length, arbiter.pending(ref.runId)]).toEqual([0, 0])
})

test('a decision is told to nobody before the disk has taken it, and then to all who answered', async () => {
  let isFull = false
  const { arbiter, clock, request, sent } = arbiterOf(() => ({ outcome: isFull ? 'full' : 'stored' }))
  await request('a1')
  isFull = true
  const told: unknown[] = []
  for (const allow of [true, false])
    void arbiter.answer('a1', { allow }).then(({ decision }) => told.push(decision?.allowed))
  await clock.advance(300)
  expect([told, sent, arbiter.get('a1').decision]).toEqual([[], [], undefined])
  isFull = false
  await clock.advance(1_000)
  expect([told, sent]).toEqual([[true, true], ['decision-a1']])
})

test('what is asked once more when its worker has the decision is not taken again', async () => {
  const { arbiter, clock, store, request, sent } = arbiterOf()
  await request('a1')
  await arbiter.answer('a1', { allow: true })
  await clock.settle()
  expect(store.count('unsettled')).toBe(0)
  await request('a1')
  await clock.settle()
  expect([arbiter.list({ state: 'pending' }), store.count('unsettled'), sent]).toEqual([[], 0, ['decision-a1']])
})

test('a worker that is not there any more, and the end of a run, leave nothing of what was asked', async () => {
  const { arbiter, clock, store, ref, request, sent } = arbiterOf(undefined, () =>
    Promise.reject(new GreenroomError('MAILBOX_CLOSED')),
  )
  await request('a1')
  await arbiter.answer('a1', { allow: true })
  await clock.settle()
  expect([sent, store.count('unsettled')]).toEqual([['decision-a1'], 0])
  await request('a2')
  await arbiter.runEnded(ref.runId)
  expect(arbiter.get('a2').decision).toMatchObject({ allowed: false, reason: 'its run ended' })
  expect([sent, store.count('unsettled')]).toEqual([['decision-a1'], 0])
})

test('an attempt that is followed only after it has asked waits for what it asked', async () => {
  const { arbiter, clock, ref, request } = arbiterOf()
  await request('a1')
  await clock.settle()
  let waits = 0
  const ask = () => Promise.resolve(undefined)
  const follower = { ask, waits: () => ((waits += 1), () => (waits -= 1)) }
  arbiter.follow({ ...ref, epoch: 2 }, follower)
  expect(waits).toBe(0)
  arbiter.follow(ref, follower)
  expect(waits).toBe(1)
  await arbiter.answer('a1', { allow: true })
  expect(waits).toBe(0)
})

test('what arrives when its attempt has ended is asked of nobody', async () => {
  const { arbiter, ref, request, sent } = arbiterOf()
  arbiter.attemptEnded(ref)
  await request('a1')
  expect([arbiter.list(), sent]).toEqual([[], []])
})

test('a decision that is still on its way when the runner closes is for its next life to deliver', async () => {
  const { arbiter, clock, store, request, sent } = arbiterOf(undefined, (signal) =>
    untilAbort(signal, new Promise(() => undefined)),
  )
  await request('a1')
  await arbiter.answer('a1', { allow: true })
  await clock.settle()
  arbiter.close()
  await clock.settle()
  expect([sent, store.count('unsettled')]).toEqual([['decision-a1'], 1])
})

test('what is asked twice at once, before the disk has taken it, is asked once', async () => {
  let isFull = true
  const told: string[] = []
  const { arbiter, clock, ref, request, sent } = arbiterOf(
    () => ({ outcome: isFull ? 'full' : 'stored' }),
    undefined,
    ({ id }) => void told.push(id),
  )
  const asked = [request('a1'), request('a1')]
  isFull = false
  await clock.advance(1_000)
  await Promise.all(asked)
  await clock.settle()
  expect([told, arbiter.pending(ref.runId), clock.timers.length]).toEqual([['a1'], 1, 1])
  await arbiter.answer('a1', { allow: true })
  await clock.settle()
  expect([sent, arbiter.pending(ref.runId), clock.timers.length]).toEqual([['decision-a1'], 0, 0])
})

test('what is asked once more is the same, also when it was answered meanwhile', async () => {
  let asked = 0
  const policy = (): undefined => void (asked += 1)
  const { arbiter, clock, store, ref, request, sent } = arbiterOf(undefined, undefined, policy)
  await Promise.all([request('a1'), request('a1')])
  await request('a1')
  await clock.settle()
  expect(asked).toBe(1)
  const answered = await arbiter.answer('a1', { allow: true })
  await clock.settle()
  await request('a1')
  await clock.settle()
  expect([arbiter.list(), sent]).toEqual([[answered], ['decision-a1']])
  expect([arbiter.pending(ref.runId), store.count('unsettled')]).toEqual([0, 0])
})

test('the end of an attempt ends what it asked, and neither what the next one asks nor what another run does', async () => {
  const { arbiter, clock, ref, request, sent } = arbiterOf()
  for (const id of ['first', 'second']) await request(id)
  await request('next', { epoch: 2 })
  await request('other', { runId: 'r2' })
  arbiter.attemptEnded(ref)
  await clock.settle()
  const denied = { allowed: false, reason: 'its attempt ended' }
  expect(arbiter.list({ state: 'decided' })).toMatchObject(['first', 'second'].map((id) => ({ id, decision: denied })))
  for (const id of ['next', 'other']) await arbiter.answer(id, { allow: true })
  await clock.settle()
  expect(sent).toEqual(['decision-next', 'decision-other'])
})

test('a grant says what it holds for, who gave it, when, and on which approval', async () => {
  const { arbiter, clock, request } = arbiterOf()
  const approval = { role: 'work', session: 's', tool: 't', permission: 'p', resource: 'r' }
  const given = { ...approval, decider: 'person', by: 'jo', id: expect.any(String) }
  const began = clock.now()
  for (const [id, scope, afterMs] of [
    ['a1', 'run', 5_000],
    ['a2', 'session', 7_000],
  ] as const) {
    await request(id, { runId: `run of ${id}` })
    await clock.advance(afterMs)
    const { createdAt, decision } = await arbiter.answer(id, { allow: true, scope }, { by: 'jo' })
    expect(decision).toMatchObject({ scope, by: 'jo', decidedAt: createdAt + afterMs })
  }
  const grants = arbiter.grants().toSorted((one, other) => one.grantedAt - other.grantedAt)
  expect(grants).toEqual([
    { ...given, scope: 'run', of: 'run of a1', approval: 'a1', grantedAt: began + 5_000 },
    { ...given, scope: 'session', of: 's', approval: 'a2', grantedAt: began + 12_000 },
  ])
})

test('ancestors are asked from the nearest up until one decides, never who asks; what is no verdict denies', async () => {
  const { arbiter, clock, request } = arbiterOf()
  const kin = { childKey: 'k', lineage: ['top', 'high', 'mid'] }
  const says = new Map<string, unknown>([
    ['top', { allow: false, reason: 'the top says no' }],
    ['r1', { allow: true }],
  ])
  let asked: string[] = []
  for (const runId of ['r1', 'top', 'mid', 'high']) {
    const ask = async (): Promise<never> => (asked.push(runId), says.get(runId) as never)
    arbiter.follow({ runId, epoch: 1 }, { ask, waits: () => () => undefined })
  }
  const decisionOn = async (id: string): Promise<unknown> => {
    asked = []
    await request(id, { kin })
    await clock.settle()
    const { decision } = arbiter.get(id)
    return [asked, decision?.allowed, decision?.decider, decision?.reason]
  }
  expect(await decisionOn('a1')).toEqual([['mid', 'high', 'top'], false, 'ancestor', 'the top says no'])
  says.set('high', { allow: true, reason: 'high enough' })
  expect(await decisionOn('a2')).toEqual([['mid', 'high'], true, 'ancestor', 'high enough'])
  says.set('mid', { allow: 'perhaps' })
  expect(await decisionOn('a3')).toEqual([['mid'], false, 'ancestor', 'the ancestor gave no verdict'])
  // Of those that are gone nobody is asked, and then it waits for a person.
  for (const runId of ['mid', 'high', 'top']) await arbiter.runEnded(runId)
  expect(await decisionOn('a4')).toEqual([[], undefined, undefined, undefined])
})

test.each(['the answer that gave it', 'an answer that stands on it'] as const)(
  'a grant that is taken back while %s is being recorded allows nothing from then on',
  async (what) => {
    let [commits, lieAt] = [0, 0]
    const faults = (commit: number): CommitFault => {
      commits = commit
      return { outcome: commit === lieAt ? 'lies' : 'stored' }
    }
    const { arbiter, clock, request, sent } = arbiterOf(faults)
    const ask = async (id: string): Promise<void> => {
      await request(id)
      await clock.settle()
    }
    await ask('a1')
    if (what === 'the answer that gave it') lieAt = commits + 1
    void arbiter.answer('a1', { allow: true, scope: 'session' })
    await clock.settle()
    // The first of its two records is what is asked.
    if (what === 'an answer that stands on it') lieAt = commits + 2
    if (what === 'an answer that stands on it') await ask('a2')
    expect(commits).toBe(lieAt)
    void arbiter.revoke(arbiter.grants()[0]?.id ?? '').then((was) => sent.push(`taken back: ${was}`))
    await ask('a3')
    await clock.advance(200)
    await clock.settle()
    const decisions = what === 'the answer that gave it' ? ['decision-a1'] : ['decision-a1', 'decision-a2']
    expect(sent).toEqual([...decisions, 'taken back: true'])
    expect(arbiter.grants()).toEqual([])
    await ask('a4')
    expect(arbiter.list({ state: 'pending' }).map(({ id }) => id)).toEqual(['a3', 'a4'])
  },
)

test('a detached run whose runner is killed while it waits gets its answer from the next one', async () => {
  await using scene = await detachedStage()
  const [asking] = await scene.killed({ role: 'asks', task: '' })
  await using runner = await scene.life({ approvals: { person: 'elsewhere' } })
  const [{ id, runId } = { id: '', runId: '' }] = await until(() => {
    const pending = runner.approvals.list({ state: 'pending' })
    return pending.length > 0 && pending
  }, 'the approval')
  expect(runId).toBe(asking?.id)
  await runner.approvals.answer(id, { allow: true, reason: 'go on' })
  const run = await runner.attach(runId)
  expect(await run.outcome).toMatchObject({
    status: 'completed',
    output: { allowed: true, reason: 'go on', input: ['x'] },
  })
})

test('one that is decided while its runner closes reaches it in the next life', async () => {
  await using scene = await detachedStage()
  const [asking] = await scene.killed({ role: 'asks', task: '' })
  const ended = Promise.withResolvers<void>()
  const slow = { listTools: () => Promise.resolve([]), callTool: () => expect.fail(), close: () => ended.promise }
  const first = await scene.life({ approvals: { person: 'elsewhere' }, bridge: { slow } })
  const { id } = await firstPending(first)
  const closing = first.close()
  await until(() => scene.broker.stats().connections === 1, 'only its worker at the broker')
  await first.approvals.answer(id, { allow: true, reason: 'go on' })
  ended.resolve()
  await closing
  await using second = await scene.life({ approvals: { person: () => expect.fail('asked again') } })
  const run = await second.attach(asking?.id ?? '')
  expect(await run.outcome).toMatchObject({ status: 'completed', output: { allowed: true, reason: 'go on' } })
})

test('one that it asks for while no runner is there waits for the next', async () => {
  await using scene = await detachedStage()
  const [asking] = await scene.killed({ role: 'asks', task: scene.at('gate') })
  writeFileSync(scene.at('gate'), '')
  await until(() => scene.broker.stats().messages > 0, 'the request at the broker')
  await using runner = await scene.life({ approvals: { policy: () => ({ allow: false, reason: 'not today' }) } })
  const run = await runner.attach(asking?.id ?? '')
  expect(await run.outcome).toMatchObject({
    status: 'completed',
    output: { allowed: false, reason: 'not today', decider: 'policy' },
  })
})
