import { settle } from '@greenroom/bus/testing'
import { expect, test, vi } from 'vitest'
import { Questions } from '../src/questions.ts'
import { SteeringInbox } from '../src/steering-inbox.ts'

test('a text that comes in the same turn as the end is refused, and not taken by who waited for it', async () => {
  const recorded: string[] = []
  const said: string[] = []
  const inbox = new SteeringInbox({
    record: ({ text }) => Promise.resolve(void recorded.push(text)),
    isHeldUp: () => false,
  })
  inbox.open()
  const next = inbox[Symbol.asyncIterator]().next()
  inbox.push({ steerId: 's1', text: 'left', mode: 'now', settle: (status) => said.push(status) })
  inbox.close()
  expect(await next).toEqual({ done: true, value: undefined })
  expect([said, recorded]).toEqual([['not-live'], []])
})

test('a text is in the transcript before it is taken, also when that waits for room', async () => {
  const recorded = Promise.withResolvers<void>()
  const said: string[] = []
  const inbox = new SteeringInbox({ record: () => recorded.promise, isHeldUp: () => true })
  inbox.open()
  let isTaken = false
  const next = inbox[Symbol.asyncIterator]().next()
  void next.then(() => (isTaken = true))
  inbox.push({ steerId: 's1', text: 'left', mode: 'now', settle: (status) => said.push(status) })
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
  expect([isTaken, said]).toEqual([false, ['queued']])
  recorded.resolve()
  expect(await next).toEqual({ done: false, value: { text: 'left', mode: 'now' } })
})

test('a text that cannot be put into the transcript is refused, as is one after the end; whoever waits has the next', async () => {
  const said: string[] = []
  const inbox = new SteeringInbox({
    record: ({ text }) => (text === 'left' ? Promise.reject(new Error('no room')) : Promise.resolve()),
    isHeldUp: () => false,
  })
  const push = (text: string): void =>
    inbox.push({ steerId: text, text, mode: 'now', settle: (status) => said.push(`${text} ${status}`) })
  inbox.open()
  const next = inbox[Symbol.asyncIterator]().next()
  for (const text of ['left', 'right']) push(text)
  expect(await next).toEqual({ done: false, value: { text: 'right', mode: 'now' } })
  inbox.close()
  push('late')
  expect(said).toEqual(['right queued', 'left not-live', 'right delivered', 'late not-live'])
})

test('of all that comes before there is an executor it is said then where it is', () => {
  const said: string[] = []
  const inbox = new SteeringInbox({ record: () => Promise.resolve(), isHeldUp: () => false })
  const push = (steerId: string): void =>
    inbox.push({ steerId, text: 'left', mode: 'now', settle: (status) => said.push(`${steerId} ${status}`) })
  push('s1')
  push('s2')
  expect(said).toEqual([])
  inbox.open()
  push('s3')
  expect(said).toEqual(['s1 queued', 's2 queued', 's3 queued'])
})

test('a question that is taken back before the executor took it is not to be had any more', async () => {
  const inbox = new SteeringInbox({ record: () => Promise.resolve(), isHeldUp: () => false })
  const questions = new Questions({ inbox, signal: new AbortController().signal })
  inbox.open()
  questions.open()
  questions.take({ runId: 'r', epoch: 1, askId: 'q', question: 'How far?', mode: 'steer' }, () => undefined)
  questions.withdraw('q')
  inbox.push({ steerId: 's', text: 'go on', mode: 'now', settle: () => undefined })
  expect(await inbox[Symbol.asyncIterator]().next()).toEqual({ done: false, value: { text: 'go on', mode: 'now' } })
})

test('who answers, is told to stop because the run is, and throws for that, has answered nothing', async () => {
  const run = new AbortController()
  const inbox = new SteeringInbox({ record: () => Promise.resolve(), isHeldUp: () => false })
  const questions = new Questions({ inbox, signal: run.signal })
  const stopped = vi.fn<() => void>()
  questions.onAsk(
    (_question, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => (stopped(), reject(signal.reason)), { once: true })
      }),
  )
  questions.open()
  const replied = vi.fn<() => void>()
  questions.take({ runId: 'r', epoch: 1, askId: 'q', question: 'How far?', mode: 'query' }, replied)
  await settle()
  run.abort(new Error('enough'))
  await settle()
  expect(stopped).toHaveBeenCalledOnce()
  expect(replied).not.toHaveBeenCalled()
})
