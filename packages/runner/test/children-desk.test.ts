/** What an attempt asks of its runner about its children. */
import { settle } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import type { Approval, Verdict } from '../src/approval/index.ts'
import { ChildrenDesk, type ChildrenDeskOptions } from '../src/children-desk.ts'
import type { RunChildren } from '../src/run-children.ts'

test('a request that comes twice is dealt with once, and none when its attempt has ended', async () => {
  let listed = 0
  const children = { list: () => Promise.resolve([`${(listed += 1)}`]) } as unknown as RunChildren
  const answers: unknown[] = []
  const answer = (result: unknown): void => void answers.push(result)
  const desk = new ChildrenDesk({ id: 'r', children, answer } as unknown as ChildrenDeskOptions)
  for (const requestId of ['one', 'one', 'two']) desk.take({ runId: 'r', epoch: 1, requestId, op: 'list', args: {} })
  await settle()
  desk.close()
  desk.take({ runId: 'r', epoch: 1, requestId: 'three', op: 'list', args: {} })
  await settle()
  expect(answers).toEqual([
    { requestId: 'one', listed: ['1'] },
    { requestId: 'two', listed: ['2'] },
  ])
})

test('what is sent, asked and cancelled goes on as it was requested, and each answer to its request', async () => {
  const calls: unknown[] = []
  const noted =
    (name: string) =>
    (...args: unknown[]) => {
      calls.push([name, ...args])
      return Promise.resolve(name)
    }
  const children = { sendAtOnce: noted('send'), ask: noted('ask'), cancel: noted('cancel') } as unknown as RunChildren
  const answers: unknown[] = []
  const answer = (result: unknown): void => void answers.push(result)
  const [pause, onWait] = [() => () => Promise.resolve(), () => undefined]
  const desk = new ChildrenDesk({ id: 'r', children, answer, pause, onWait } as unknown as ChildrenDeskOptions)
  const at = { runId: 'r', epoch: 1 }
  const child = { runId: 'c' }
  desk.take({ ...at, requestId: 'one', op: 'send', args: { ...child, text: 'hello', mode: 'queue' } })
  desk.take({ ...at, requestId: 'two', op: 'ask', args: { ...child, question: 'why?', mode: 'steer', timeoutMs: 5 } })
  desk.take({ ...at, requestId: 'three', op: 'cancel', args: { ...child, reason: 'enough' } })
  await settle()
  const to = expect.objectContaining(child)
  expect(calls).toEqual([
    ['send', to, 'hello', { mode: 'queue' }],
    ['ask', to, 'why?', { mode: 'steer', timeoutMs: 5, signal: expect.any(AbortSignal) }],
    ['cancel', to, 'enough'],
  ])
  expect(answers).toHaveLength(3)
  expect(answers).toEqual(
    expect.arrayContaining([
      { requestId: 'one', status: 'send' },
      { requestId: 'two', answer: 'ask' },
      { requestId: 'three' },
    ]),
  )
})

/** A desk of a parent whose child never answers, and the signals of what it is asked. */
function unanswered(answer: (result: unknown) => void = () => undefined) {
  const signals: AbortSignal[] = []
  const ask = (_child: unknown, _question: string, { signal }: { readonly signal: AbortSignal }): Promise<never> => {
    signals.push(signal)
    return new Promise(() => undefined)
  }
  const [pause, onWait] = [() => () => Promise.resolve(), () => undefined]
  const options = { id: 'r', children: { ask }, answer, pause, onWait } as unknown as ChildrenDeskOptions
  const desk = new ChildrenDesk(options)
  const args = { runId: 'c', question: 'why?', mode: 'steer', timeoutMs: 5 } as const
  const put = (requestId: string): void => desk.take({ runId: 'r', epoch: 1, requestId, op: 'ask', args })
  return { desk, put, signals }
}

test('what is given up is the request that is named, and no other', async () => {
  const answers: unknown[] = []
  const { desk, put, signals } = unanswered((result) => void answers.push(result))
  for (const requestId of ['one', 'two']) put(requestId)
  desk.take({ runId: 'r', epoch: 1, requestId: 'three', op: 'unwait', args: { requestId: 'one' } })
  await settle()
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
  expect(answers).toEqual([{ requestId: 'three' }])
})

test('what descendants ask is put to an executor only while it says that it decides', async () => {
  const asked: string[] = []
  const ask = ({ id }: Approval): Promise<Verdict> => {
    asked.push(id)
    return Promise.resolve({ allow: true })
  }
  const answer = (): void => undefined
  const desk = new ChildrenDesk({ id: 'r', children: {}, answer, ask } as unknown as ChildrenDeskOptions)
  const put = (id: string) => desk.ask({ id } as Approval, new AbortController().signal)
  const says = async (on: boolean): Promise<void> => {
    desk.take({ runId: 'r', epoch: 1, requestId: `decides ${on}`, op: 'decide', args: { on } })
    await settle()
  }
  expect(await put('before')).toBeUndefined()
  await says(true)
  expect(await put('meanwhile')).toEqual({ allow: true })
  await says(false)
  expect(await put('after')).toBeUndefined()
  expect(asked).toEqual(['meanwhile'])
})

test('what is asked and not answered by then is given up when its attempt ends', async () => {
  const { desk, put, signals } = unanswered()
  put('one')
  await settle()
  expect(signals.map(({ aborted }) => aborted)).toEqual([false])
  desk.close()
  expect(signals.map(({ aborted }) => aborted)).toEqual([true])
})
