/** What runs ask for, and who decides. */
import type { JsonValue } from '@greenroom/proto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Approval, ApprovalOptions, ApprovalRecord, Run, Verdict } from '../src/index.ts'
import { Asking, call, firstPending } from './fixtures/asking.ts'
import { until } from './fixtures/setup.ts'

async function answers(run: Run): Promise<JsonValue | undefined> {
  const outcome = await run.outcome
  return outcome.status === 'completed' ? outcome.output : JSON.parse(JSON.stringify(outcome))
}

describe('who decides', () => {
  test.each<[string, 'ask' | 'bold' | 'alone', ApprovalOptions, object]>([
    ['nobody', 'ask', {}, { allowed: false, decider: 'system', reason: expect.stringMatching(/nobody is there/) }],
    ['the policy', 'ask', { policy: () => ({ allow: true }) }, { allowed: true, decider: 'policy', input: call.input }],
    [
      'the policy, with a reason',
      'ask',
      { policy: ({ tool, input }) => ({ allow: false, reason: `no ${tool} ${JSON.stringify(input)}` }) },
      { allowed: false, decider: 'policy', reason: 'no git {"args":["status"]}' },
    ],
    [
      'a policy that takes its time',
      'ask',
      { policy: () => sleep(50, { allow: true, reason: 'looked up' }) },
      { allowed: true, decider: 'policy', reason: 'looked up' },
    ],
    [
      'a policy that throws',
      'ask',
      { policy: () => Promise.reject(new Error('broken')) },
      { allowed: false, decider: 'policy', reason: expect.stringMatching(/broken/) },
    ],
    [
      'the person, where the policy says nothing',
      'ask',
      { policy: () => undefined, person: () => Promise.resolve({ allow: true, reason: 'fine' }) },
      { allowed: true, decider: 'person', reason: 'fine' },
    ],
    [
      'a person who goes away',
      'ask',
      { person: () => Promise.reject(new Error('the terminal closed')) },
      { allowed: false, decider: 'person', reason: expect.stringMatching(/the terminal closed/) },
    ],
    [
      'a person who says nothing',
      'ask',
      { person: () => Promise.resolve(undefined) as never },
      { allowed: false, decider: 'person', reason: 'no answer was given' },
    ],
    [
      'no person for an unattended role',
      'alone',
      { person: () => Promise.resolve({ allow: true }) },
      { allowed: false, decider: 'system' },
    ],
    ['no person elsewhere either', 'alone', { person: 'elsewhere' }, { allowed: false, decider: 'system' }],
    [
      'the reviewer before the policy',
      'ask',
      { reviewer: () => Promise.resolve({ allow: false }), policy: () => ({ allow: true }) },
      { allowed: false, decider: 'reviewer', reason: 'rejected by the reviewer' },
    ],
    [
      'the policy, where the reviewer is not available',
      'ask',
      { reviewer: () => Promise.resolve('unavailable'), policy: () => ({ allow: true }) },
      { allowed: true, decider: 'policy' },
    ],
    [
      'the policy, where the reviewer fails',
      'ask',
      { reviewer: () => Promise.reject(new Error('no model')), policy: () => ({ allow: true }) },
      { allowed: true, decider: 'policy' },
    ],
    [
      'the policy, where the reviewer says what is no verdict',
      'ask',
      { reviewer: () => JSON.parse('{"allow":"yes"}'), policy: () => ({ allow: true }) },
      { allowed: true, decider: 'policy' },
    ],
    [
      'nobody else, where that is the rule',
      'ask',
      { reviewer: () => Promise.reject(new Error('no model')), onUnavailable: 'deny', policy: () => ({ allow: true }) },
      { allowed: false, decider: 'reviewer', reason: expect.stringMatching(/no model/) },
    ],
    [
      'nobody else either, where that is the rule and the reviewer says what is no verdict',
      'ask',
      { reviewer: () => JSON.parse('{"allow":"yes"}'), onUnavailable: 'deny', policy: () => ({ allow: true }) },
      { allowed: false, decider: 'reviewer', reason: 'the reviewer gave no verdict' },
    ],
    [
      'nobody else either, where that is the rule and the reviewer is not available',
      'ask',
      { reviewer: () => Promise.resolve('unavailable'), onUnavailable: 'deny', policy: () => ({ allow: true }) },
      { allowed: false, decider: 'reviewer', reason: 'the reviewer is not available' },
    ],
    [
      'nobody, for a role that bypasses',
      'bold',
      { policy: () => ({ allow: false }) },
      { allowed: true, decider: 'system' },
    ],
    [
      'the reviewer, also for a role that bypasses',
      'bold',
      { reviewer: () => Promise.resolve({ allow: false }) },
      { allowed: false, decider: 'reviewer' },
    ],
  ])('%s', async (_name, role, options, answer) => {
    await using asking = new Asking()
    const runner = await asking.runner(options)
    expect(await answers(runner.run({ role, task: '' }))).toEqual([expect.objectContaining(answer)])
    expect(asking.unsettled).toBe(0)
  })

  test.each([
    1,
    'yes',
    null,
    { allowed: true },
    { allow: 'yes' },
    { allow: true, scope: 'ever' },
    { allow: true, inptu: 1 },
  ])('what is no verdict denies: %j', async (verdict) => {
    await using asking = new Asking()
    const policy = (): never => verdict as never
    const run = (await asking.runner({ policy })).run({ role: 'ask', task: '' })
    expect(await answers(run)).toMatchObject([
      { allowed: false, decider: 'policy', reason: 'the policy gave no verdict' },
    ])
  })

  test('a read-only role does what the checker wrote, and nothing else, whoever would allow it', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ policy: () => ({ allow: true }) })
    const shell = (command: string) => ({ ...call, tool: 'shell', input: { command, timeout: 5 } })
    const input = [
      shell('git log -1'),
      shell('rm -rf .'),
      { ...call, permission: 'write' },
      call,
      { ...call, permission: 'read' },
      ...['write', 'delete'].map((permission) => ({ ...shell('git log -1'), permission })),
    ]
    expect(await answers(runner.run({ role: 'guardian', task: '', input }))).toEqual([
      expect.objectContaining({
        allowed: true,
        decider: 'system',
        input: { command: expect.stringMatching(/git --no-pager .*log/), timeout: 5 },
      }),
      expect.objectContaining({ allowed: false, decider: 'system', reason: expect.stringMatching(/rm/) }),
      expect.objectContaining({ allowed: false, decider: 'system', reason: expect.stringMatching(/write/) }),
      expect.objectContaining({ allowed: false, decider: 'system' }),
      expect.objectContaining({ allowed: true, decider: 'policy' }),
      ...[/no write/, /no delete/].map((reason) =>
        expect.objectContaining({ allowed: false, decider: 'system', reason: expect.stringMatching(reason) }),
      ),
    ])
  })
})

describe('a person elsewhere', () => {
  test('sees what is asked, answers by id, and is answered with the decision that counts', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' })
    const run = runner.run({ role: 'ask', task: '', session: 's1' })
    const { id, ...approval } = await firstPending(runner)
    expect(approval).toMatchObject({
      runId: run.id,
      epoch: 1,
      path: [run.id],
      role: 'ask',
      session: 's1',
      tool: 'git',
      permission: 'execute',
      resource: '/repo',
      input: { args: ['status'] },
      deadline: approval.createdAt + 300_000,
    })
    expect(run.status()).toMatchObject({ phase: 'running', approvals: 1 })
    const [one, other] = await Promise.all([
      runner.approvals.answer(id, { allow: true, input: { args: ['status', '-s'] } }),
      runner.approvals.answer(id, { allow: false }),
    ])
    expect(one).toMatchObject({ id, decision: { allowed: true, decider: 'person' } })
    expect(other).toEqual(one)
    expect(await answers(run)).toMatchObject([{ allowed: true, input: { args: ['status', '-s'] } }])
    expect(await runner.approvals.answer(id, { allow: false })).toEqual(one)
    expect(runner.approvals.get(id)).toEqual(one)
    expect(runner.approvals.list({ runId: run.id })).toEqual([one])
    expect(run.status()).not.toHaveProperty('approvals')
    await until(() => asking.unsettled === 0 && asking.bus.stats().messages === 0, 'nothing left')
  })

  test('an id that nobody has, and what is no verdict, are refused by name', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' })
    await expect(runner.approvals.answer('nothing', { allow: true })).rejects.toMatchObject({
      code: 'UNKNOWN_APPROVAL',
    })
    expect(() => runner.approvals.get('nothing')).toThrow(expect.objectContaining({ code: 'UNKNOWN_APPROVAL' }))
    runner.run({ role: 'ask', task: '' })
    const { id } = await firstPending(runner)
    for (const verdict of [{}, { allow: true, inptu: { args: [] } }])
      await expect(runner.approvals.answer(id, verdict as never)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    expect(runner.approvals.get(id)).not.toHaveProperty('decision')
  })

  test('is asked several things at once, and answers in any order', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' })
    const input = Array.from({ length: 5 }, (_, n) => ({ ...call, resource: `/${n}` }))
    const run = runner.run({ role: 'all', task: '', input })
    await until(() => runner.approvals.list({ state: 'pending' }).length === 5, 'all of them')
    expect(run.status().approvals).toBe(5)
    for (const { id, resource } of runner.approvals.list({ state: 'pending' }).toReversed())
      await runner.approvals.answer(id, { allow: resource === '/2', reason: resource })
    expect(await answers(run)).toMatchObject(
      input.map(({ resource }) => ({ allowed: resource === '/2', reason: resource })),
    )
  })

  test('who does not answer in time has not refused', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere', deadlineMs: 60 })
    const input = [call, { ...call, deadlineMs: 20 }]
    expect(await answers(runner.run({ role: 'ask', task: '', input }))).toEqual([
      { allowed: false, decider: 'deadline', reason: 'nobody decided within 60 ms' },
      { allowed: false, decider: 'deadline', reason: 'nobody decided within 20 ms' },
    ])
  })

  test.each(['reviewer', 'policy', 'person'] as const)(
    'a %s who never answers is told that time is over',
    async (who) => {
      await using asking = new Asking()
      const { promise: over, resolve } = Promise.withResolvers<void>()
      const hangs = (_approval: unknown, { signal }: { readonly signal: AbortSignal }): Promise<never> => {
        signal.addEventListener('abort', () => resolve())
        return new Promise(() => undefined)
      }
      const runner = await asking.runner({ [who]: hangs, deadlineMs: 60 })
      expect(await answers(runner.run({ role: 'ask', task: '' }))).toEqual([
        { allowed: false, decider: 'deadline', reason: 'nobody decided within 60 ms' },
      ])
      await over
    },
  )

  test.each([
    ['the runner', { deadlineMs: null }, {}],
    ['who asks', {}, { deadlineMs: null }],
  ])('where %s says that there is no deadline there is none', async (_who, own, asked) => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere', ...own })
    const run = runner.run({ role: 'ask', task: '', input: [{ ...call, ...asked }] })
    const { id, deadline } = await firstPending(runner)
    expect(deadline).toBeNull()
    await runner.approvals.answer(id, { allow: true })
    expect(await answers(run)).toMatchObject([{ allowed: true }])
  })

  test('while one is asked nothing but the total time passes', async () => {
    await using asking = new Asking()
    const limits = { firstEventMs: 50, noProgressMs: 50 }
    const runner = await asking.runner({ person: 'elsewhere' }, { limits })
    const run = runner.run({ role: 'ask', task: '' })
    const { id } = await firstPending(runner)
    await sleep(300)
    await runner.approvals.answer(id, { allow: true })
    expect(await answers(run)).toMatchObject([{ allowed: true }])
    expect(await runner.run({ role: 'ask', task: '', limits: { totalMs: 100 } }).outcome).toMatchObject({
      status: 'timeout',
      which: 'total',
    })
  })

  test('while one of two is still asked the times stand still, too', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' }, { limits: { firstEventMs: 500, noProgressMs: 500 } })
    const run = runner.run({ role: 'all', task: '', input: [call, { ...call, resource: '/other' }] })
    const [first, second] = await until(() => {
      const pending = runner.approvals.list({ state: 'pending' })
      return pending.length === 2 && pending
    })
    await runner.approvals.answer(first?.id ?? '', { allow: true })
    await sleep(1_200)
    await runner.approvals.answer(second?.id ?? '', { allow: true })
    expect(await answers(run)).toMatchObject([{ allowed: true }, { allowed: true }])
  })

  test.each(['reviewer', 'policy', 'person'] as const)(
    'while a %s thinks nothing waits but who asked: not the bus, and no other decision',
    async (who) => {
      await using asking = new Asking()
      const thinking = Promise.withResolvers<Verdict>()
      const decide = ({ resource }: Approval) => (resource === '/slow' ? thinking.promise : { allow: true })
      const runner = await asking.runner({ [who]: decide })
      const run = runner.run({ role: 'all', task: '', input: [{ ...call, resource: '/slow' }, call] })
      await until(() => runner.approvals.list({ state: 'decided' }).length === 1, 'the other decision')
      await until(() => asking.bus.stats().messages === 0, 'the bus to forget both')
      expect(run.status().approvals).toBe(1)
      thinking.resolve({ allow: true })
      expect(await answers(run)).toMatchObject([{ allowed: true }, { allowed: true }])
    },
  )

  test('what an executor changes after it asked is not what it gets', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ policy: () => ({ allow: true }) })
    expect(await answers(runner.run({ role: 'sly', task: '' }))).toEqual({ args: ['status'] })
  })

  test('an edited input of another shape is not executed', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ policy: () => ({ allow: true, input: 'rm -rf /' }) })
    const run = runner.run({ role: 'ask', task: '' })
    expect(await answers(run)).toMatchObject([
      { allowed: false, decider: 'policy', reason: expect.stringMatching(/shape/) },
    ])
    // As it is answered it is recorded.
    expect(runner.approvals.list({ runId: run.id })).toMatchObject([
      { decision: { allowed: false, decider: 'policy' } },
    ])
  })

  test('a person who gives an input of another shape is told so, and may answer again', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' })
    const run = runner.run({ role: 'ask', task: '' })
    const { id, input } = await firstPending(runner)
    const answer = (given: JsonValue): Promise<unknown> => runner.approvals.answer(id, { allow: true, input: given })
    await expect(answer({ other: true })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    expect(runner.approvals.list({ state: 'pending' })).toMatchObject([{ id }])
    await answer(input)
    expect(await answers(run)).toMatchObject([{ allowed: true }])
  })
})

describe('what no message can carry', () => {
  const large = 'x'.repeat(9 * 1024 * 1024)

  test.each<[what: string, verdict: Verdict]>([
    ['an input', { allow: true, input: { args: [large] } }],
    ['a reason', { allow: false, reason: large }],
  ])('denies at once as %s of a policy', async (_what, verdict) => {
    await using asking = new Asking()
    const runner = await asking.runner({ policy: () => verdict })
    expect(await answers(runner.run({ role: 'ask', task: '' }))).toMatchObject([
      { allowed: false, decider: 'policy', reason: 'the policy said more than a message can carry' },
    ])
  })

  test('is refused as an answer, which may be given again', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' })
    const run = runner.run({ role: 'ask', task: '' })
    const { id } = await firstPending(runner)
    await expect(runner.approvals.answer(id, { allow: true, input: { args: [large] } })).rejects.toMatchObject({
      code: 'BAD_OPTIONS',
    })
    await runner.approvals.answer(id, { allow: true })
    expect(await answers(run)).toMatchObject([{ allowed: true }])
  })
})

describe('an answer that holds for longer', () => {
  test.each(['run', 'session'] as const)(
    'is not one that edits: what was asked was not allowed for the %s',
    async (scope) => {
      await using asking = new Asking()
      const dry = { ...call.input, args: ['push', '--dry-run'] }
      let asked = 0
      const runner = await asking.runner({
        person: () => {
          asked += 1
          return Promise.resolve({ allow: true, scope, input: dry })
        },
      })
      const push = { ...call, input: { ...call.input, args: ['push'] } }
      const run = runner.run({ role: 'ask', task: '', input: [push, push] })
      expect(await answers(run)).toMatchObject([{ input: dry, scope: 'once' }, { input: dry }])
      expect(asked).toBe(2)
      expect(runner.approvals.grants()).toEqual([])
    },
  )

  test('is not asked again for the same tool, permission and resource, in the run or session, until it is taken back', async () => {
    await using asking = new Asking()
    const seen: ApprovalRecord[] = []
    const runner = await asking.runner({
      person: (approval) => {
        seen.push(approval)
        return Promise.resolve({ allow: true, scope: approval.resource === '/run' ? 'run' : 'session' })
      },
    })
    const there = { ...call, resource: '/run' }
    const twice = [call, call, there, there, { ...call, tool: 'shell' }, { ...call, permission: 'network' }]
    const first = runner.run({ role: 'ask', task: '', session: 's', input: twice })
    expect(await answers(first)).toMatchObject([
      { reason: 'allowed by the person', scope: 'session' },
      { reason: 'granted for the session', decider: 'person' },
      { reason: 'allowed by the person', scope: 'run' },
      { reason: 'granted for the run' },
      { reason: 'allowed by the person' },
      { reason: 'allowed by the person' },
    ])
    expect(seen).toHaveLength(4)
    await answers(runner.run({ role: 'ask', task: '', session: 's', input: twice }))
    expect(seen.map(({ resource }) => resource)).toEqual(['/repo', '/run', '/repo', '/repo', '/run'])
    await answers(runner.run({ role: 'ask', task: '', session: 'another' }))
    expect(seen).toHaveLength(6)
    const grants = runner.approvals
      .grants()
      .filter(
        ({ scope, of, tool, permission }) =>
          scope === 'session' && of === 's' && tool === 'git' && permission === 'execute',
      )
    expect(grants).toMatchObject([{ permission: 'execute', resource: '/repo', decider: 'person' }])
    expect(await runner.approvals.revoke(grants[0]?.id ?? '')).toBe(true)
    expect(await runner.approvals.revoke(grants[0]?.id ?? '')).toBe(false)
    await answers(runner.run({ role: 'ask', task: '', session: 's' }))
    expect(seen).toHaveLength(7)
  })
})

test('an answer for a session holds in the next life of the runner, until it is taken back there', async () => {
  await using asking = new Asking()
  const first = await asking.runner({ person: () => Promise.resolve({ allow: true, scope: 'session' }) })
  await answers(first.run({ role: 'ask', task: '', session: 's' }))
  const grants = first.approvals.grants()
  await first.close()
  const next = await asking.runner({ person: () => Promise.resolve({ allow: false, reason: 'asked anew' }) })
  expect(next.approvals.grants()).toEqual(grants)
  const answer = () => answers(next.run({ role: 'ask', task: '', session: 's' }))
  expect(await answer()).toMatchObject([{ allowed: true, reason: 'granted for the session' }])
  expect(await next.approvals.revoke(grants[0]?.id ?? '')).toBe(true)
  expect(await answer()).toMatchObject([{ allowed: false, reason: 'asked anew' }])
})

test('an answer for a session holds for the role that asked: who may answer for one may not for another', async () => {
  await using asking = new Asking()
  const runner = await asking.runner({ person: 'elsewhere' })
  const first = runner.run({ role: 'ask', task: '', session: 's' })
  await runner.approvals.answer((await firstPending(runner)).id, { allow: true, scope: 'session' })
  expect(await answers(first)).toMatchObject([{ allowed: true }])
  const other = runner.run({ role: 'all', task: '', session: 's' })
  const { id, role } = await firstPending(runner)
  expect(role).toBe('all')
  await runner.approvals.answer(id, { allow: false, reason: 'not this one' })
  expect(await answers(other)).toMatchObject([{ allowed: false, reason: 'not this one' }])
})

test('which person decides is recorded, also with what is granted so, and is no concern of the worker’s', async () => {
  await using asking = new Asking()
  const runner = await asking.runner({ person: 'elsewhere' })
  const run = runner.run({ role: 'ask', task: '', input: [call, call] })
  const { id } = await firstPending(runner)
  const nobody = JSON.parse('{"by":7}')
  await expect(runner.approvals.answer(id, { allow: true }, nobody)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
  await runner.approvals.answer(id, { allow: true, scope: 'run' }, { by: 'jo' })
  expect(JSON.stringify(await answers(run))).not.toContain('jo')
  const decided = { decision: { decider: 'person', by: 'jo' } }
  expect(runner.approvals.list({ runId: run.id })).toMatchObject([decided, decided])
})

describe('an approval ends with its attempt', () => {
  test.each(['cancel', 'total time', 'hasty', 'close'] as const)('%s: nothing is left', async (how) => {
    await using asking = new Asking()
    const aborted = Promise.withResolvers<void>()
    const runner = await asking.runner({
      person: (_approval, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve())
        return new Promise(() => undefined)
      },
    })
    const limits = how === 'total time' ? { totalMs: 150 } : {}
    const run = runner.run({ role: how === 'hasty' ? 'hasty' : 'ask', task: '', limits })
    if (how !== 'hasty') await firstPending(runner)
    if (how === 'cancel') await run.cancel('enough')
    if (how === 'close') await runner.close()
    await run.outcome
    await until(() => asking.unsettled === 0 && asking.bus.stats().messages === 0, 'nothing left')
    if (how !== 'hasty') await aborted.promise
    expect(asking.store.scan('decision').every(({ meta }) => meta['allowed'] === false)).toBe(true)
    expect(asking.store.count('decision')).toBe(asking.store.count('approval'))
    expect(asking.warnings).toEqual([])
  })

  test('not with its run: what is tried again asks anew', async () => {
    await using asking = new Asking()
    const runner = await asking.runner({ person: 'elsewhere' })
    const run = runner.run({ role: 'restless', task: '' })
    const first = await firstPending(runner)
    await run.send('fail')
    const [second, ...others] = await until(() => {
      const pending = runner.approvals.list({ state: 'pending' })
      return pending.some(({ id }) => id !== first.id) && pending
    })
    expect(others).toEqual([])
    expect(runner.approvals.get(first.id).decision).toMatchObject({ allowed: false, reason: 'its attempt ended' })
    await runner.approvals.answer(second?.id ?? '', { allow: true })
    expect(await run.outcome).toMatchObject({ status: 'completed', output: true })
  })
})
