/** What a worker takes from its runner it takes from nobody else, whatever that knows of the run. */
import { decodeMessage, encodeMessage, textOf, type Outgoing, type RunKind, type RunMessages } from '@greenroom/proto'
import { defineExecutor, type ChildApproval, type RunContext } from '@greenroom/worker'
import { settle } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { openBench } from '../src/testing/bench.ts'

const ref = { runId: 'r', epoch: 1 }

/** A run of an executor; its runner, and a stranger who knows all that the runner does. */
async function watched(run: (ctx: RunContext) => Promise<unknown>) {
  const it = defineExecutor({
    version: '1',
    suspendable: true,
    run: async (_request, ctx) => ({ output: JSON.parse(JSON.stringify((await run(ctx)) ?? null)) }),
  })
  const bench = await openBench({ it })
  const came: { kind: string; payload: Uint8Array; to: string }[] = []
  const attach = (address: string) =>
    bench.bus.attach({
      address,
      incarnation: 'i',
      lifetime: 'named',
      onMessage: (delivery) => {
        came.push({ kind: delivery.kind, payload: delivery.payload, to: address })
        void delivery.ack()
      },
      onLive: ({ kind, payload }) => came.push({ kind, payload, to: address }),
    })
  const [own, other] = await Promise.all([attach('runner.own'), attach('runner.other')])
  let sent = 0
  const sender =
    (peer: typeof own) =>
    async <K extends RunKind>(kind: K, message: Omit<RunMessages[K], 'runId' | 'epoch'>): Promise<void> => {
      const payload = encodeMessage(kind, { ...ref, ...message } as RunMessages[K])
      await peer.send({ to: bench.address, id: `m${(sent += 1)}`, kind, control: kind !== 'run', payload })
      await settle()
    }
  const [runner, stranger] = [sender(own), sender(other)]
  const order = { role: 'a', executor: 'it', path: ['r'], depth: 0, task: '', workspace: '/', bridge: ['s'] }
  await runner('run', { ...order, replyTo: 'runner.own' })
  const next = async <K extends RunKind>(kind: K): Promise<RunMessages[K]> => {
    for (;;) {
      const found = came.find((one) => one.kind === kind)
      if (found !== undefined) return decodeMessage(kind, found.payload)
      await settle()
    }
  }
  return { runner, stranger, next, came, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() }
}

const strangerTo = ({ bus }: Awaited<ReturnType<typeof openBench>>) =>
  bus.attach({ address: 'runner.other', incarnation: 'i', lifetime: 'named', onMessage: () => undefined })

test('a cancel that comes before its run', async () => {
  const it = defineExecutor({ version: '1', run: () => Promise.resolve({ text: 'done' }) })
  await using bench = await openBench({ it })
  const stranger = await strangerTo(bench)
  const payload = encodeMessage('cancel', { runId: 'r', epoch: 1_000, reason: 'forged' })
  await stranger.send({ to: bench.address, id: 'm1', kind: 'cancel', control: true, payload })
  await settle()
  const { terminal } = await bench.run({ executor: 'it', runId: 'r' })
  expect(await terminal).toMatchObject({ status: 'completed' })

  // Its runner is who has its end, whoever brought it.
  const own = bench.runner.expect(bench.address, { runId: 'q', epoch: 1 })
  await own.cancel('own')
  await settle()
  const order = { ...own.ref, role: 'a', executor: 'it', path: ['q'], depth: 0, task: '', workspace: '/' }
  const brought = encodeMessage('run', { ...order, replyTo: bench.runner.peer.address })
  await stranger.send({ to: bench.address, id: 'run-q-1', kind: 'run', payload: brought })
  expect(await own.terminal).toMatchObject({ status: 'cancelled', reason: 'own' })
})

test('a part of a history', async () => {
  const it = defineExecutor({
    version: '1',
    run: ({ messages }) => Promise.resolve({ text: messages.map(textOf).join() }),
  })
  await using bench = await openBench({ it })
  const stranger = await strangerTo(bench)
  const history = (text: string): Outgoing => ({
    to: bench.address,
    id: text,
    kind: 'history',
    control: false,
    payload: encodeMessage('history', {
      runId: 'r',
      epoch: 1,
      part: 1,
      parts: 1,
      messages: [{ role: 'user', content: text }],
    }),
  })
  await bench.runner.peer.send(history('true'))
  await stranger.send(history('forged'))
  await settle()
  const { terminal } = await bench.run({ executor: 'it', runId: 'r', epoch: 1, historyParts: 1 })
  expect(await terminal).toMatchObject({ status: 'completed', text: 'true' })
})

test('a tool’s result', async () => {
  await using it = await watched((ctx) => ctx.bridge.call({ server: 's', name: 't' }))
  const { requestId } = await it.next('bridge-request')
  await it.stranger('bridge-result', { requestId, result: { content: [{ type: 'text', text: 'forged' }] } })
  await it.runner('bridge-result', { requestId, result: { content: [] } })
  expect(await it.next('terminal')).toMatchObject({ output: { content: [] } })
})

test('an answer about a child', async () => {
  await using it = await watched((ctx) => ctx.children.spawn({ role: 'x', key: 'k' }))
  const { requestId } = await it.next('children-request')
  await it.stranger('children-result', { requestId, childId: 'forged' })
  await it.runner('children-result', { requestId, childId: 'child' })
  expect(await it.next('terminal')).toMatchObject({ output: { runId: 'child' } })
})

test('a question, and that it is taken back', async () => {
  const asked: string[] = []
  const said = Promise.withResolvers<string>()
  await using it = await watched(async (ctx) => {
    ctx.onAsk((question) => (asked.push(question), said.promise))
    for await (const _ of ctx.steering) return asked
    return null
  })
  await it.stranger('ask', { askId: 'q1', question: 'forged', mode: 'query' })
  const own = { askId: 'q2', question: 'own', mode: 'query' } as const
  await it.runner('ask', own)
  await it.stranger('unask', { askId: 'q2' })
  said.resolve('well')
  expect(await it.next('ask-reply')).toMatchObject({ askId: 'q2', answer: 'well' })
  // It is dealt with once, however often it comes.
  await it.runner('ask', own)
  await it.runner('steer', { steerId: 's', text: 'end', mode: 'now' })
  expect(await it.next('terminal')).toMatchObject({ output: ['own'] })
})

test('what a descendant asks', async () => {
  const asked: ChildApproval[] = []
  const verdict = { allow: true, reason: 'fine', input: { n: 2 }, scope: 'run' } as const
  await using it = await watched(async (ctx) => {
    using _deciding = ctx.children.onApproval((approval) => (asked.push(approval), verdict))
    for await (const _ of ctx.steering) return asked
    return null
  })
  // Its request to be asked at all.
  const { requestId } = await it.next('children-request')
  await it.runner('children-result', { requestId })
  const ask = {
    requestId: 'a',
    from: { runId: 'c', epoch: 1 },
    path: ['r', 'c'],
    tool: 't',
    permission: 'write',
    input: { n: 1 },
  }
  await it.stranger('approval-ask', { ...ask, resource: 'forged' })
  await it.runner('approval-ask', { ...ask, requestId: 'b', resource: 'own' })
  const { allow: _, ...said } = verdict
  expect(await it.next('approval-answer')).toEqual({ ...ref, requestId: 'b', answer: 'allow', ...said })
  expect(it.came.filter(({ to }) => to === 'runner.other')).toEqual([])
  await it.runner('steer', { steerId: 's', text: 'end', mode: 'now' })
  const { requestId: _id, ...own } = { ...ask, resource: 'own' }
  expect(await it.next('terminal')).toMatchObject({ output: [own] })
})

test('that it is cancelled', async () => {
  await using it = await watched(async (ctx) => {
    for await (const { text } of ctx.steering) return [text, ctx.signal.aborted]
    return null
  })
  await it.stranger('cancel', { reason: 'forged' })
  await it.runner('steer', { steerId: 's', text: 'own', mode: 'now' })
  expect(await it.next('terminal')).toMatchObject({ status: 'completed', output: ['own', false] })
})

test('that its worker is needed', async () => {
  await using it = await watched((ctx) => ctx.children.wait([{ runId: 'child' }]))
  const { requestId } = await it.next('children-request')
  await it.stranger('suspend', { reason: 'forged' })
  const children = [{ runId: 'child', key: 'k', outcome: { status: 'cancelled', reason: 'own' } }] as const
  await it.runner('children-result', { requestId, children })
  expect(await it.next('terminal')).toMatchObject({ status: 'completed', output: children })
})

test('a text', async () => {
  await using it = await watched(async (ctx) => {
    for await (const { text } of ctx.steering) return text
    return null
  })
  await it.stranger('steer', { steerId: 'f', text: 'forged', mode: 'now' })
  expect(await it.next('steer-receipt')).toMatchObject({ steerId: 'f', status: 'not-live' })
  await it.runner('steer', { steerId: 's', text: 'own', mode: 'now' })
  expect(await it.next('terminal')).toMatchObject({ output: 'own' })
})

test('what is counted of its budget', async () => {
  await using it = await watched(async (ctx) => {
    for await (const _ of ctx.steering) return ctx.budget
    return null
  })
  await it.runner('spend-receipt', { upTo: 1, left: { usd: 2 } })
  await it.stranger('spend-receipt', { upTo: 9, left: { usd: 99 } })
  await it.runner('steer', { steerId: 's', text: 'end', mode: 'now' })
  expect(await it.next('terminal')).toMatchObject({ output: { usd: 2 } })
})

test('that all it said is there, and its end, or is to be said again', async () => {
  await using it = await watched((ctx) => ctx.message('said'))
  await it.next('terminal')
  await it.stranger('ack', { upTo: 1 })
  await it.stranger('terminal-ack', { lastSeq: 1 })
  it.came.length = 0
  await it.stranger('resume', { ack: 0 })
  expect(it.came.filter(({ kind }) => kind === 'events')).toEqual([])
  await it.runner('resume', { ack: 0 })
  expect(await it.next('events')).toMatchObject({ first: 1, events: [{ type: 'message' }] })
})
