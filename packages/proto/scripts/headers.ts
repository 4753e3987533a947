/** One value of every bus header with every field, and the vectors that are made of them. */
import type { BrokerHeader, ClientHeader, Grants, Presence, PresenceChange } from '../src/index.ts'
import type { Full } from './full.ts'
import { frameVector, type FrameVector } from './vector.ts'

type Every<Header extends { t: string }> = { [T in Header['t']]: Full<Extract<Header, { t: T }>> }

const presence: Full<Presence> = {
  role: 'tester',
  labels: { gpu: 'none', zone: 'a' },
  host: 'machine-1',
  version: '1.0.0',
  slots: 2,
  load: 0.5,
  serves: [{ name: 'test', version: '1', lateBound: ['workspace'], idempotent: true, suspendable: false }],
}
const change: Full<PresenceChange> = {
  address: 'worker.w1',
  incarnation: 'Worker-incarnation-0001',
  state: 'gone',
  presence,
  seenDead: true,
}

const grants: Full<Grants> = {
  consume: ['worker.w1'],
  send: [{ to: ['runner.r1', 'runner.x.*'], kinds: ['events', 'terminal'] }],
  present: ['worker-of.r1'],
  watch: ['*'],
  revoke: ['worker.*'],
  fence: ['worker.*'],
  delete: ['scratch.*'],
  approvals: ['releaser'],
  issueMs: 86_400_000,
  operator: false,
}

/** Every client header with every field. */
export const clientHeaders: Every<ClientHeader> = {
  hello: {
    t: 'hello',
    wire: 1,
    oldest: 1,
    capabilities: ['durable', 'ttl'],
    required: ['durable'],
    agent: 'greenroom/1.0.0',
  },
  attach: {
    t: 'attach',
    req: 1,
    address: 'worker.w1',
    incarnation: 'Worker-incarnation-0001',
    lifetime: 'incarnation',
    credit: 64,
    controlCredit: 64,
    visibilityMs: 30_000.5,
    held: ['run-run1-1', '-kq_0.'],
    attempts: [1, 2],
    again: true,
    presence,
  },
  send: { t: 'send', req: 2, to: 'worker.w1', id: 'run-run1-1', kind: 'run', control: false, ttlMs: 60_000 },
  ack: { t: 'ack', req: 3, ids: ['run-run1-1', 'cancel-run1-1'], attempts: [1, 2] },
  claim: { t: 'claim', req: 4, id: 'run-run1-1', attempt: 2 },
  nack: { t: 'nack', req: 5, id: 'run-run1-1', attempt: 2, delayMs: 250.5 },
  touch: { t: 'touch', req: 6, id: 'run-run1-1', attempt: 2 },
  revoke: { t: 'revoke', req: 7, to: 'worker.w1', id: 'run-run1-1' },
  live: { t: 'live', to: 'runner.r1', kind: 'events' },
  announce: { t: 'announce', presence },
  watch: { t: 'watch', req: 8, role: 'tester' },
  unwatch: { t: 'unwatch', role: 'tester' },
  fence: { t: 'fence', req: 9, address: 'worker.w1', incarnation: 'Worker-incarnation-0001', seenDead: true },
  leave: { t: 'leave', req: 10 },
  delete: { t: 'delete', req: 11, address: 'runner.r1' },
  admin: {
    t: 'admin',
    req: 12,
    op: 'requeue',
    address: 'runner.r1',
    id: 'terminal-run1-1',
    path: '/backups/bus.db',
    after: 'runner.r1/a',
  },
  renew: { t: 'renew', req: 13, token: 'a-token' },
  issue: { t: 'issue', req: 14, subject: 'worker.w1', grants, forMs: 600_000 },
  ping: { t: 'ping' },
}

/** Every broker header with every field. */
export const brokerHeaders: Every<BrokerHeader> = {
  welcome: {
    t: 'welcome',
    wire: 1,
    capabilities: ['durable'],
    broker: 'Broker-start-0001',
    pingMs: 10_000,
    partitionGraceMs: 30_000,
    dedupeWindowMs: 86_400_000,
    agent: 'greenroom-broker/1.0.0',
  },
  ok: {
    t: 'ok',
    req: 1,
    seq: 1,
    duplicate: true,
    revoked: 'withdrawn',
    members: [change],
    rows: [{ address: 'runner.r1', messages: 3 }],
    next: 'runner.r1',
    token: 'a.signed.token',
    expiresAt: 1_790_000_600_000,
  },
  error: { t: 'error', req: 2, code: 'MAILBOX_FULL', message: 'the mailbox "worker.w1" holds 10000 messages' },
  deliver: {
    t: 'deliver',
    seq: 1,
    id: 'run-run1-1',
    kind: 'run',
    from: 'runner.r1',
    fromIncarnation: 'Runner-incarnation-0001',
    attempt: 2,
    control: true,
    at: 1_790_000_000_000,
  },
  live: { t: 'live', to: 'runner.r1', kind: 'events', from: 'worker.w1', fromIncarnation: 'Worker-incarnation-0001' },
  presence: { t: 'presence', change },
  pong: { t: 'pong' },
}

const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index)
const longest = 'n'.repeat(128)

/** Frames that a client sends. */
export function clientVectors(): FrameVector[] {
  const valid = (name: string, header: ClientHeader, payload?: Uint8Array) =>
    frameVector(name, 'client', header, payload)
  return [
    ...Object.values(clientHeaders).map((header) => valid(`${header.t}: every field`, header)),
    valid('hello: required fields only', { t: 'hello', wire: 1, capabilities: [] }),
    valid('hello: text outside of ASCII', {
      t: 'hello',
      wire: 1,
      capabilities: ['größer', '大', '🎭'],
      agent: 'tést "\\/\b\f\n\r\t\u0000\u2028',
    }),
    valid('attach: required fields only', {
      t: 'attach',
      req: 0,
      address: 'runner.r1',
      incarnation: '_i',
      lifetime: 'named',
      credit: 0,
      controlCredit: 0,
    }),
    valid('attach: presence with a role only', {
      t: 'attach',
      req: 1,
      address: 'A',
      incarnation: '-i',
      lifetime: 'incarnation',
      credit: 1,
      controlCredit: 1,
      presence: { role: '0' },
    }),
    valid('send: required fields only, an empty payload', { t: 'send', req: 2, to: 'worker.w1', id: 'a', kind: 'run' }),
    valid('send: a payload of every byte', { t: 'send', req: 2, to: 'worker.w1', id: 'b', kind: 'x.y-z_1' }, everyByte),
    valid('send: names of full length, the largest request number', {
      t: 'send',
      req: Number.MAX_SAFE_INTEGER,
      to: longest,
      id: longest,
      kind: longest,
      control: true,
      ttlMs: 0,
    }),
    valid('ack: required fields only, no id', { t: 'ack', ids: [] }),
    valid('claim: required fields only', { t: 'claim', req: 3, id: 'a' }),
    valid('nack: required fields only', { t: 'nack', id: 'a' }),
    valid('touch: required fields only', { t: 'touch', id: 'a' }),
    valid('live: a payload of every byte', clientHeaders.live, everyByte),
    ...(['mailboxes', 'dead-letters', 'show', 'purge'] as const).map((op) =>
      valid(`admin: ${op}`, { t: 'admin', req: 1, op }),
    ),
    valid('issue: required fields only', { t: 'issue', req: 1, subject: 's', grants: {} }),
    valid('admin: more of a list', { t: 'admin', req: 2, op: 'mailboxes', after: 'runner.r1' }),
  ]
}

/** Frames that a broker sends. */
export function brokerVectors(): FrameVector[] {
  const valid = (name: string, header: BrokerHeader, payload?: Uint8Array) =>
    frameVector(name, 'broker', header, payload)
  return [
    ...Object.values(brokerHeaders).map((header) => valid(`${header.t}: every field`, header)),
    valid('welcome: required fields only', {
      t: 'welcome',
      wire: 1,
      capabilities: [],
      broker: 'b',
      pingMs: 0.5,
      partitionGraceMs: 0,
      dedupeWindowMs: 0,
    }),
    valid('ok: to a request that gives nothing', { t: 'ok', req: 0 }),
    valid('ok: to a send', { t: 'ok', req: 1, seq: 9 }),
    valid('ok: to a revoke of a claimed message', { t: 'ok', req: 2, revoked: 'claimed' }),
    valid('ok: to a revoke of a message never seen', { t: 'ok', req: 3, revoked: 'unknown' }),
    valid('ok: to a watch of a role that nobody has', { t: 'ok', req: 4, members: [] }),
    valid('ok: to an admin that shows a dead letter', { t: 'ok', req: 5, rows: [] }, everyByte),
    valid('error: before a close', { t: 'error', code: 'REPLACED', message: 'another consumer attached' }),
    valid('error: a code of a newer version', { t: 'error', req: 5, code: 'NOT_YET_KNOWN', message: '' }),
    valid(
      'deliver: required fields only, a payload of every byte',
      {
        t: 'deliver',
        seq: 1,
        id: 'a',
        kind: 'run',
        from: 'anonymous',
        attempt: 1,
        at: 0,
      },
      everyByte,
    ),
    valid('live: from a sender that never attached', { t: 'live', to: 'a', kind: 'b', from: 'anonymous' }),
    ...(['suspect', 'gone'] as const).map((state) =>
      valid(`presence: ${state}`, {
        t: 'presence',
        change: { address: 'w', incarnation: 'i', state, presence: { role: 'r' } },
      }),
    ),
  ]
}
