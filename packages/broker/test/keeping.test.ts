/** What a broker keeps and what it lets go: dead letters, damaged payloads, quotas, a full disk, ids that are too old. */
import { createManualClock } from '@greenroom/bus/testing'
import type { Delivery, Peer } from '@greenroom/proto'
import { createMemoryStore, openStore } from '@greenroom/store'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { brokerSchema, createBroker, type Broker } from '../src/index.ts'
import { RawClient } from './raw-client.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'a-token-of-enough-length'
const operatorToken = 'an-operators-token'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (payload: Uint8Array): string => new TextDecoder().decode(payload)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function turns(count = 30): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn()
}

/** A peer, and what came to it. */
async function attach(broker: Broker, address: string, more: object = {}): Promise<{ peer: Peer; came: Delivery[] }> {
  const came: Delivery[] = []
  const peer = await broker.bus.attach({
    address,
    incarnation: `${address}-1`,
    lifetime: 'named',
    onMessage: (message) => came.push(message),
    ...more,
  })
  return { peer, came }
}

const note = (to: string, id: string, content = id): { to: string; id: string; kind: string; payload: Uint8Array } => ({
  to,
  id,
  kind: 'note',
  payload: bytes(content),
})

describe('dead letters', () => {
  async function poisoned(broker: Broker): Promise<void> {
    const { peer } = await attach(broker, 'sender')
    const { peer: victim } = await attach(broker, 'victim', { onMessage: (message: Delivery) => void message.nack() })
    await peer.send(note('victim', 'poison'))
    while (broker.stats().deadLetters === 0) await turn()
    await victim.close()
  }

  test('a message that came back maxAttempts times is kept aside with its history and payload', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken, maxAttempts: 3 })
    await poisoned(broker)
    using operator = await RawClient.open(broker.url ?? '', operatorToken)
    operator.say({ t: 'admin', req: 1, op: 'dead-letters' })
    const expected = { address: 'victim', id: 'poison', kind: 'note', from: 'sender', attempts: 3 }
    expect(await operator.answer(1)).toMatchObject({ t: 'ok', rows: [expected] })
    operator.say({ t: 'admin', req: 2, op: 'show', address: 'victim', id: 'poison' })
    const shown = await operator.answer(2)
    expect(shown).toMatchObject({
      rows: [{ ...expected, history: [{ why: 'nack' }, { why: 'nack' }, { why: 'nack' }] }],
    })
    expect(broker.stats().messages).toBe(0)
  })

  test('a requeued letter is delivered as if it were new, and is not dead any more', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken, maxAttempts: 2 })
    await poisoned(broker)
    using operator = await RawClient.open(broker.url ?? '', operatorToken)
    operator.say({ t: 'admin', req: 1, op: 'requeue', address: 'victim', id: 'poison' })
    expect(await operator.answer(1)).toMatchObject({ t: 'ok' })
    const { came } = await attach(broker, 'victim')
    await turns()
    expect(came.map(({ id, attempt, payload }) => [id, attempt, text(payload)])).toEqual([['poison', 1, 'poison']])
    operator.say({ t: 'admin', req: 2, op: 'dead-letters', address: 'victim' })
    expect(await operator.answer(2)).toMatchObject({ rows: [] })
    await came[0]?.ack()
    operator.say({ t: 'admin', req: 3, op: 'requeue', address: 'victim', id: 'poison' })
    expect(await operator.answer(3)).toMatchObject({ t: 'error', code: 'UNKNOWN_LETTER' })
  })

  test('a revoked letter is withdrawn, and is no letter any more', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken, maxAttempts: 1 })
    await poisoned(broker)
    const { peer } = await attach(broker, 'other')
    expect(await peer.revoke({ to: 'victim', id: 'poison' })).toBe('withdrawn')
    using operator = await RawClient.open(broker.url ?? '', operatorToken)
    operator.say({ t: 'admin', req: 1, op: 'requeue', address: 'victim', id: 'poison' })
    expect(await operator.answer(1)).toMatchObject({ t: 'error', code: 'UNKNOWN_LETTER' })
    operator.say({ t: 'admin', req: 2, op: 'purge', address: 'victim' })
    expect(await operator.answer(2)).toMatchObject({ t: 'error', code: 'UNKNOWN_LETTER' })
  })

  test('lists longer than a header go on in another one', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken })
    const { peer } = await attach(broker, 'sender')
    for (let index = 0; index < 300; index += 1) await peer.send(note(`mailbox.${index}`, 'm'))
    using operator = await RawClient.open(broker.url ?? '', operatorToken)
    const seen: unknown[] = []
    let after: string | undefined
    let req = 0
    do {
      req += 1
      operator.say({ t: 'admin', req, op: 'mailboxes', ...(after !== undefined && { after }) })
      const answer = await operator.answer(req)
      if (answer.t !== 'ok') throw new Error(answer.t)
      seen.push(...(answer.rows ?? []))
      after = answer.next
    } while (after !== undefined)
    expect(req).toBeGreaterThan(2)
    expect(seen).toEqual(await broker.operator.mailboxes())
    expect(seen).toHaveLength(301)
  })
})

describe('damage', () => {
  test('a payload that does not match its digest is never delivered; it is quarantined, and its sender is told', async () => {
    using folder = temporaryFolder()
    const dir = join(folder.path, 'data')
    {
      await using broker = await createBroker({ dir })
      const { peer } = await attach(broker, 'sender')
      await peer.send(note('inbox', 'good'))
      await peer.send(note('inbox', 'bad'))
      await peer.close()
    }
    {
      await using store = await openStore({ dir, schema: brokerSchema })
      const [, bad] = store.scan('message', { prefix: 'inbox/' })
      if (bad?.body === undefined) throw new Error('no message')
      await store.commit([{ put: 'message', key: bad.key, meta: bad.meta, body: bytes('bda') }])
    }
    const events: string[] = []
    await using broker = await createBroker({ dir, logger: (_level, event) => events.push(event) })
    const sender = await attach(broker, 'sender')
    const inbox = await attach(broker, 'inbox')
    while (sender.came.length === 0 || broker.stats().quarantined === 0) await turn()
    expect(inbox.came.map(({ id }) => id)).toEqual(['good'])
    expect(sender.came.map(({ kind, payload }) => [kind, text(payload)])).toEqual([
      ['undeliverable', '{"to":"inbox","id":"bad","kind":"note"}'],
    ])
    expect(events).toContain('payload damaged')
  })
})

describe('quotas', () => {
  test.for([
    ['messages of a mailbox', { mailboxMessages: 3 }],
    ['bytes of a mailbox', { mailboxBytes: 30 }],
    ['messages in total', { totalMessages: 3 }],
    ['bytes in total', { totalBytes: 30 }],
  ] as const)('beyond the %s a send is refused with MAILBOX_FULL, and nothing of it is kept', async ([, limits]) => {
    await using broker = await createBroker({ limits })
    const { peer } = await attach(broker, 'sender')
    const inbox = await attach(broker, 'inbox', { credit: 1 })
    for (const id of ['m1', 'm2', 'm3']) await peer.send(note('inbox', id, '0123456789'))
    await expect(peer.send(note('inbox', 'm4', '0123456789'))).rejects.toMatchObject({
      code: 'MAILBOX_FULL',
      retry: 'later',
    })
    expect(broker.stats()).toMatchObject({ messages: 3, bytes: 30 })
    await turns()
    await inbox.came[0]?.ack()
    expect(await peer.send(note('inbox', 'm4', '0123456789'))).toEqual({ seq: 4, duplicate: false })
  })

  test('while many are being committed at once none gets beyond the limit', async () => {
    await using broker = await createBroker({ limits: { mailboxMessages: 10 } })
    const { peer } = await attach(broker, 'sender')
    const sent = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) => peer.send(note('inbox', `m${index}`))),
    )
    expect(sent.filter(({ status }) => status === 'fulfilled').length).toBe(10)
  })

  test('beyond the cache payloads are read back from the disk', async () => {
    using folder = temporaryFolder()
    await using broker = await createBroker({ dir: join(folder.path, 'data'), limits: { cacheBytes: 1 } })
    const { peer } = await attach(broker, 'sender')
    for (let index = 0; index < 20; index += 1) await peer.send(note('inbox', `m${index}`, `content ${index}`))
    const { came } = await attach(broker, 'inbox')
    await turns()
    expect(came.map(({ payload }) => text(payload))).toEqual(
      Array.from({ length: 20 }, (_, index) => `content ${index}`),
    )
  })
})

test('on a full disk only sends are refused: acks, claims, revocations and attaches go on', async () => {
  let free = Number.POSITIVE_INFINITY
  await using store = createMemoryStore({ schema: brokerSchema, freeBytes: () => free })
  await using broker = await createBroker({ store })
  const { peer } = await attach(broker, 'sender')
  for (const id of ['m1', 'm2', 'm3']) await peer.send(note('inbox', id))
  free = 0
  await expect(peer.send(note('inbox', 'm4'))).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  const { came } = await attach(broker, 'inbox')
  await turns()
  await came[0]?.ack()
  await came[1]?.claim()
  expect(await peer.revoke({ to: 'inbox', id: 'm3' })).toBe('withdrawn')
  expect(broker.stats().messages).toBe(0)
})

test('ids are remembered for the dedupe window, and forgotten after it', async () => {
  const clock = createManualClock()
  const windowMs = 3_600_000
  await using broker = await createBroker({ clock, dedupeWindowMs: windowMs, partitionGraceMs: 10 * windowMs })
  const { peer } = await attach(broker, 'sender')
  const { came } = await attach(broker, 'inbox')
  await peer.send(note('inbox', 'm1'))
  await turns()
  await came[0]?.ack()
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 60_000) {
      clock.jump(60_000)
      await turns(3)
    }
  }
  await pass(windowMs - 60_000)
  expect(await peer.send(note('inbox', 'm1'))).toEqual({ seq: 1, duplicate: true })
  await pass(300_000)
  expect(await peer.send(note('inbox', 'm1'))).toEqual({ seq: 2, duplicate: false })
})
