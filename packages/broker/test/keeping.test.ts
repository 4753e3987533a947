/** What a broker keeps, beyond the contract of the bus: for operators, damaged payloads, beyond its cache, on a full disk. */
import { connectOperator } from '@greenroom/bus'
import type { Delivery, Peer } from '@greenroom/proto'
import { createMemoryStore, restoreBackup } from '@greenroom/store'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
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

describe('operators', () => {
  test('are those who show their own token; everybody else is FORBIDDEN, and stays', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken })
    await attach(broker, 'sender')
    const questions = [
      ...['mailboxes', 'dead-letters', 'show', 'requeue', 'purge'].map((op) => ({
        t: 'admin',
        op,
        address: 'sender',
        id: 'm',
      })),
      { t: 'delete', address: 'sender' },
    ]
    const codes = async (client: RawClient, from: number): Promise<unknown[]> => {
      const answers = questions.map(async (question, index) => {
        client.say({ ...question, req: from + index })
        const answer = await client.answer(from + index)
        return answer.t === 'error' ? answer.code : answer.t
      })
      return Promise.all(answers)
    }
    const forbidden = questions.map(() => 'FORBIDDEN')
    const allowed = ['ok', 'ok', 'UNKNOWN_LETTER', 'UNKNOWN_LETTER', 'UNKNOWN_LETTER', 'MAILBOX_IN_USE']
    using client = await RawClient.attached(broker.url ?? '', token, 'client')
    expect(await codes(client, 10)).toEqual(forbidden)
    using operator = await RawClient.open(broker.url ?? '', operatorToken)
    expect(await codes(operator, 10)).toEqual(allowed)
    // A newer token is worth what it says, not what the older one said.
    operator.say({ t: 'renew', req: 1, token })
    expect(await operator.answer(1)).toMatchObject({ t: 'ok' })
    expect(await codes(operator, 20)).toEqual(forbidden)
    client.say({ t: 'renew', req: 1, token: operatorToken })
    expect(await client.answer(1)).toMatchObject({ t: 'ok' })
    expect(await codes(client, 20)).toEqual(allowed)
  })

  test('are nobody at a broker that was given no token for them', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token })
    using client = await RawClient.open(broker.url ?? '', token)
    client.say({ t: 'admin', req: 1, op: 'mailboxes' })
    expect(await client.answer(1)).toMatchObject({ t: 'error', code: 'FORBIDDEN' })
    const stranger = connectOperator({ url: broker.url ?? '', token: operatorToken })
    await expect(stranger).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  })

  test('learn at once that the broker is gone, or never was there', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken })
    const at = { url: broker.url ?? '', token: operatorToken }
    await using operator = await connectOperator(at)
    const asked = operator.mailboxes()
    await Promise.all([expect(asked).rejects.toMatchObject({ code: 'CONNECT_FAILED' }), broker.close()])
    await expect(operator.mailboxes()).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
    await expect(connectOperator(at)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
    await expect(connectOperator({ ...at, url: 'http://nowhere' })).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
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
    operator.say({ t: 'admin', req: req + 1, op: 'mailboxes', address: 'mailbox.7' })
    operator.say({ t: 'admin', req: req + 2, op: 'mailboxes', address: 'mailbox.300' })
    const [one] = (await broker.operator.mailboxes()).filter(({ address }) => address === 'mailbox.7')
    expect(await operator.answer(req + 1)).toMatchObject({ t: 'ok', rows: [one] })
    expect(await operator.answer(req + 2)).toMatchObject({ t: 'error', code: 'UNKNOWN_MAILBOX' })
  })
})

describe('a backup that an operator asks for', () => {
  test('is written while the broker works, by its own path, and nowhere else', async () => {
    using folder = temporaryFolder()
    const dir = join(folder.path, 'data')
    await using broker = await createBroker({ dir, listen: { port: 0 }, token, operatorToken })
    const { peer } = await attach(broker, 'sender')
    await peer.send(note('inbox', 'm1'))
    await using operator = await connectOperator({ url: broker.url ?? '', token: operatorToken })
    const path = join(folder.path, 'backup.db')
    expect(await operator.backup(path)).toEqual({ path, bytes: statSync(path).size })
    await peer.send(note('inbox', 'm2'))
    for (const bad of ['backup.db', join(dir, 'backup.db'), join(dir, 'store.db'), import.meta.filename])
      await expect(operator.backup(bad)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    const nowhere = join(folder.path, 'none', 'backup.db')
    await expect(operator.backup(nowhere)).rejects.toMatchObject({ code: 'BAD_OPTIONS' })
    await expect(broker.operator.backup(nowhere)).rejects.toMatchObject({ name: 'GreenroomError', code: 'BAD_OPTIONS' })
    restoreBackup({ from: path, dir: join(folder.path, 'restored'), schema: brokerSchema })
    await using restored = await createBroker({ dir: join(folder.path, 'restored') })
    expect((await restored.operator.mailboxes()).map(({ address, messages }) => [address, messages])).toContainEqual([
      'inbox',
      1,
    ])
  })

  test('is refused where nothing is on a disk, and to clients', async () => {
    await using broker = await createBroker({ listen: { port: 0 }, token, operatorToken })
    await expect(broker.operator.backup('/tmp/none.db')).rejects.toMatchObject({ code: 'MISSING_FEATURE' })
    await using stranger = await connectOperator({ url: broker.url ?? '', token })
    await expect(stranger.backup('/tmp/none.db')).rejects.toMatchObject({ code: 'FORBIDDEN' })
  })
})

describe('damage', () => {
  /** Turns one bit of that payload in the file itself, in what was deleted too, and nothing else. */
  function flip(dir: string, payload: string): void {
    const path = join(dir, 'store.db')
    const file = readFileSync(path)
    expect(file.indexOf(payload)).toBeGreaterThan(0)
    for (let at = file.indexOf(payload); at >= 0; at = file.indexOf(payload, at))
      file.writeUInt8(file.readUInt8(at + 3) ^ 1, at + 3)
    writeFileSync(path, file)
  }

  const letters = async (broker: Broker): Promise<unknown> =>
    (await broker.operator.deadLetters()).map((letter) => {
      const { address, id, attempts } = letter
      return { address, id, attempts, history: letter.history.map(({ why, by }) => [why, by]) }
    })

  test('a payload in which a bit changed is never delivered: it is a dead letter, and its sender is told', async () => {
    using folder = temporaryFolder()
    const dir = join(folder.path, 'data')
    {
      await using broker = await createBroker({ dir })
      const { peer } = await attach(broker, 'sender')
      await peer.send(note('inbox', 'bad', 'a payload that will be damaged'))
      await peer.send(note('inbox', 'good'))
      await peer.close()
    }
    flip(dir, 'a payload that will be damaged')
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
    const damaged = { address: 'inbox', id: 'bad' }
    expect(await letters(broker)).toEqual([{ ...damaged, attempts: 0, history: [['damaged', 'inbox-1']] }])
    await expect(broker.operator.deadLetter(damaged)).rejects.toMatchObject({ code: 'PAYLOAD_DAMAGED' })
    await expect(broker.operator.requeue(damaged)).rejects.toMatchObject({ code: 'PAYLOAD_DAMAGED' })
    await turns()
    expect(inbox.came.map(({ id }) => id)).toEqual(['good'])
    // Its id is known; to send it anew takes another one, or that a person purges the letter and the window passes.
    const again = sender.peer.send(note('inbox', 'bad', 'a payload that will be damaged'))
    expect(await again).toMatchObject({ duplicate: true })
    expect(await broker.operator.purge(damaged)).toBe(1)
  })

  test('a dead letter that was damaged is not put back into its mailbox', async () => {
    using folder = temporaryFolder()
    const dir = join(folder.path, 'data')
    {
      await using broker = await createBroker({ dir, maxAttempts: 1 })
      const { peer } = await attach(broker, 'sender')
      await peer.send(note('inbox', 'poison', 'a letter that will be damaged'))
      const { came } = await attach(broker, 'inbox')
      while (came.length === 0) await turn()
      await came[0]?.nack()
    }
    flip(dir, 'a letter that will be damaged')
    await using broker = await createBroker({ dir })
    const inbox = await attach(broker, 'inbox', { incarnation: 'inbox-2' })
    const letter = { address: 'inbox', id: 'poison' }
    await expect(broker.operator.requeue(letter)).rejects.toMatchObject({ code: 'PAYLOAD_DAMAGED' })
    await turns()
    expect(inbox.came).toEqual([])
    expect(await letters(broker)).toMatchObject([letter])
  })
})

test('beyond the cache payloads are read back from the disk', async () => {
  using folder = temporaryFolder()
  await using broker = await createBroker({ dir: join(folder.path, 'data'), limits: { cacheBytes: 1 } })
  const { peer } = await attach(broker, 'sender')
  for (let index = 0; index < 20; index += 1) await peer.send(note('inbox', `m${index}`, `content ${index}`))
  const { came } = await attach(broker, 'inbox')
  await turns()
  expect(came.map(({ payload }) => text(payload))).toEqual(Array.from({ length: 20 }, (_, index) => `content ${index}`))
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
