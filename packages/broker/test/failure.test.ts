/** Commits that fail: what clients are told, and that nothing is half done. */
import { createManualClock } from '@greenroom/bus/testing'
import { codeOf, type Delivery } from '@greenroom/proto'
import { createMemoryStore, type CommitFault, type MemoryStore } from '@greenroom/store'
import { describe, expect, test } from 'vitest'
import { brokerSchema, createBroker } from '../src/index.ts'
import { RawClient } from './raw-client.ts'

const token = 'a-token-of-enough-length'
const payload = new Uint8Array([1])
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A store whose next commits end as they are told to. */
function fragile(): { readonly store: MemoryStore; readonly faults: CommitFault['outcome'][] } {
  const faults: CommitFault['outcome'][] = []
  const store = createMemoryStore({
    schema: brokerSchema,
    defer: (task) => setImmediate(task),
    faults: () => {
      const outcome = faults.shift()
      return outcome && { outcome }
    },
  })
  return { store, faults }
}

describe('a commit whose fate is unknown', () => {
  test.for(['fails', 'lies', 'limbo'] as const)(
    '(%s) is told as COMMIT_UNKNOWN, and the same id again settles it',
    async (fault) => {
      const { store, faults } = fragile()
      await using broker = await createBroker({ store, listen: { port: 0 }, token })
      using client = await RawClient.attached(broker.url ?? '', token, 'inbox')
      const message = { t: 'send', to: 'inbox', id: 'm1', kind: 'run' }

      faults.push(fault)
      client.say({ ...message, req: 1 }, payload)
      expect(await client.answer(1)).toMatchObject({ t: 'error', code: 'COMMIT_UNKNOWN' })
      client.say({ ...message, req: 2 }, payload)
      expect(await client.answer(2)).toEqual({ t: 'ok', req: 2, seq: 1 })
      await client.heard(({ t }) => t === 'deliver')

      faults.push(fault)
      client.say({ t: 'claim', req: 3, id: 'm1' })
      expect(await client.answer(3)).toMatchObject({ t: 'error', code: 'COMMIT_UNKNOWN' })
      client.say({ t: 'claim', req: 4, id: 'm1' })
      expect(await client.answer(4)).toEqual({ t: 'ok', req: 4 })

      faults.push(fault)
      client.say({ t: 'revoke', req: 5, to: 'inbox', id: 'm2' })
      expect(await client.answer(5)).toMatchObject({ t: 'error', code: 'COMMIT_UNKNOWN' })
      client.say({ t: 'revoke', req: 6, to: 'inbox', id: 'm2' })
      expect(await client.answer(6)).toMatchObject({ t: 'ok' })
      client.say({ ...message, req: 7, id: 'm2' }, payload)
      expect(await client.answer(7)).toMatchObject({ t: 'error', code: 'REVOKED' })
      expect(client.headers.filter(({ t }) => t === 'deliver').length).toBe(1)
      expect(broker.stats()).toMatchObject({ messages: 0, bytes: 0, failedCommits: 3 })
      await broker.close()
      await store.close()
    },
  )

  test('is settled by the in-process bus itself', async () => {
    const { store, faults } = fragile()
    await using broker = await createBroker({ store })
    const came: Delivery[] = []
    const peer = await broker.bus.attach({
      address: 'inbox',
      incarnation: 'i1',
      lifetime: 'incarnation',
      onMessage: (message) => came.push(message),
    })
    faults.push('fails', 'lies')
    expect(await peer.send({ to: 'inbox', id: 'm1', kind: 'run', payload })).toEqual({ seq: 1, duplicate: false })
    while (came.length === 0) await turn()
    faults.push('lies', 'fails')
    await came[0]?.claim()
    expect(await peer.revoke({ to: 'inbox', id: 'm1' })).toBe('claimed')
    faults.push('lies')
    await peer.drain()
    expect(broker.stats()).toMatchObject({ failedCommits: 5, attached: 0, suspect: 0, gone: 1 })
  })
})

test('the same message twice at once is one message', async () => {
  const { store, faults } = fragile()
  await using broker = await createBroker({ store })
  const peer = await broker.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
  const message = { to: 'inbox', id: 'm1', kind: 'note', payload }
  const receipts = await Promise.all([peer.send(message), peer.send(message), peer.send(message)])
  expect(receipts).toEqual([
    { seq: 1, duplicate: false },
    { seq: 1, duplicate: true },
    { seq: 1, duplicate: true },
  ])
  // The first of two fails: the second is then the one that is stored.
  faults.push('fails')
  const again = await Promise.all([peer.send({ ...message, id: 'm2' }), peer.send({ ...message, id: 'm2' })])
  expect(again.map(({ seq }) => seq)).toEqual([2, 2])
  expect(again.filter(({ duplicate }) => duplicate).length).toBe(1)
})

describe('a message of a mailbox that is deleted is delivered or returned, never both and never neither', () => {
  const whens = [[], ['stored'], ['stored', 'stored']] as const
  const cases = whens.flatMap((before) =>
    (['fails', 'lies', 'limbo'] as const).map((fault) => [...before, fault] as const),
  )
  for (const restart of ['goes on', 'is restarted', 'loses its power'] as const)
    test.for(cases)(`when commits end as %s, %s, %s and the broker then ${restart}`, async (ends) => {
      const { store, faults } = fragile()
      const clock = createManualClock()
      let broker = await createBroker({ store, clock })
      const returned: Delivery[] = []
      const sender = {
        address: 'sender',
        incarnation: 's1',
        lifetime: 'named',
        onMessage: (message: Delivery) => void returned.push(message),
      } as const
      let peer = await broker.bus.attach(sender)
      await peer.send({ to: 'inbox', id: 'm1', kind: 'note', payload })
      faults.push(...ends)
      await broker.operator
        .deleteMailbox('inbox')
        .catch((error: unknown) => expect(codeOf(error)).toBe('COMMIT_UNKNOWN'))
      let left = store
      if (restart !== 'goes on') {
        faults.length = 0
        left = restart === 'is restarted' ? store : store.powerCut()
        await broker.close()
        returned.length = 0
        broker = await createBroker({ store: left, clock })
        peer = await broker.bus.attach(sender)
      }
      const came: Delivery[] = []
      const attaching = broker.bus.attach({
        address: 'inbox',
        incarnation: 'i1',
        lifetime: 'named',
        onMessage: (message) => came.push(message),
      })
      for (let round = 0; round < 20; round += 1) {
        clock.jump(1_000)
        for (let count = 0; count < 5; count += 1) await turn()
      }
      await attaching
      const ids = [...came, ...returned].map(({ id, kind }) => (kind === 'undeliverable' ? 'returned' : id))
      expect(ids).toHaveLength(1)
      await peer.send({ to: 'inbox', id: 'm2', kind: 'note', payload })
      while (came.at(-1)?.id !== 'm2') await turn()
      await broker.close()
    })
})

test('a message whose revocation could not be stored is there as before, until it is revoked again', async () => {
  const { store, faults } = fragile()
  await using broker = await createBroker({ store, listen: { port: 0 }, token })
  const url = broker.url ?? ''
  using sender = await RawClient.attached(url, token, 'sender')
  for (const [req, id] of ['m1', 'm2'].entries()) {
    sender.say({ t: 'send', req: req + 1, to: 'inbox', id, kind: 'run' }, payload)
    await sender.answer(req + 1)
  }
  faults.push('fails')
  sender.say({ t: 'revoke', req: 3, to: 'inbox', id: 'm1' })
  expect(await sender.answer(3)).toMatchObject({ t: 'error', code: 'COMMIT_UNKNOWN' })
  using inbox = await RawClient.attached(url, token, 'inbox')
  await inbox.heard((header) => header.t === 'deliver' && header.id === 'm2')
  expect(inbox.headers.flatMap((header) => (header.t === 'deliver' ? [header.id] : []))).toEqual(['m1', 'm2'])
  sender.say({ t: 'revoke', req: 4, to: 'inbox', id: 'm1' })
  expect(await sender.answer(4)).toEqual({ t: 'ok', req: 4, revoked: 'withdrawn' })
  inbox.say({ t: 'claim', req: 1, id: 'm1' })
  expect(await inbox.answer(1)).toMatchObject({ t: 'error', code: 'REVOKED' })
})

test('what is held, and was to be written along with a commit that fails, is written along with the next one', async () => {
  const { store, faults } = fragile()
  const seat = { address: 'inbox', lifetime: 'named' } as const
  {
    await using broker = await createBroker({ store })
    const came = Promise.withResolvers<Delivery>()
    const onMessage = (message: Delivery): void => came.resolve(message)
    const peer = await broker.bus.attach({ ...seat, incarnation: 'i1', onMessage })
    await peer.send({ to: 'inbox', id: 'm1', kind: 'note', payload })
    expect(await came.promise).toMatchObject({ id: 'm1', attempt: 1 })
    faults.push('fails')
    await peer.send({ to: 'other', id: 'm2', kind: 'note', payload })
    expect(broker.stats().failedCommits).toBe(1)
  }
  await using broker = await createBroker({ store })
  const came = Promise.withResolvers<Delivery>()
  const onMessage = (message: Delivery): void => came.resolve(message)
  await broker.bus.attach({ ...seat, incarnation: 'i2', onMessage })
  expect(await came.promise).toMatchObject({ id: 'm1', attempt: 2 })
})

test('what was left in the mailbox of a life that is over is withdrawn or returned at the next start', async () => {
  const { store, faults } = fragile()
  const sender = { address: 'sender', incarnation: 's1', lifetime: 'named' } as const
  {
    await using broker = await createBroker({ store })
    const peer = await broker.bus.attach(sender)
    await peer.send({ to: 'worker.1', id: 'm1', kind: 'note', payload })
    await peer.send({ to: 'worker.1', id: 'r1', kind: 'run', payload })
    faults.push('stored', 'fails')
    await peer.fence({ address: 'worker.1', incarnation: 'w1' })
    expect(broker.stats()).toMatchObject({ messages: 2, failedCommits: 1 })
  }
  await using broker = await createBroker({ store })
  const came = Promise.withResolvers<Delivery>()
  const onMessage = (message: Delivery): void => came.resolve(message)
  const peer = await broker.bus.attach({ ...sender, onMessage })
  expect(await came.promise).toMatchObject({ kind: 'undeliverable', from: 'worker.1' })
  while (broker.stats().messages > 1) await turn()
  for (const id of ['m1', 'r1']) expect(await peer.revoke({ to: 'worker.1', id })).toBe('withdrawn')
  await expect(peer.send({ to: 'worker.1', id: 'r2', kind: 'run', payload })).rejects.toMatchObject({
    code: 'MAILBOX_CLOSED',
  })
})

test('a broker whose store has ended ends too', async () => {
  const { store } = fragile()
  const events: string[] = []
  await using broker = await createBroker({
    store,
    listen: { port: 0 },
    token,
    logger: (_level, event) => events.push(event),
  })
  using client = await RawClient.attached(broker.url ?? '', token, 'inbox')
  await store.close()
  await broker.closed
  await client.ended
  expect(events).toEqual(['store ended'])
})

// Found by the schedules.
describe('regressions', () => {
  test('a number is not given twice after a refusal while an earlier message was on its way', async () => {
    let free = Number.POSITIVE_INFINITY
    await using store = createMemoryStore({ schema: brokerSchema, freeBytes: () => free })
    const message = { to: 'inbox', kind: 'note', payload }
    {
      await using broker = await createBroker({ store })
      const peer = await broker.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
      await peer.send({ ...message, id: 'm1' })
      const second = peer.send({ ...message, id: 'm2' })
      free = 0
      await expect(peer.send({ ...message, id: 'm3' })).rejects.toMatchObject({ code: 'STORAGE_FULL' })
      expect(await second).toEqual({ seq: 2, duplicate: false })
      for (const id of ['m1', 'm2']) expect(await peer.revoke({ to: 'inbox', id })).toBe('withdrawn')
    }
    free = Number.POSITIVE_INFINITY
    await using broker = await createBroker({ store })
    const peer = await broker.bus.attach({ address: 'sender', incarnation: 's2', lifetime: 'named' })
    // Nor by what is refused first in this life, where somebody has the mailbox.
    await broker.bus.attach({ address: 'inbox', incarnation: 'i1', lifetime: 'named' })
    free = 0
    await expect(peer.send({ ...message, id: 'm3' })).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    free = Number.POSITIVE_INFINITY
    expect(await peer.send({ ...message, id: 'm3' })).toEqual({ seq: 3, duplicate: false })
  })

  test('a number that is on its way is not given to the message after a refusal', async () => {
    let free = Number.POSITIVE_INFINITY
    await using store = createMemoryStore({ schema: brokerSchema, freeBytes: () => free, defer: setImmediate })
    await using broker = await createBroker({ store })
    const peer = await broker.bus.attach({ address: 'sender', incarnation: 's1', lifetime: 'named' })
    const message = { to: 'inbox', kind: 'note', payload }
    const first = peer.send({ ...message, id: 'm1' })
    free = 0
    await expect(peer.send({ ...message, id: 'm2' })).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    free = Number.POSITIVE_INFINITY
    const seqs = (await Promise.all([first, peer.send({ ...message, id: 'm3' })])).map(({ seq }) => seq)
    expect(seqs).toEqual([1, 3])
    free = 0
    await expect(peer.send({ ...message, id: 'm4' })).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    free = Number.POSITIVE_INFINITY
    // Nothing else was on its way: the refused number is the next one's.
    expect(await peer.send({ ...message, id: 'm5' })).toEqual({ seq: 4, duplicate: false })
  })

  test('what a commit of unknown fate left behind stays in doubt when it is refused the next time', async () => {
    const { store, faults } = fragile()
    {
      await using broker = await createBroker({ store, listen: { port: 0 }, token })
      using client = await RawClient.open(broker.url ?? '', token)
      const message = { t: 'send', to: 'inbox', kind: 'note' }
      // Two at once, so that what comes later does not take the first one's number.
      faults.push('lies')
      client.say({ ...message, req: 1, id: 'm1' }, payload)
      client.say({ ...message, req: 2, id: 'm2' }, payload)
      await client.answer(2)
      faults.push('full')
      client.say({ ...message, req: 3, id: 'm1' }, payload)
      client.say({ ...message, req: 4, id: 'm2' }, payload)
      expect(await client.answer(4)).toMatchObject({ code: 'STORAGE_FULL' })
      client.say({ ...message, req: 5, id: 'm2' }, new Uint8Array([2]))
      expect(await client.answer(5)).toMatchObject({ t: 'ok', seq: 1 })
    }
    await using broker = await createBroker({ store })
    const came: Delivery[] = []
    const onMessage = (message: Delivery): void => void came.push(message)
    await broker.bus.attach({ address: 'inbox', incarnation: 'i1', lifetime: 'named', onMessage })
    for (let count = 0; count < 10; count += 1) await turn()
    expect(came.map(({ id, seq, payload: [content] }) => [id, seq, content])).toEqual([['m2', 1, 2]])
  })

  // Found by the simulator: an ack that nobody repeats leaves its message held, a fence leaves a mailbox open, for ever.
  test('only a send is refused on a full disk: what makes room is said again until it is stored', async () => {
    const { store, faults } = fragile()
    await using broker = await createBroker({ store })
    const came = Promise.withResolvers<Delivery>()
    const peer = await broker.bus.attach({
      address: 'inbox',
      incarnation: 'i1',
      lifetime: 'named',
      onMessage: (message) => came.resolve(message),
    })
    faults.push('full')
    const message = { to: 'inbox', id: 'm1', kind: 'note', payload }
    await expect(peer.send(message)).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    await peer.send(message)
    const delivery = await came.promise
    faults.push('full')
    await delivery.ack()
    await peer.send({ to: 'worker.1', id: 'm2', kind: 'run', payload })
    faults.push('full')
    await peer.fence({ address: 'worker.1', incarnation: 'w1' })
    expect(await peer.revoke({ to: 'worker.1', id: 'm2' })).toBe('withdrawn')
    expect(broker.stats()).toMatchObject({ messages: 0, mailboxes: 1 })
  })

  test.for(['fails', 'lies'] as const)(
    'a dead letter whose requeueing was cut off (%s) is back, and no letter that could be purged',
    async (fault) => {
      const { store, faults } = fragile()
      await using broker = await createBroker({ store, maxAttempts: 1 })
      const came: Delivery[] = []
      const consumer = { address: 'inbox', incarnation: 'i1', lifetime: 'named' } as const
      const peer = await broker.bus.attach({ ...consumer, onMessage: (message) => came.push(message) })
      await peer.send({ to: 'inbox', id: 'm1', kind: 'note', payload })
      while (came.length === 0) await turn()
      await came[0]?.nack()
      const letter = { address: 'inbox', id: 'm1' }
      faults.push('stored', fault)
      await expect(broker.operator.requeue(letter)).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' })
      expect(await broker.operator.deadLetters()).toEqual([])
      expect(await broker.operator.mailboxes()).toMatchObject([{ address: 'inbox', deadLetters: 0 }])
      await expect(broker.operator.purge(letter)).rejects.toMatchObject({ code: 'UNKNOWN_LETTER' })
      while (came.length === 1) await turn()
      expect(came[1]).toMatchObject({ id: 'm1', attempt: 1 })
      await came[1]?.ack()
      expect(await broker.operator.deadLetters()).toEqual([])
      await expect(broker.operator.purge({ address: 'inbox' })).rejects.toMatchObject({ code: 'UNKNOWN_LETTER' })
    },
  )

  test('the sender of a message in a closing mailbox is told, even if the end is unknown and the power is cut', async () => {
    const { store, faults } = fragile()
    const sender = { address: 'sender', incarnation: 's1', lifetime: 'named' } as const
    const first = await createBroker({ store })
    const peer = await first.bus.attach(sender)
    await peer.send({ to: 'worker.1', id: 'm1', kind: 'note', payload })
    faults.push('stored', 'stored', 'lies')
    await peer.fence({ address: 'worker.1', incarnation: 'w1' })
    await peer.send({ to: 'other', id: 'm2', kind: 'note', payload })
    const left = store.powerCut()
    await using broker = await createBroker({ store: left })
    const came: Delivery[] = []
    await broker.bus.attach({ ...sender, onMessage: (message) => came.push(message) })
    while (came.length === 0) await turn()
    for (let count = 0; count < 10; count += 1) await turn()
    expect(came.map(({ kind, from }) => [kind, from])).toEqual([['undeliverable', 'worker.1']])
  })
})
