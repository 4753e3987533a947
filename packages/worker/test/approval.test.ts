/** Asking for an approval, from the worker's side: what is asked, and which answers are believed. */
import { codeOf, decodeMessage, encodeMessage, type ApprovalDecision, type ApprovalRequest } from '@greenroom/proto'
import { createManualClock } from '@greenroom/bus/testing'
import { defineExecutor } from '@greenroom/worker'
import { describe, expect, test } from 'vitest'
import { Approvals, type ApprovalAnswer } from '../src/approval.ts'
import { openBench } from '../src/testing/bench.ts'

const call = { tool: 'git', permission: 'execute', resource: '/repo', input: { args: ['status'] } }

/** The questions of a run, with the bus and its runner in the test's hands. */
function open({ send = async (): Promise<void> => {} } = {}) {
  const asked: ApprovalRequest[] = []
  const run = new AbortController()
  const ids = ['first', 'second'][Symbol.iterator]()
  const approvals = new Approvals({
    ref: { runId: 'r', epoch: 2 },
    clock: createManualClock(),
    random: { id: () => ids.next().value ?? 'later', fraction: () => 0 },
    signal: run.signal,
    lastSeq: () => 7,
    onSettled: () => undefined,
    send: (request) => {
      asked.push(request)
      return send()
    },
  })
  /** Answers the n-th question: by default it may be done. */
  const decide = (n: number, more: Partial<ApprovalDecision> = {}): void => {
    const { requestId = '', digest = '' } = asked[n] ?? {}
    const verdict = { allowed: true, reason: 'fine', decider: 'person', scope: 'once' } as const
    approvals.decided({ runId: 'r', epoch: 2, requestId, digest, ...verdict, ...more })
  }
  return { approvals, asked, run, decide }
}

test('ids are drawn from the source of chance, each for its question', async () => {
  const { approvals, asked, decide } = open()
  const answers = [approvals.ask(call), approvals.ask({ ...call, input: { args: ['log'] } })]
  expect(asked.map(({ requestId, afterSeq }) => [requestId, afterSeq])).toEqual([
    ['first', 7],
    ['second', 7],
  ])
  decide(1, { allowed: false, reason: 'not the log' })
  await answers[1]
  expect(approvals.isAsking).toBe(true)
  decide(0)
  expect(await Promise.all(answers)).toMatchObject([
    { allowed: true, input: call.input },
    { allowed: false, reason: 'not the log', decider: 'person' },
  ])
  expect(approvals.isAsking).toBe(false)
})

describe('what is allowed is not believed', () => {
  test.for<[string, Partial<ApprovalDecision>]>([
    ['about something else than what was asked', { digest: 'f'.repeat(64) }],
    ['with an edit that its digest does not name', { input: { args: ['push'] } }],
  ])('%s', async ([, decision]) => {
    const { approvals, decide } = open()
    const answer = approvals.ask(call)
    decide(0, decision)
    expect(await answer).toMatchObject({ allowed: false, decider: 'system', reason: expect.stringMatching(/else/) })
  })

  test('of another shape, though its digest names it', async () => {
    const { approvals, asked, decide } = open()
    const other = approvals.ask({ ...call, input: 'rm -rf /' })
    const answer = approvals.ask(call)
    decide(1, { input: 'rm -rf /', digest: asked[0]?.digest ?? '' })
    decide(0)
    expect(await answer).toMatchObject({ allowed: false, decider: 'system', reason: expect.stringMatching(/shape/) })
    expect(await other).toMatchObject({ allowed: true })
  })
})

test('what cannot be asked is denied, and says why', async () => {
  const { approvals } = open({ send: () => Promise.reject(new Error('the bus is gone')) })
  expect(await approvals.ask(call)).toEqual({
    allowed: false,
    reason: 'it could not be asked: the bus is gone',
    decider: 'system',
  } satisfies ApprovalAnswer)
  expect(approvals.isAsking).toBe(false)
})

test('a decision on what was not asked, and a second one on what was, disturb nothing', async () => {
  const { approvals, decide } = open()
  const answers = [approvals.ask(call), approvals.ask(call)]
  decide(0, { requestId: 'nobody’s' })
  decide(1, { reason: 'the first' })
  decide(1, { allowed: false, reason: 'the second' })
  expect(await answers[1]).toMatchObject({ allowed: true, reason: 'the first' })
  decide(1, { allowed: false, reason: 'too late' })
  expect(approvals.isAsking).toBe(true)
  decide(0)
  expect(await answers[0]).toMatchObject({ allowed: true, reason: 'fine' })
})

test('the end of the run ends what it asks, and a decision that comes then is dropped', async () => {
  const { approvals, run, decide } = open()
  const answer = approvals.ask(call)
  run.abort(new Error('enough'))
  await expect(answer).rejects.toThrow('enough')
  decide(0)
  expect(approvals.isAsking).toBe(false)
  await expect(approvals.ask(call)).rejects.toThrow('enough')
})

test.for<[string, object]>([
  ['tool', { tool: '' }],
  ['permission', { permission: 3 }],
  ['resource', { resource: undefined }],
  ['deadlineMs', { deadlineMs: -1 }],
  ['input', { input: { when: new Date(0) } }],
  ['inpt', { inpt: 3 }],
])('a question with a bad %s is refused by name, and not asked', async ([field, change]) => {
  const { approvals, asked } = open()
  const broken = Object.assign({}, call, change)
  await expect(approvals.ask(broken)).rejects.toMatchObject({
    code: 'BAD_OPTIONS',
    message: expect.stringContaining(field),
  })
  expect(asked).toEqual([])
})

test('a decision that is not its runner’s decides nothing, though it knows the question', async () => {
  const asks = defineExecutor({
    version: '1',
    run: async (_request, ctx) => ({ output: JSON.parse(JSON.stringify(await ctx.approve(call))) }),
  })
  await using bench = await openBench({ asks })
  const asked = Promise.withResolvers<ApprovalRequest>()
  const ended = Promise.withResolvers<unknown>()
  const attach = (address: string) =>
    bench.bus.attach({
      address,
      incarnation: 'i',
      lifetime: 'named',
      onMessage: (delivery) => {
        if (delivery.kind === 'approval-request') asked.resolve(decodeMessage('approval-request', delivery.payload))
        if (delivery.kind === 'terminal') ended.resolve(decodeMessage('terminal', delivery.payload).output)
        void delivery.ack()
      },
    })
  const [runner, stranger] = await Promise.all([attach('runner.own'), attach('runner.other')])
  const ref = { runId: 'r', epoch: 1 }
  const order = { ...ref, role: 'a', executor: 'asks', path: ['r'], depth: 0, task: '', workspace: '/' }
  const payload = encodeMessage('run', { ...order, replyTo: 'runner.own' })
  await runner.send({ to: bench.address, id: 'run-r-1', kind: 'run', payload })
  const { requestId, digest } = await asked.promise
  const decision = { ...ref, requestId, digest, decider: 'person', scope: 'once' } as const
  const decide = (peer: typeof runner, id: string, allowed: boolean): Promise<unknown> =>
    peer.send({
      to: bench.address,
      id,
      kind: 'approval-decision',
      control: true,
      payload: encodeMessage('approval-decision', { ...decision, allowed, reason: id }),
    })
  await decide(stranger, 'forged', true)
  await decide(runner, 'true', false)
  expect(await ended.promise).toEqual({ allowed: false, reason: 'true', decider: 'person' })
})

test('a question that nobody awaits holds up neither what its run says nor its end', async () => {
  const asked = Promise.withResolvers<unknown>()
  const forgets = defineExecutor({
    version: '1',
    run: async (_request, ctx) => {
      void ctx.approve(call).catch((error: unknown) => asked.resolve(codeOf(error)))
      await ctx.message('meanwhile')
    },
  })
  await using bench = await openBench({ forgets })
  const run = await bench.run({ executor: 'forgets' })
  expect(await run.terminal).toMatchObject({ status: 'completed', lastSeq: 1 })
  expect(await asked.promise).toBe('CLOSED')
})
