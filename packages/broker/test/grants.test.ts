/**
 * What a token does not grant has no effect, and is answered with the same words whatever exists.
 *
 * The matrix is made of two tables: every frame that a client can say, each with what of a token grants it, and every
 * field of the grants. Each frame is said with each field alone: granted for this name, for another, by the beginning of
 * names, or not; and about what exists and what does not.
 */
import {
  clientGrants,
  errors,
  ownNames,
  residentGrants,
  runnerGrants,
  workerGrants,
  type BrokerHeader,
  type ClientHeader,
  type Grants,
  type NameKind,
} from '@greenroom/proto'
import { describe, expect, test } from 'vitest'
import { createBroker, readToken, signToken, type Broker } from '../src/index.ts'
import { RawClient } from './raw-client.ts'

const token = 'a-token-of-enough-length'
const key = 'a key that is thirty-two bytes, or more'
const payload = new Uint8Array([1])

type Listening = Broker & { readonly url: string }

async function open(logged: string[] = []): Promise<Listening> {
  const broker = await createBroker({
    listen: { port: 0 },
    token,
    operatorToken: 'an-operator-token-of-enough-length',
    tokenKeys: [key],
    logger: (...said) => void logged.push(JSON.stringify(said)),
  })
  const { url } = broker
  if (url === undefined) throw new Error('it does not listen')
  return Object.assign(broker, { url })
}

function tokenOf(grants: Grants, subject = 'somebody'): Promise<string> {
  return signToken(key, { subject, grants, expiresAt: Date.now() + 60_000 })
}

type Said = Exclude<ClientHeader, { t: 'hello' }>
type Field = Exclude<keyof Grants, 'approvals' | 'issueMs'>

/** One frame of each kind about `theirs`, and the field of the grants that allows it; none: being attached is enough. */
const frames: { readonly [T in Said['t']]: readonly [field: Field | undefined, header: Extract<Said, { t: T }>] } = {
  attach: [
    'consume',
    { t: 'attach', req: 7, address: 'theirs', incarnation: 'i', lifetime: 'named', credit: 1, controlCredit: 1 },
  ],
  send: ['send', { t: 'send', req: 7, to: 'theirs', id: 'm', kind: 'note' }],
  live: ['send', { t: 'live', to: 'theirs', kind: 'note' }],
  announce: ['present', { t: 'announce', presence: { role: 'theirs' } }],
  watch: ['watch', { t: 'watch', req: 7, role: 'theirs' }],
  revoke: ['revoke', { t: 'revoke', req: 7, to: 'theirs', id: 'waiting' }],
  fence: ['fence', { t: 'fence', req: 7, address: 'theirs', incarnation: 'theirs-1' }],
  delete: ['delete', { t: 'delete', req: 7, address: 'theirs' }],
  admin: ['operator', { t: 'admin', req: 7, op: 'mailboxes' }],
  ack: [undefined, { t: 'ack', req: 7, ids: ['waiting'] }],
  claim: [undefined, { t: 'claim', req: 7, id: 'waiting' }],
  nack: [undefined, { t: 'nack', req: 7, id: 'waiting' }],
  touch: [undefined, { t: 'touch', req: 7, id: 'waiting' }],
  unwatch: [undefined, { t: 'unwatch', role: 'theirs' }],
  issue: [undefined, { t: 'issue', req: 7, subject: 's', grants: {} }],
  renew: [undefined, { t: 'renew', req: 7, token: 'set by the test' }],
  ping: [undefined, { t: 'ping' }],
  leave: [undefined, { t: 'leave', req: 7 }],
}

/** What a token may say of a field, by whether that allows what is about `theirs`. */
const fields: { readonly [F in Field]: readonly [allows: boolean, grants: Grants][] } = {
  consume: lists('consume'),
  present: lists('present'),
  watch: lists('watch'),
  revoke: lists('revoke'),
  fence: lists('fence'),
  delete: lists('delete'),
  send: [
    ...lists('send').map(([allows, grants]): [boolean, Grants] => [
      allows,
      { send: [{ to: list(grants), kinds: ['note'] }] },
    ]),
    [true, { send: [{ to: ['theirs'] }] }],
    [true, { send: [{ to: ['other'] }, { to: ['theirs'], kinds: ['terminal', 'n*'] }] }],
    [false, { send: [{ to: ['theirs'], kinds: ['terminal'] }] }],
    [false, { send: [{ to: ['theirs'], kinds: [] }] }],
    [
      false,
      {
        send: [
          { to: ['theirs'], kinds: ['terminal'] },
          { to: ['other'], kinds: ['note'] },
        ],
      },
    ],
  ],
  operator: [
    [true, { operator: true }],
    [false, { operator: false }],
  ],
}

function list(grants: Grants): readonly string[] {
  return grants.send?.[0]?.to ?? []
}

function lists(field: Exclude<Field, 'operator'>): [boolean, Grants][] {
  const rows: [boolean, readonly string[]][] = [
    [true, ['theirs']],
    [true, ['other', 'the*']],
    [true, ['*']],
    [false, []],
    [false, ['their', 'theirs2', 'other*', 'theirsX*', 'Theirs']],
  ]
  return rows.map(([allows, names]) => [allows, field === 'send' ? { send: [{ to: names }] } : { [field]: names }])
}

/** Of a field that a frame does not need, the widest there is stands for all. */
function isWide(grants: Grants): boolean {
  return grants.operator === true || JSON.stringify(grants).includes('"*"')
}

/** Every frame with every field of the grants. */
const matrix = Object.values(frames).flatMap(([needs, header]) =>
  Object.entries(fields).flatMap(([field, rows]) =>
    rows
      .filter(([, grants]) => field === needs || isWide(grants))
      .map(([allows, grants]) => ({
        header,
        grants,
        name: `${header.t} with ${JSON.stringify(grants)}`,
        // Whoever may do what operators do may delete any mailbox.
        isGranted:
          needs === undefined || (allows && (needs === field || (header.t === 'delete' && field === 'operator'))),
      })),
  ),
)

/** What exists or not: `theirs` is somebody's mailbox, with a message that waits in it, and their role. */
async function theirs(url: string): Promise<RawClient> {
  const owner = await RawClient.attached(url, token, 'theirs', { credit: 0, presence: { role: 'theirs' } })
  owner.say({ t: 'send', req: 1, to: 'theirs', id: 'waiting', kind: 'note' }, payload)
  await owner.answer(1)
  return owner
}

/** Says it as somebody with a mailbox of their own, and returns what they are answered. */
async function ask(broker: Listening, grants: Grants, header: Said): Promise<BrokerHeader> {
  const own: Grants = { ...grants, consume: [...(grants.consume ?? []), 'own'] }
  const shown = await tokenOf(own)
  // A connection attaches once.
  using somebody = await (header.t === 'attach'
    ? RawClient.open(broker.url, shown)
    : RawClient.attached(broker.url, shown, 'own'))
  somebody.say(header.t === 'renew' ? { ...header, token: shown } : header, payload)
  if ('req' in header && header.req !== undefined)
    return await somebody.heard((answer) => answer.t === 'error' || (answer.t === 'ok' && answer.req === header.req))
  // What has no answer has taken effect before what comes behind it is answered.
  somebody.say({ t: 'issue', req: 9, subject: 's', grants: {} })
  return await somebody.answer(9)
}

describe('every frame with every field of a token', () => {
  test.for(matrix)('$name: granted $isGranted', async ({ header, grants, isGranted }) => {
    await using full = await open()
    await using empty = await open()
    using owner = await theirs(full.url)
    const answers = [await ask(full, grants, header), await ask(empty, grants, header)]
    expect(full.stats().forbidden).toBe(isGranted ? 0 : 1)
    expect(empty.stats().forbidden).toBe(isGranted ? 0 : 1)
    if (isGranted) {
      for (const answer of answers) if (answer.t === 'error') expect(answer.message).not.toBe(errors.FORBIDDEN.text)
      return
    }
    if ('req' in header && header.req !== undefined) {
      const { code, text } = { code: 'FORBIDDEN', text: errors.FORBIDDEN.text }
      const said = { t: 'error', ...(header.t === 'attach' ? {} : { req: header.req }), code, message: text }
      expect(answers).toEqual([said, said])
    }
    // Nothing happened to what is theirs.
    const here = (await full.operator.mailboxes()).find(({ address }) => address === 'theirs')
    expect(here).toMatchObject({ state: 'attached', incarnation: 'theirs-1', messages: 1, held: 0 })
    expect((await empty.operator.mailboxes()).map(({ address }) => address)).not.toContain('theirs')
    owner.say({ t: 'ping' })
    await owner.heard(({ t }) => t === 'pong')
    expect(owner.headers.filter(({ t }) => t === 'live')).toEqual([])
  })
})

/** What the tokens of `greenroom token --role` are for, and what of others is meant to be in their reach. */
const presets = {
  runner: {
    grants: runnerGrants('alice', 1_000),
    own: ['attach runner', 'attach worker', 'announce runner', 'announce worker-of', 'watch worker-of', 'revoke worker']
      .concat(['fence worker', 'send worker run', 'live worker token', 'send runner terminal', 'live runner terminal'])
      .concat(['send worker token', 'live worker run']),
    // Residents are everybody's: who has a run there takes it back, by an id that holds the run's.
    shared: ['send resident run', 'live resident run', 'revoke resident'],
  },
  worker: {
    grants: residentGrants('alice'),
    own: ['attach resident', 'attach supervisor', 'fence resident', 'send resident token', 'live resident token'],
    shared: ['send runner terminal', 'live runner terminal', 'watch runner'],
  },
} as const

const nameKinds: readonly NameKind[] = ['runner', 'worker', 'worker-of', 'resident', 'supervisor']

/** Every frame that names somebody, about each kind of names, with kinds of messages of either side. */
const deeds = Object.values(frames).flatMap(([needs, header]) =>
  needs === undefined || needs === 'operator'
    ? []
    : nameKinds.flatMap((kind) =>
        (needs === 'send' ? ['run', 'terminal', 'token'] : ['']).map((message) => ({
          header,
          kind,
          message,
          name: `${header.t} ${kind} ${message}`.trim(),
        })),
      ),
)

describe.each(Object.entries(presets))('a token of the preset "%s"', (_, { grants, own, shared }) => {
  const isShared = new Set<string>(shared)
  const isOwn = new Set<string>([...own, ...shared])

  test.each([
    ['of another subject', 'bob', isShared],
    ['of one that begins so', 'alice2', isShared],
    ['of one that is the beginning', 'alic', isShared],
    ['of no subject', undefined, isShared],
    ['of its own', 'alice', isOwn],
  ])('reaches of names %s what it is meant to, and nothing else', async (__, subject, meant) => {
    await using broker = await open()
    const shown = await tokenOf(grants, 'alice')
    const reached: string[] = []
    for (const { header, kind, message, name } of deeds) {
      using client = await RawClient.open(broker.url, shown)
      const before = broker.stats().forbidden
      const named = JSON.stringify(header).replaceAll('"theirs"', `"${ownNames(kind, subject)}1"`)
      const said: object = JSON.parse(message === '' ? named : named.replace('"note"', `"${message}"`))
      client.say(said, payload)
      client.say({ t: 'ping' })
      await Promise.race([client.heard(({ t }) => t === 'pong'), client.ended])
      if (broker.stats().forbidden === before) reached.push(name)
    }
    expect(reached.toSorted()).toEqual([...meant].toSorted())
  })
})

describe('a worker', () => {
  const grantsOf = (name: string): Grants =>
    workerGrants({ address: `worker.${name}`, runner: 'runner.r', role: 'worker-of.r' })
  const presence = { role: 'worker-of.r' }

  test("that forges a sibling's frames, sender or kind changes nothing, and is counted", async () => {
    const logged: string[] = []
    await using broker = await open(logged)
    using runner = await RawClient.attached(broker.url, token, 'runner.r')
    const siblings = await tokenOf(grantsOf('good'), 'worker.good')
    using sibling = await RawClient.attached(broker.url, siblings, 'worker.good', { lifetime: 'incarnation', presence })
    const own = await tokenOf(grantsOf('evil'), 'worker.evil')
    using evil = await RawClient.attached(broker.url, own, 'worker.evil', { lifetime: 'incarnation', presence })
    runner.say({ t: 'send', req: 1, to: 'worker.good', id: 'run-1', kind: 'run' }, payload)
    await sibling.heard(({ t }) => t === 'deliver')

    // To the sibling, as a runner; and to the runner, as one.
    evil.say({ t: 'send', req: 1, to: 'worker.good', id: 'cancel-1', kind: 'cancel' }, payload)
    evil.say({ t: 'live', to: 'worker.good', kind: 'token' }, payload)
    evil.say({ t: 'send', req: 2, to: 'runner.r', id: 'run-2', kind: 'run' }, payload)
    evil.say({ t: 'send', req: 3, to: 'runner.r', id: 'note', kind: 'undeliverable' }, payload)
    evil.say({ t: 'fence', req: 4, address: 'worker.good', incarnation: 'worker.good-1' })
    evil.say({ t: 'revoke', req: 5, to: 'worker.good', id: 'run-1' })
    evil.say({ t: 'watch', req: 6, role: 'worker-of.r' })
    evil.say({ t: 'announce', presence: { role: 'worker-of.other' } })
    evil.say({ t: 'issue', req: 7, subject: 'worker.good', grants: grantsOf('good') })
    for (const req of [1, 2, 3, 4, 5, 6, 7]) expect(await evil.answer(req)).toMatchObject({ code: 'FORBIDDEN' })
    // Another's claim and ack are about one's own mailbox: there is nothing in it.
    evil.say({ t: 'claim', req: 8, id: 'run-1' })
    expect(await evil.answer(8)).toMatchObject({ code: 'NOT_HOLDER' })
    evil.say({ t: 'renew', req: 9, token: siblings })
    expect(await evil.answer(9)).toMatchObject({ code: 'FORBIDDEN' })
    // Who names a sender, is not asked.
    evil.say({ t: 'send', req: 10, to: 'runner.r', id: 'terminal-1', kind: 'terminal', from: 'worker.good' }, payload)
    const delivered = await runner.heard((header) => header.t === 'deliver' && header.id === 'terminal-1')
    expect(delivered).toMatchObject({ from: 'worker.evil', fromIncarnation: 'worker.evil-1' })

    sibling.say({ t: 'claim', req: 1, id: 'run-1' })
    expect(await sibling.answer(1)).toEqual({ t: 'ok', req: 1 })
    expect(sibling.headers.filter(({ t }) => t === 'deliver' || t === 'live')).toHaveLength(1)
    expect(runner.headers.filter(({ t }) => t === 'deliver')).toHaveLength(1)
    // The seven, `live` and `announce`; what `issue` asked for is refused by what is asked, not by the frame.
    expect(broker.stats().forbidden).toBe(10)
    expect(logged.filter((line) => line.includes('"forbidden"'))).toEqual([
      JSON.stringify(['warn', 'forbidden', { subject: 'worker.evil', frame: 'send' }]),
    ])
    for (const secret of [own, siblings, key, token]) expect(logged.join('\n')).not.toContain(secret)
  })

  test('takes the seat of nobody: its token is of no use at another mailbox', async () => {
    await using broker = await open()
    using sibling = await RawClient.attached(broker.url, await tokenOf(grantsOf('good')), 'worker.good', { presence })
    using evil = await RawClient.open(broker.url, await tokenOf(grantsOf('evil')))
    evil.say({ ...frames.attach[1], address: 'worker.good' })
    expect(await evil.ended).toEqual({ code: 4403, error: 'FORBIDDEN' })
    sibling.say({ t: 'ping' })
    await sibling.heard(({ t }) => t === 'pong')
  })
})

test('whoever attaches is seen in the roles of its token alone', async () => {
  await using broker = await open()
  const own = await tokenOf({ consume: ['a'], present: ['mine'] })
  using _honest = await RawClient.attached(broker.url, own, 'a', { presence: { role: 'mine' } })
  using evil = await RawClient.open(broker.url, own)
  evil.attach('a', { presence: { role: 'theirs' } })
  expect(await evil.ended).toMatchObject({ error: 'FORBIDDEN' })
})

describe('a token that is asked for', () => {
  const asked: Grants = { consume: ['a.1'], send: [{ to: ['b.x'], kinds: ['note'] }] }

  test('allows what was asked for, and works', async () => {
    await using broker = await open()
    using asker = await RawClient.attached(broker.url, token, 'asker')
    asker.say({ t: 'issue', req: 1, subject: 'child', grants: asked, forMs: 30_000 })
    const answer = await asker.answer(1)
    if (answer.t !== 'ok' || answer.token === undefined) throw new Error('no token')
    expect(readToken(answer.token)).toMatchObject({ sub: 'child', grants: asked, exp: (answer.expiresAt ?? 0) / 1000 })
    using child = await RawClient.attached(broker.url, answer.token, 'a.1')
    child.say({ t: 'send', req: 1, to: 'b.x', id: 'm', kind: 'note' }, payload)
    expect(await child.answer(1)).toEqual({ t: 'ok', req: 1, seq: 1 })
    child.say({ t: 'issue', req: 2, subject: 'grandchild', grants: { consume: ['a.*'] } })
    expect(await child.answer(2)).toMatchObject({ code: 'FORBIDDEN', message: errors.FORBIDDEN.text })
  })

  test.each<[what: string, own: Grants, asked: Grants]>([
    ['another mailbox', { consume: ['a'] }, { consume: ['b'] }],
    ['more mailboxes', { consume: ['a.b*'] }, { consume: ['a.*'] }],
    ['all kinds for some', { send: [{ to: ['a'], kinds: ['note'] }] }, { send: [{ to: ['a'] }] }],
    ['a kind for another mailbox', { send: [{ to: ['a'], kinds: ['k'] }, { to: ['b'] }] }, { send: [{ to: ['a'] }] }],
    ['what operators do', clientGrants, { operator: true }],
    ['approvals of another role', { approvals: ['a'] }, { approvals: ['*'] }],
    ['tokens that last', { issueMs: 1_000 }, { issueMs: 1_001 }],
    ['tokens that last, where its own has none made', { consume: ['a'] }, { consume: ['a'], issueMs: 1 }],
  ])('is FORBIDDEN when it allows more: %s', async (_, own, more) => {
    await using broker = await open()
    using asker = await RawClient.open(broker.url, await tokenOf(own))
    asker.say({ t: 'issue', req: 1, subject: 'child', grants: more })
    expect(await asker.answer(1)).toMatchObject({ t: 'error', code: 'FORBIDDEN', message: errors.FORBIDDEN.text })
    expect(broker.stats().forbidden).toBe(1)
  })

  test('lasts no longer than its asker’s, unless that may have lasting ones made, which cannot', async () => {
    await using broker = await open()
    const ends = async (own: Grants, wanted: Grants): Promise<number> => {
      using asker = await RawClient.open(broker.url, await tokenOf(own))
      asker.say({ t: 'issue', req: 1, subject: 'child', grants: wanted, forMs: 3_600_000 })
      const answer = await asker.answer(1)
      return answer.t === 'ok' ? Math.round(((answer.expiresAt ?? 0) - Date.now()) / 60_000) : 0
    }
    expect(await ends({ consume: ['a'] }, { consume: ['a'] })).toBe(1)
    expect(await ends({ consume: ['a'], issueMs: 1_800_000 }, { consume: ['a'] })).toBe(30)
    expect(await ends({ consume: ['a'], issueMs: 1_800_000 }, { consume: ['a'], issueMs: 1_800_000 })).toBe(1)
  })
})
