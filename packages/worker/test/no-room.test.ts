/** What a worker does while there is no room for what it says. */
import { createManualClock, peerWith, settle } from '@greenroom/bus/testing'
import {
  encodeMessage,
  GreenroomError,
  systemRandom,
  type Bus,
  type ChildrenRequest,
  type PeerOptions,
} from '@greenroom/proto'
import { defineExecutor } from '@greenroom/worker'
import { expect, test } from 'vitest'
import { RunChildren } from '../src/children.ts'
import { openBench } from '../src/testing/bench.ts'

test('one runner without room does not make it deaf to another one', { timeout: 20_000 }, async () => {
  const it = defineExecutor({
    version: '1',
    async run(_request, ctx) {
      for await (const { text } of ctx.steering) return { text }
      return { text: 'nothing' }
    },
  })
  const between = (bus: Bus): Bus => ({
    get capabilities() {
      return bus.capabilities
    },
    async attach(options: PeerOptions) {
      const peer = await bus.attach(options)
      return peerWith(peer, {
        send: (message, how) =>
          message.to === 'runner.other' ? Promise.reject(new GreenroomError('MAILBOX_FULL')) : peer.send(message, how),
      })
    },
    close: () => bus.close(),
    [Symbol.asyncDispose]: () => bus.close(),
  })
  await using bench = await openBench({ it }, { between })
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
