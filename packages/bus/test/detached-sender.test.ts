import { createDetachedSender } from '@greenroom/bus'
import { createManualClock } from '@greenroom/bus/testing'
import { decodeMessage, GreenroomError, type Outgoing } from '@greenroom/proto'
import { expect, test } from 'vitest'

const ref = { runId: 'r1', epoch: 1 }
const entry = (n: number): { type: 'data'; name: 'n'; data: number } => ({ type: 'data', name: 'n', data: n })

/** A sender whose peer does with each durable message what the test says. */
function open() {
  const clock = createManualClock()
  const sent: (Outgoing & { readonly store: (error?: Error) => void })[] = []
  const published: string[] = []
  const refused: unknown[] = []
  const tasks: (() => void)[] = []
  const link = createDetachedSender({
    peer: {
      publish: ({ kind, payload }) => {
        published.push(`${kind} ${kind === 'heartbeat' ? decodeMessage('heartbeat', payload).progressSeq : ''}`)
        return true
      },
      send: (message) =>
        new Promise((resolve, reject) => {
          const store = (error?: Error): void =>
            error === undefined ? resolve({ seq: 1, duplicate: false }) : reject(error)
          sent.push({ ...message, store })
        }),
    },
    to: 'runner.1',
    ref,
    clock,
    onRefused: (error) => refused.push(error),
    defer: (task) => tasks.push(task),
  })
  const turn = async (): Promise<void> => {
    for (const task of tasks.splice(0)) task()
    for (let n = 0; n < 10; n += 1) await Promise.resolve()
    for (const task of tasks.splice(0)) task()
  }
  const store = async (error?: Error): Promise<void> => {
    sent.at(-1)?.store(error)
    await turn()
  }
  const ids = (): string[] => sent.map(({ id }) => id)
  const seqs = (): number[][] =>
    sent.map(({ payload }) => {
      const { first, events } = decodeMessage('events', payload)
      return events.map((_, index) => first + index)
    })
  return { clock, link, sent, published, refused, turn, store, ids, seqs }
}

test('one message is on its way at a time, and what comes meanwhile goes with the next', async () => {
  const { link, turn, store, ids, seqs, sent } = open()
  for (const n of [1, 2]) expect(await link.emit(entry(n))).toBe(n)
  await turn()
  for (const n of [3, 4, 5]) await link.emit(entry(n))
  await turn()
  expect(sent).toMatchObject([{ to: 'runner.1', kind: 'events' }])
  let isFlushed = false
  const flushed = link.flushed().then(() => (isFlushed = true))
  await store()
  expect(seqs()).toEqual([
    [1, 2],
    [3, 4, 5],
  ])
  expect(ids()).toEqual(['events-r1-1-1', 'events-r1-1-3'])
  expect(isFlushed).toBe(false)
  await store()
  await flushed
  expect([link.acked, link.lastSeq]).toEqual([5, 5])
})

test.each(['STORAGE_FULL', 'MAILBOX_FULL', 'COMMIT_UNKNOWN', 'OUTCOME_UNKNOWN'] as const)(
  'a message that ends as %s is sent again as it was, though more has come',
  async (code) => {
    const { link, turn, store, ids, seqs, clock } = open()
    await link.emit(entry(1))
    await turn()
    await link.emit(entry(2))
    await store(new GreenroomError(code))
    expect(ids()).toEqual(['events-r1-1-1'])
    await clock.advance(500)
    await turn()
    expect(ids()).toEqual(['events-r1-1-1', 'events-r1-1-1'])
    expect(seqs()).toEqual([[1], [1]])
    await store()
    expect(seqs().at(-1)).toEqual([2])
  },
)

test('what a runner says on the live lane changes nothing: it knows less than the broker', async () => {
  const { link, turn, store, ids, seqs } = open()
  await link.emit(entry(1))
  await turn()
  await link.emit(entry(2))
  link.ack(1)
  link.resume(0)
  await turn()
  expect(ids()).toEqual(['events-r1-1-1'])
  await store()
  link.resume(0)
  await turn()
  expect(seqs()).toEqual([[1], [2]])
})

test('deltas have no number and are not sent, and are progress', async () => {
  const { link, turn, sent, published, clock } = open()
  await link.emit({ type: 'text-delta', text: 'a' })
  expect(await link.emit(entry(1))).toBe(1)
  expect(await link.emit({ type: 'progress', message: 'b' })).toBe(1)
  await turn()
  expect(sent.map(({ payload }) => decodeMessage('events', payload).events)).toEqual([[entry(1)]])
  await clock.advance(2_000)
  expect(published).toEqual(['heartbeat 3'])
})

test('a mailbox that takes no more ends it', async () => {
  const { link, turn, store, refused } = open()
  await link.emit(entry(1))
  await turn()
  const flushed = link.flushed()
  await store(new GreenroomError('FORBIDDEN'))
  await expect(flushed).rejects.toMatchObject({ code: 'CLOSED' })
  expect(refused).toMatchObject([{ code: 'FORBIDDEN' }])
  await expect(link.emit(entry(2))).rejects.toMatchObject({ code: 'CLOSED' })
})
