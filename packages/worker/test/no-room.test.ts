/** What a worker does while there is no room for what it says. */
import { createManualClock, peerWith, settle } from '@greenroom/bus/testing'
import {
  encodeMessage,
  GreenroomError,
  systemRandom,
  type Bus,
  type ChildrenRequest,
  type ErrorCode,
  type Outgoing,
  type PeerOptions,
} from '@greenroom/proto'
import { defineExecutor, echo } from '@greenroom/worker'
import { expect, test } from 'vitest'
import { RunChildren } from '../src/children.ts'
import { openBench } from '../src/testing/bench.ts'

/** A bus that has no room for some messages. */
const without =
  (hasNone: (message: Outgoing) => boolean, code: ErrorCode = 'MAILBOX_FULL') =>
  (bus: Bus): Bus => ({
    get capabilities() {
      return bus.capabilities
    },
    async attach(options: PeerOptions) {
      const peer = await bus.attach(options)
      return peerWith(peer, {
        send: (message, how) => (hasNone(message) ? Promise.reject(new GreenroomError(code)) : peer.send(message, how)),
      })
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  })

test('one runner without room does not make it deaf to another one', { timeout: 20_000 }, async () => {
  const it = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      for await (const { text } of ctx.steering) return { text }
      return { text: 'nothing' }
    },
  })
  await using bench = await openBench({ it }, { between: without((message) => message.to === 'runner.other') })
  const address = 'runner.other'
  const full = await bench.bus.attach({ address, incarnation: 'i', lifetime: 'named', onMessage: () => undefined })
  const run = await bench.run({ executor: 'it' })
  await run.accepted.promise
  // As many as it takes at a time.
  for (let n = 0; n < 64; n += 1) {
    const text = { runId: 'over', epoch: 1, steerId: `s${n}`, text: 'late', mode: 'now' } as const
    await full.send({
      to: bench.address,
      id: `s${n}`,
      kind: 'steer',
      control: true,
      payload: encodeMessage('steer', text),
    })
  }
  await settle()
  const late = new Promise((resolve) => setTimeout(resolve, 8_000, 'deaf'))
  expect(await Promise.race([run.steer('go on'), late])).toBe('delivered')
})

test('of a yes and a no of who decides the last holds, in whichever order there was room', async () => {
  const clock = createManualClock()
  const stored: ChildrenRequest[] = []
  let isFull = false
  const children: RunChildren = new RunChildren({
    ref: { runId: 'r', epoch: 1 },
    resumed: undefined,
    random: systemRandom,
    clock,
    signal: new AbortController().signal,
    pause: () => () => undefined,
    onSettled: () => undefined,
    send(request) {
      if (isFull) return Promise.reject(new GreenroomError('MAILBOX_FULL'))
      stored.push(request)
      queueMicrotask(() => children.answered({ runId: 'r', epoch: 1, requestId: request.requestId }))
      return Promise.resolve()
    },
  })
  const first = children.onApproval(() => ({ allow: true }))
  await settle()
  isFull = true
  first[Symbol.dispose]()
  await settle()
  isFull = false
  children.onApproval(() => ({ allow: true }))
  await settle()
  await clock.advance(10_000)
  await settle()
  expect(stored.map((one) => one.op === 'decide' && one.args.on)).toEqual([true, false, true])
})

test.for<readonly [of: 'a run' | 'a detached run', code: ErrorCode, forMs: number, stored: number]>([
  ['a run', 'MAILBOX_FULL', 5_000, 1],
  ['a run', 'MAILBOX_FULL', 15_000, 0],
  ['a run', 'FORBIDDEN', 5_000, 0],
  // However long that takes.
  ['a detached run', 'MAILBOX_FULL', 60_000, 1],
  ['a detached run', 'FORBIDDEN', 5_000, 0],
])('the last word of %s that is refused as %s for %d ms is stored %d times', async ([of, code, forMs, stored]) => {
  const clock = createManualClock()
  let isRefused = true
  const between = without(({ kind }) => kind === 'terminal' && isRefused, code)
  const detached = of === 'a detached run'
  await using bench = await openBench({ echo }, { clock, between, lingerMs: 10_000, detached })
  const run = await bench.run({ executor: 'echo', task: '', detached })
  await run.accepted.promise
  await clock.advance(forMs)
  expect(run.terminals).toHaveLength(0)
  isRefused = false
  await clock.advance(20_000)
  expect(run.terminals).toHaveLength(stored)
  expect(bench.log.filter((line) => line.includes('was not stored'))).toHaveLength(1 - stored)
})
