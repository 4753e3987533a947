import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createMemoryBus } from '@greenroom/bus'
import { decodeMessage, encodeMessage, encodePayload, limits, systemClock } from '@greenroom/proto'
import { createDrive, type HandedOver } from '../src/drive/index.ts'
import { encodeAssignment } from '../src/drive/assignment.ts'
import { assignment, openAttempt, ref } from './fixtures/attempt.ts'
import { until } from './fixtures/setup.ts'

const delta = (text: string) => ({ type: 'text-delta', text })

test('an attempt is over when its terminal is there and every event up to its last one', async () => {
  await using it = await openAttempt()
  await it.claim()
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 3, text: 'done' })
  it.publish('events', { ...ref, first: 1, events: [delta('a')] })
  await until(() => it.events.length === 1)
  it.clock.jump(500)
  await until(() => it.heard.some(({ kind }) => kind === 'resume'))
  it.publish('events', { ...ref, first: 2, events: [delta('b')] })
  await until(() => it.events.length === 2)
  await it.clock.settle()
  it.publish('events', { ...ref, first: 3, events: [delta('c')] })
  const end = await it.attempt.ended
  expect(end).toMatchObject({ how: 'terminal', terminal: { text: 'done' } })
  expect(end).not.toHaveProperty('eventsLost')
  expect(it.events).toEqual(['1text-delta', '2text-delta', '3text-delta'])
  expect(it.bus.stats().messages).toBe(1)
  if (end.how !== 'terminal') throw new Error('no terminal')
  end.confirm()
  await until(() => it.heard.some(({ kind }) => kind === 'terminal-ack'))
  expect(it.bus.stats().messages).toBe(1)
  end.acknowledge()
  await until(() => it.bus.stats().messages === 0)
})

test('an attempt is over when all that it said is stored, and not before, whether its worker ended it or is gone', async () => {
  for (const isGone of [false, true]) {
    const stored = Promise.withResolvers<void>()
    let flushes = 0
    await using it = await openAttempt({ flushed: () => ((flushes += 1), stored.promise) })
    await it.claim()
    it.publish('events', { ...ref, first: 1, events: [delta('a')] })
    await until(() => it.events.length === 1)
    if (isGone) it.kill()
    else await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1, text: 'done' })
    let isOver = false
    void it.attempt.ended.then(() => (isOver = true))
    await until(() => flushes > 0)
    await it.clock.settle()
    expect(isOver).toBe(false)
    stored.resolve()
    expect(await it.attempt.ended).toMatchObject({ how: isGone ? 'lost' : 'terminal' })
  }
})

const word = { runId: 'r2', epoch: 1, status: 'completed', lastSeq: 0, text: 'kept' } as const

/** Follows an attempt that an earlier life left; of some of these that kept a last word. */
function takeOver(
  { drive, clock, kill, cancel }: Awaited<ReturnType<typeof openAttempt>>,
  { startedAt = clock.now(), kept }: Partial<Pick<HandedOver, 'startedAt' | 'kept'>>,
) {
  const { runId, epoch } = word
  const run = { runId, epoch, detached: true, limits: {}, startedAt, received: 0 } as const
  return drive.start({
    run: { ...run, kept },
    worker: { address: 'worker.1', incarnation: 'w1', gone: new Promise(() => undefined), kill },
    signal: cancel.signal,
    acceptMs: Infinity,
    cancelGraceMs: 5_000,
    settleMs: 30_000,
    record: () => undefined,
    flushed: () => Promise.resolve(),
  })
}

test('an attempt that is taken over so late that its claim may be forgotten counts as claimed', async () => {
  await using it = await openAttempt()
  const attempt = takeOver(it, { startedAt: it.clock.now() - limits.dedupeWindowMs })
  await until(() => attempt.isAccepted)
  await it.send('terminal', word)
  expect(await attempt.ended).toMatchObject({ how: 'terminal', terminal: { text: 'kept' } })
  expect(it.killed).toEqual([])
})

test.each(['before its end', 'after it'])(
  'a last word that an earlier life kept, and that comes once more %s, is forgotten by the bus, too',
  async (when) => {
    await using it = await openAttempt()
    const attempt = takeOver(it, { kept: { from: 'worker.1', fromIncarnation: 'w1', terminal: word } })
    await it.claim()
    const isLate = when === 'after it'
    if (!isLate) await it.send('terminal', word)
    const end = await attempt.ended
    expect(end).toMatchObject({ how: 'terminal', terminal: { text: 'kept' } })
    if (end.how !== 'terminal') throw new Error('no terminal')
    end.acknowledge()
    if (isLate) await it.send('terminal', word)
    await until(() => it.bus.stats().messages === 0)
  },
)

test.each([
  ['another worker', { from: 'worker.2', fromIncarnation: 'w1' }],
  ['another life of its worker', { from: 'worker.1', fromIncarnation: 'w0' }],
])('a last word that was kept from %s is none', async (_, sender) => {
  const kept = { ...sender, terminal: word }
  await using followed = await openAttempt()
  expect(await takeOver(followed, { kept }).ended).toEqual({ how: 'unclaimed', why: 'gone' })
  await using settled = await openAttempt()
  const end = settled.drive.settle({
    ref: { runId: word.runId, epoch: word.epoch },
    worker: { address: 'worker.1', incarnation: 'w1', gone: () => Promise.resolve(true) },
    startedAt: settled.clock.now(),
    isDetached: false,
    lastSeq: () => 1,
    kept: () => kept,
    signal: new AbortController().signal,
    cancelled: new AbortController().signal,
  })
  expect(await end).toEqual({ how: 'lost', mayStillRun: false })
})

test('a message is decoded once, whoever has to know whose it is', async () => {
  await using it = await openAttempt()
  await it.claim()
  using parse = vi.spyOn(JSON, 'parse')
  it.publish('events', { ...ref, first: 1, events: [delta('once')] })
  await until(() => it.events.length === 1)
  expect(parse.mock.calls.filter(([text]) => text.includes('"once"'))).toHaveLength(1)
})

test('frames of another epoch, of another sender, and unreadable ones change nothing', async () => {
  await using it = await openAttempt()
  await it.claim()
  const stranger = await it.bus.attach({ address: 'worker.2', incarnation: 'w1', lifetime: 'incarnation' })
  const terminal = { ...ref, status: 'completed', lastSeq: 0, text: 'forged' } as const
  await it.send('terminal', terminal, stranger)
  await it.send('terminal', { ...terminal, epoch: 1 })
  await it.send('terminal', { ...terminal, runId: 'r2' })
  it.publish('events', { ...ref, epoch: 1, first: 1, events: [delta('old')] })
  stranger.publish({
    to: 'runner.1',
    kind: 'events',
    payload: encodeMessage('events', { ...ref, first: 1, events: [delta('forged')] }),
  })
  await it.worker.send({
    to: 'runner.1',
    id: 'junk',
    kind: 'terminal',
    control: true,
    payload: new TextEncoder().encode('{"runId":"r1","epoch":2}'),
  })
  // What the runner sends to itself counts from nobody else.
  const marker = { id: 'marker', kind: 'marker', control: true, payload: encodePayload({ ...ref, lane: 'control' }) }
  await stranger.send({ to: 'runner.1', ...marker })
  await until(() => it.drive.strayMessages === 6)
  await until(() => it.errors.length === 1)
  expect(it.events).toEqual([])
  // Nor do they stay in its mailbox.
  await until(() => it.bus.stats().messages === 0)
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 0, text: 'true' })
  expect(await it.attempt.ended).toMatchObject({ how: 'terminal', terminal: { text: 'true' } })
})

test('a worker that is silent is given up after the deadline: unclaimed when the broker says so', async () => {
  await using it = await openAttempt()
  it.clock.jump(9_999)
  it.clock.jump(1)
  expect(await it.attempt.ended).toEqual({ how: 'unclaimed', why: 'silent' })
  await expect(it.claim()).rejects.toMatchObject({ code: 'REVOKED' })
})

test('a worker that claimed but is silent is ended, and the run is lost', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.clock.jump(10_000)
  expect(await it.attempt.ended).toEqual({ how: 'lost', mayStillRun: false })
  expect(it.killed).toHaveLength(1)
})

test('while the runner hears nothing itself no worker counts as silent', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.bus.cut('runner.1')
  await until(() => it.drive.peer.state === 'lost')
  it.clock.jump(10_000)
  await it.clock.settle()
  it.bus.restore('runner.1')
  it.publish('accepted', ref)
  await until(() => it.attempt.isAccepted)
  it.clock.jump(20_000)
  await it.clock.settle()
  expect(it.killed).toEqual([])
})

test('acceptance stops the deadline', async () => {
  let accepted = 0
  await using it = await openAttempt({ onAccepted: () => (accepted += 1) })
  await it.claim()
  it.publish('accepted', { ...ref })
  it.publish('accepted', { ...ref })
  await until(() => accepted > 0)
  it.clock.jump(60_000)
  await it.clock.settle()
  expect(it.killed).toEqual([])
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 0 })
  expect(await it.attempt.ended).toMatchObject({ how: 'terminal' })
  expect(accepted).toBe(1)
})

test('an answer is forgotten by the bus, whether somebody waits for it or not', async () => {
  await using it = await openAttempt()
  await it.claim()
  const question = { question: 'How far?', mode: 'query', deadline: it.clock.monotonic() + 60_000 } as const
  const answer = it.attempt.questions.ask('q1', question, new AbortController().signal)
  const asked = await until(() => it.inbox.find(({ kind }) => kind === 'ask'))
  await asked.ack()
  for (const askId of ['q1', 'too-late'])
    await it.worker.send({
      to: 'runner.1',
      id: `ask-reply-${askId}`,
      kind: 'ask-reply',
      control: true,
      payload: encodeMessage('ask-reply', { ...ref, askId, answer: `to ${askId}` }),
    })
  expect(await answer).toBe('to q1')
  await until(() => it.drive.strayMessages === 1)
  await until(() => it.bus.stats().messages === 0)
  // Also when its attempt is over.
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 0 })
  const end = await it.attempt.ended
  if (end.how === 'terminal') end.acknowledge()
  await it.send('ask-reply', { ...ref, askId: 'q1', answer: 'far too late' })
  await until(() => it.drive.strayMessages === 2)
  await until(() => it.bus.stats().messages === 0)
})

test('a question expires with its deadline where its worker has not got it', async () => {
  await using it = await openAttempt()
  await it.claim()
  using send = vi.spyOn(it.drive.peer, 'send')
  const question = { question: 'How far?', mode: 'query', deadline: it.clock.monotonic() + 60_000 } as const
  it.clock.jump(20_000)
  const answer = it.attempt.questions.ask('q1', question, new AbortController().signal)
  expect(send.mock.calls.map(([message]) => message)).toMatchObject([{ kind: 'ask', ttlMs: 40_000 }])
  it.kill()
  expect(await answer).toBeUndefined()
})

test('a worker that refuses loses the assignment', async () => {
  await using it = await openAttempt()
  await it.send('refused', { ...ref, code: 'BUSY' })
  expect(await it.attempt.ended).toEqual({ how: 'unclaimed', why: 'refused' })
})

test('a worker that is gone before its claim ran nothing; after it, the run is lost with the events that were on their way', async () => {
  await using before = await openAttempt()
  before.kill()
  expect(await before.attempt.ended).toEqual({ how: 'unclaimed', why: 'gone' })

  await using silent = await openAttempt()
  await silent.claim()
  silent.kill()
  expect(await silent.attempt.ended).toMatchObject({ how: 'lost', mayStillRun: false })

  await using after = await openAttempt()
  await after.claim()
  after.publish('events', { ...ref, first: 1, events: [delta('a'), delta('b')] })
  after.publish('heartbeat', { ...ref, lastSentSeq: 7, progressSeq: 7, loopLagMs: 0 })
  await until(() => after.events.length === 2)
  after.kill()
  expect(await after.attempt.ended).toEqual({ how: 'lost', mayStillRun: false, eventsLost: { first: 3, last: 7 } })

  // Also where the broker does not know of its claim any more.
  await using forgotten = await openAttempt()
  forgotten.publish('accepted', ref)
  await until(() => forgotten.attempt.isAccepted)
  forgotten.kill()
  expect(await forgotten.attempt.ended).toEqual({ how: 'lost', mayStillRun: false })
})

test('a terminal that was stored before its worker died is believed, and says what never arrived', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('events', { ...ref, first: 1, events: [delta('a')] })
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 4, text: 'done' })
  it.kill()
  expect(await it.attempt.ended).toMatchObject({
    how: 'terminal',
    terminal: { text: 'done' },
    eventsLost: { first: 2, last: 4 },
  })
})

test('a worker that lives and does not answer for its events holds no run up for ever', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('events', { ...ref, first: 1, events: [delta('a')] })
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 4, text: 'done' })
  await until(() => it.events.length === 1)
  let end: unknown
  void it.attempt.ended.then((how) => (end = how))
  await it.clock.advance(61_000)
  expect(end).toMatchObject({ how: 'terminal', terminal: { text: 'done' }, eventsLost: { first: 2, last: 4 } })
})

test('events that come slowly are waited for as long as some come', async () => {
  await using it = await openAttempt()
  await it.claim()
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 3 })
  for (const first of [1, 2, 3]) {
    await it.clock.advance(50_000)
    it.publish('events', { ...ref, first, events: [delta('slow')] })
    await until(() => it.events.length === first)
  }
  expect(await it.attempt.ended).not.toHaveProperty('eventsLost')
})

test('while the runner hears nothing itself no worker counts as one that does not answer for its events', async () => {
  await using it = await openAttempt()
  await it.claim()
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 1 })
  await until(() => it.attempt.isAccepted)
  it.bus.cut('runner.1')
  await it.clock.advance(300_000)
  it.bus.restore('runner.1')
  await until(() => it.drive.peer.state === 'attached')
  it.publish('events', { ...ref, first: 1, events: [delta('late')] })
  expect(await it.attempt.ended).not.toHaveProperty('eventsLost')
  expect(it.events).toEqual(['1text-delta'])
})

test('events that their worker says are lost are not waited for', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('events', { ...ref, first: 1, events: [delta('a')] })
  await it.send('terminal', { ...ref, status: 'completed', lastSeq: 3, lost: { first: 2, last: 3 } })
  expect(await it.attempt.ended).toMatchObject({ how: 'terminal', eventsLost: { first: 2, last: 3 } })
  expect(it.events).toEqual(['1text-delta'])
})

test('what was missed is asked for when a heartbeat tells of it, and when the connection is back', async () => {
  await using it = await openAttempt()
  await it.claim()
  const asked = (): number[] =>
    it.heard.filter(({ kind }) => kind === 'resume').map(({ payload }) => decodeMessage('resume', payload).ack)
  it.publish('events', { ...ref, first: 1, events: [delta('a')] })
  it.publish('heartbeat', { ...ref, lastSentSeq: 2, progressSeq: 2, loopLagMs: 0 })
  await until(() => asked().length === 1)
  it.publish('events', { ...ref, first: 2, events: [delta('b')] })
  await until(() => it.events.length === 2)
  it.bus.cut('runner.1')
  it.publish('events', { ...ref, first: 3, events: [delta('c')] })
  it.bus.restore('runner.1')
  await until(() => asked().length === 2)
  expect(asked()).toEqual([1, 2])
})

test('what a worker that is gone has left is asked for as long as it may take, and no longer', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('accepted', ref)
  await until(() => it.attempt.isAccepted)
  it.bus.cut('runner.1')
  it.kill()
  let end: unknown
  void it.attempt.ended.then((how) => (end = how))
  await it.clock.advance(29_999)
  expect(end).toBeUndefined()
  await it.clock.advance(1)
  expect(end).toEqual({ how: 'lost', mayStillRun: false })
  it.bus.restore('runner.1')
  await until(() => it.drive.peer.state === 'attached')
  await it.clock.settle()
})

test('when the runner’s mailbox is closed for good all attempts that are in progress have failed', async () => {
  await using it = await openAttempt()
  await it.claim()
  await it.worker.fence({ address: 'runner.1', incarnation: 'i1' })
  const { code } = await it.drive.closed
  expect(await it.attempt.ended).toMatchObject({ how: 'failed', error: { code } })
})

test('a cancel takes back what is not claimed; what is claimed is told, twice over, and again after a reconnect', async () => {
  await using early = await openAttempt()
  early.cancel.abort('stop')
  expect(await early.attempt.ended).toEqual({ how: 'unclaimed', why: 'cancelled' })
  await expect(early.claim()).rejects.toMatchObject({ code: 'REVOKED' })

  await using late = await openAttempt()
  await late.claim()
  late.cancel.abort('stop')
  const told = await until(() => late.inbox.find(({ kind }) => kind === 'cancel'))
  expect(new TextDecoder().decode(told.payload)).toBe('{"runId":"r1","epoch":2,"reason":"stop"}')
  const hints = (): number => late.heard.filter(({ kind }) => kind === 'cancel').length
  await until(() => hints() === 1)
  late.bus.cut('runner.1')
  late.bus.restore('runner.1')
  await until(() => hints() === 2)
  await late.send('terminal', { ...ref, status: 'cancelled', lastSeq: 0, reason: 'stop' })
  expect(await late.attempt.ended).toMatchObject({ how: 'terminal', terminal: { status: 'cancelled' } })
  expect(late.killed).toEqual([])
})

test('two attempts at one worker are each told their own cancel', async () => {
  await using it = await openAttempt()
  await it.claim()
  const stop = new AbortController()
  const next = { ...ref, epoch: 3 }
  const attempt = it.drive.start({
    run: { ...assignment, ...next },
    worker: { address: 'worker.1', incarnation: 'w1', gone: new Promise(() => undefined), kill: it.kill },
    signal: stop.signal,
    acceptMs: 10_000,
    cancelGraceMs: 5_000,
    settleMs: 30_000,
    record: () => undefined,
    flushed: () => Promise.resolve(),
  })
  await (await until(() => it.inbox.find(({ id }) => id === 'run-r1-3'))).claim()
  it.cancel.abort('one')
  const cancels = () => it.inbox.filter(({ kind }) => kind === 'cancel')
  await until(() => cancels().length === 1)
  stop.abort('two')
  await until(() => cancels().length === 2)
  const told = cancels().map(({ payload }) => decodeMessage('cancel', payload))
  expect(told).toEqual([
    { ...ref, reason: 'one' },
    { ...next, reason: 'two' },
  ])
  for (const one of [ref, next]) await it.send('terminal', { ...one, status: 'cancelled', lastSeq: 0, reason: 'told' })
  expect(await Promise.all([it.attempt.ended, attempt.ended])).toMatchObject([{ how: 'terminal' }, { how: 'terminal' }])
})

test('a worker that does not end within the grace and a second is ended by force', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('accepted', { ...ref })
  it.cancel.abort('stop')
  await until(() => it.inbox.some(({ kind }) => kind === 'cancel'))
  it.clock.jump(5_999)
  expect(it.killed).toEqual([])
  it.clock.jump(1)
  expect(await it.attempt.ended).toEqual({ how: 'lost', mayStillRun: false })
  expect(it.killed).toEqual([6_000])
})

test('an attempt that was cancelled before it began sends nothing', async () => {
  await using bus = createMemoryBus()
  const drive = await createDrive({
    bus,
    address: 'runner.1',
    incarnation: 'i1',
    clock: systemClock,
    onError: () => undefined,
  })
  // It does not wait for a broker either.
  bus.cut('runner.1')
  const attempt = drive.start({
    run: assignment,
    worker: { address: 'worker.9', incarnation: 'w9', gone: new Promise(() => undefined), kill: () => undefined },
    signal: AbortSignal.abort('no'),
    acceptMs: 1,
    cancelGraceMs: 1,
    settleMs: 1,
    record: () => undefined,
    flushed: () => Promise.resolve(),
  })
  expect(await attempt.ended).toEqual({ how: 'unclaimed', why: 'cancelled' })
  expect(bus.stats().messages).toBe(0)
})

test('an event that is not shaped as its type says ends the attempt', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.publish('events', { ...ref, first: 1, events: [{ type: 'text-delta', text: 5 }] })
  expect(await it.attempt.ended).toMatchObject({ how: 'failed', error: { code: 'BAD_FRAME' } })
})

test('a question that its worker has not got by its deadline does not reach it any more', async () => {
  await using it = await openAttempt()
  await it.claim()
  it.bus.cut('worker.1')
  const giveUp = new AbortController()
  const ask = (id: string, ms: number): Promise<unknown> => {
    const question = { question: 'How far?', mode: 'query', deadline: it.clock.monotonic() + ms } as const
    return it.attempt.questions.ask(id, question, giveUp.signal).catch(() => undefined)
  }
  const asked = [ask('late', 1), ask('early', 60_000)]
  await sleep(20)
  it.bus.restore('worker.1')
  await until(() => it.inbox.some(({ id }) => id === 'ask-early'))
  giveUp.abort()
  await Promise.all(asked)
  await until(() => it.inbox.filter(({ kind }) => kind === 'unask').length === 2)
  expect(it.inbox.filter(({ kind }) => kind === 'ask').map(({ id }) => id)).toEqual(['ask-early'])
})

test('who is asked on what a descendant wants, and ends or is not asked any more before it answers, says nothing', async () => {
  const asked = { from: { runId: 'r2', epoch: 1 }, path: ['r1', 'r2'], tool: 't', permission: 'p', resource: 'r' }
  await using it = await openAttempt()
  await it.claim()
  const said = new Map<string, unknown>()
  const ask = async (requestId: string, signal: AbortSignal): Promise<void> => {
    const { answer } = (await it.attempt.ask({ requestId, ...asked, input: null }, signal)) ?? { answer: 'nothing' }
    said.set(requestId, answer)
  }
  const never = new AbortController().signal
  const decided = new AbortController()
  void ask('answered', never)
  void ask('overtaken', decided.signal)
  void ask('open', never)
  await until(() => it.inbox.filter(({ kind }) => kind === 'approval-ask').length === 3)
  expect(said.size).toBe(0)
  await it.send('approval-answer', { ...ref, requestId: 'answered', answer: 'deny' })
  await until(() => said.size > 0)
  decided.abort()
  await it.clock.settle()
  expect([...said]).toEqual([
    ['answered', 'deny'],
    ['overtaken', 'nothing'],
  ])
  it.kill()
  await it.attempt.ended
  await it.clock.settle()
  expect(said.get('open')).toBe('nothing')
})

test('a history above a megabyte travels in parts, in order, before its run', () => {
  const messages = Array.from({ length: 5 }, (_, n) => ({
    role: 'user' as const,
    content: `${n}${'x'.repeat(400_000)}`,
  }))
  const sent = encodeAssignment({ ...assignment, messages }, 'worker.1')
  expect(sent.map(({ id }) => id)).toEqual(['history-r1-2-1', 'history-r1-2-2', 'history-r1-2-3', 'run-r1-2'])
  expect(JSON.parse(new TextDecoder().decode(sent[3]?.payload))).toMatchObject({
    historyParts: 3,
    required: ['history-parts'],
  })
  const parts = sent.slice(0, -1).map(({ payload }) => decodeMessage('history', payload))
  expect(parts.map(({ part, messages: said }) => [part, ...said.map(({ content }) => content.slice(0, 1))])).toEqual([
    [1, '0', '1'],
    [2, '2', '3'],
    [3, '4'],
  ])
  const sentOf = [2, 3].map((end) => encodeAssignment({ ...assignment, messages: messages.slice(0, end) }, 'worker.1'))
  expect(sentOf.map(({ length }) => length)).toEqual([1, 3])
})

test('a run is sent when each part of its history is stored, and not before', async () => {
  await using it = await openAttempt()
  const hasRoom = Promise.withResolvers<void>()
  const { peer } = it.drive
  const send = peer.send.bind(peer)
  using _waits = vi.spyOn(peer, 'send').mockImplementation(async (message, options) => {
    if (message.id === 'history-r2-1-1') await hasRoom.promise
    return send(message, options)
  })
  const messages = [1, 2].map(() => ({ role: 'user' as const, content: 'x'.repeat(600_000) }))
  it.drive.start({
    run: { ...assignment, runId: 'r2', epoch: 1, messages },
    worker: { address: 'worker.1', incarnation: 'w1', gone: new Promise(() => undefined), kill: it.kill },
    signal: it.cancel.signal,
    acceptMs: Infinity,
    cancelGraceMs: 5_000,
    settleMs: 30_000,
    record: () => undefined,
    flushed: () => Promise.resolve(),
  })
  const sent = (): string[] => it.inbox.map(({ id }) => id).filter((id) => id.includes('-r2-'))
  await until(() => sent().length > 0)
  await it.clock.settle()
  expect(sent()).toEqual(['history-r2-1-2'])
  hasRoom.resolve()
  await until(() => sent().length === 3)
  expect(sent()).toEqual(['history-r2-1-2', 'history-r2-1-1', 'run-r2-1'])
})

test('a message that no part can hold is refused by name, wherever in a history it is', () => {
  const small = { role: 'user' as const, content: 'small' }
  const large = { role: 'user' as const, content: 'x'.repeat(9 * 1024 * 1024) }
  for (const messages of [[large], [small, large], [large, small]])
    expect(() => encodeAssignment({ ...assignment, messages }, 'worker.1')).toThrow(
      expect.objectContaining({ code: 'SPEC_TOO_LARGE' }),
    )
})
