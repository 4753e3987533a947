/** The worker's side of a run's children, without a runner. */
import { createManualClock, settle } from '@greenroom/bus/testing'
import { systemRandom, type ChildrenRequest, type ChildrenResult } from '@greenroom/proto'
import { expect, test } from 'vitest'
import { RunChildren } from '../src/children.ts'
import { harmlessChildren } from '../src/harmless.ts'

const child = { runId: 'c1' }

/** The children of a run whose requests are `sent`. */
function parent() {
  const sent: ChildrenRequest[] = []
  let [waits, settled] = [0, 0]
  const own = new RunChildren({
    ref: { runId: 'r', epoch: 1 },
    resumed: undefined,
    random: systemRandom,
    clock: createManualClock(),
    signal: new AbortController().signal,
    pause: () => ((waits += 1), () => void (waits -= 1)),
    onSettled: () => void (settled += 1),
    send: (request) => Promise.resolve(void sent.push(request)),
  })
  /** What comes of a call when its runner gives this answer. */
  const answered = async (
    calling: Promise<unknown>,
    answer: Omit<ChildrenResult, 'runId' | 'epoch' | 'requestId'>,
  ): Promise<unknown> => {
    await settle()
    own.answered({ runId: 'r', epoch: 1, requestId: sent.at(-1)?.requestId ?? '', ...answer })
    return calling
  }
  // As an executor has them.
  return { own, children: harmlessChildren(own), sent, answered, counts: () => ({ waits, settled }) }
}

test('what is wanted of children is asked of the runner as it was said, and its answer is given back', async () => {
  const { own, children, sent, answered } = parent()
  const order = { role: 'doer', task: 'do', input: { n: 1 }, key: 'k', budget: { tokens: 9 } }
  expect(await answered(children.spawn(order), { childId: 'c1' })).toEqual({ runId: 'c1', key: 'k' })
  const ended = [{ runId: 'c1', key: 'k', outcome: { status: 'cancelled', reason: 'enough' } }] as const
  expect(await answered(children.wait([child], { mode: 'first-error' }), { children: ended })).toEqual(ended)
  const asking = children.ask(child, 'how far?', { mode: 'steer', timeoutMs: 7 })
  expect(await answered(asking, { answer: 'half' })).toBe('half')
  expect(await answered(children.send(child, 'left'), { status: 'delivered' })).toBe('delivered')
  expect(await answered(children.send(child, 'right', { mode: 'queue' }), { status: 'queued' })).toBe('queued')
  expect(await answered(children.cancel(child, 'enough'), {})).toBeUndefined()
  const listed = [{ runId: 'c1', key: 'k', role: 'doer', status: 'running' }] as const
  expect(await answered(children.list(), { listed })).toEqual(listed)
  expect(sent.map(({ op, args }) => ({ op, args }))).toEqual([
    { op: 'spawn', args: order },
    { op: 'wait', args: { runIds: ['c1'], mode: 'first-error' } },
    { op: 'ask', args: { runId: 'c1', question: 'how far?', mode: 'steer', timeoutMs: 7 } },
    { op: 'send', args: { runId: 'c1', text: 'left', mode: 'now' } },
    { op: 'send', args: { runId: 'c1', text: 'right', mode: 'queue' } },
    { op: 'cancel', args: { runId: 'c1', reason: 'enough' } },
    { op: 'list', args: {} },
  ])
  expect(new Set(sent.map(({ requestId }) => requestId)).size).toBe(7)
  expect(own.known).toEqual([child])
})

test('what the runner refuses is told by its code, and an answer without what was asked for is none', async () => {
  const { own, children, answered } = parent()
  const error = { code: 'UNKNOWN_RUN', message: 'no child c1', retry: 'never' } as const
  await expect(answered(children.cancel(child), { error })).rejects.toMatchObject({
    code: 'UNKNOWN_RUN',
    message: 'no child c1',
  })
  await expect(answered(children.spawn({ role: 'doer' }), {})).rejects.toMatchObject({ code: 'INTERNAL' })
  await expect(answered(children.ask(child, 'how far?'), {})).rejects.toMatchObject({ code: 'INTERNAL' })
  expect(own.known).toEqual([])
})

test('a wait that is given up is given up at the runner, too, before its caller goes on', async () => {
  const { own, children, sent, answered, counts } = parent()
  const abort = new AbortController()
  const waiting = children.wait([child], { signal: abort.signal })
  await settle()
  expect([own.isWaiting, counts()]).toEqual([true, { waits: 1, settled: 0 }])
  abort.abort()
  await settle()
  const [wait, unwait] = sent
  expect(unwait).toMatchObject({ op: 'unwait', args: { requestId: wait?.requestId } })
  expect(own.isWaiting).toBe(true)
  own.answered({ runId: 'r', epoch: 1, requestId: unwait?.requestId ?? '' })
  const aborted = { code: 'ABORTED', message: 'the wait was given up', retry: 'never' } as const
  own.answered({ runId: 'r', epoch: 1, requestId: wait?.requestId ?? '', error: aborted })
  await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' })
  expect([own.isWaiting, counts()]).toEqual([false, { waits: 0, settled: 1 }])
  await expect(children.wait([child], { signal: abort.signal })).rejects.toMatchObject({ code: 'ABORTED' })
  expect(sent).toHaveLength(2)
  expect(await answered(children.list(), {})).toEqual([])
})
