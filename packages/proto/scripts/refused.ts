/**
 * What must be refused, with its code.
 *
 * The larger part is made from the valid values: each field with a value of a wrong type, each optional field with
 * `null` (absent is not null), each message without a field that it requires.
 */
import type { z } from 'zod'
import { encodeFrame, kinds, type ErrorCode, type RunKind } from '../src/index.ts'
import * as schemas from '../src/schemas/index.ts'
import { events, outcomes, provision } from './documents.ts'
import { brokerHeaders, clientHeaders } from './headers.ts'
import { inlineSchema } from './json-schema.ts'
import { messages } from './messages.ts'
import { messageFrame, rawFrame, type FrameDoor, type RefusedVector, type TextDoor } from './vector.ts'

type Fields = Readonly<Record<string, unknown>>
/** Makes the vector of a value that its door must refuse. */
type Refuse = (name: string, value: Fields) => RefusedVector

const frame = (door: FrameDoor, code: ErrorCode, name: string, hex: string): RefusedVector => ({
  name,
  door,
  valid: false,
  code,
  frame: hex,
})
const text = (door: TextDoor, code: ErrorCode, name: string, json: string): RefusedVector => ({
  name,
  door,
  valid: false,
  code,
  text: json,
})
const header =
  (door: 'client' | 'broker'): Refuse =>
  (name, value) =>
    frame(door, 'BAD_FRAME', name, Buffer.from(encodeFrame(value)).toString('hex'))
const message =
  (kind: RunKind, code: ErrorCode = kind === 'run' ? 'SPEC_INVALID' : 'BAD_FRAME'): Refuse =>
  (name, value) =>
    frame('message', code, name, messageFrame(kind, JSON.stringify(value)))
const document =
  (door: TextDoor, code: ErrorCode): Refuse =>
  (name, value) =>
    text(door, code, name, JSON.stringify(value))

function wrongType(value: unknown): unknown {
  if (typeof value === 'string') return 1
  if (typeof value === 'number') return '1'
  if (typeof value === 'boolean') return 0
  return Array.isArray(value) ? {} : []
}

/** Everything that is wrong with one field. `tag` is the field that says which shape it is. */
function wrongFields(name: string, full: Fields, schema: z.ZodType, tag: string, refuse: Refuse): RefusedVector[] {
  const { properties = {}, required = [] } = inlineSchema(schema)
  const least = Object.fromEntries(Object.entries(full).filter(([key]) => required.includes(key)))
  return Object.entries(full)
    .filter(([key]) => key !== tag)
    .flatMap(([key, value]) => {
      const field = properties[key]
      const free = field === undefined || field === true || Object.keys(field).length === 0
      const nullable = free || JSON.stringify(field).includes('"null"')
      const { [key]: _without, ...rest } = least
      return [
        ...(free ? [] : [refuse(`${name}: ${key} of a wrong type`, { ...least, [key]: wrongType(value) })]),
        ...(nullable || required.includes(key) ? [] : [refuse(`${name}: ${key} is null`, { ...least, [key]: null })]),
        ...(required.includes(key) ? [refuse(`${name}: without ${key}`, rest)] : []),
      ]
    })
}

/** The member of a discriminated union that has this tag. */
function member(union: { readonly options: readonly z.ZodType[] }, tag: string, value: string): z.ZodType {
  const found = union.options.find((option) => {
    const field = inlineSchema(option).properties?.[tag]
    return typeof field === 'object' && field.const === value
  })
  if (found === undefined) throw new Error(`no schema with ${tag} "${value}"`)
  return found
}

function everyWrongField(): RefusedVector[] {
  return [
    ...Object.entries(clientHeaders).flatMap(([t, full]) =>
      wrongFields(t, full, member(schemas.clientHeader, 't', t), 't', header('client')),
    ),
    ...Object.entries(brokerHeaders).flatMap(([t, full]) =>
      wrongFields(t, full, member(schemas.brokerHeader, 't', t), 't', header('broker')),
    ),
    ...(Object.keys(kinds) as RunKind[]).flatMap((kind) =>
      wrongFields(kind, { ...messages[kind] }, schemas.runMessages[kind], '', message(kind)),
    ),
    ...Object.entries(events).flatMap(([type, full]) =>
      wrongFields(type, full, member(schemas.runEvent, 'type', type), 'type', document('event', 'BAD_FRAME')),
    ),
    ...Object.entries(outcomes).flatMap(([status, full]) =>
      wrongFields(status, full, member(schemas.outcome, 'status', status), 'status', document('outcome', 'BAD_FRAME')),
    ),
    ...wrongFields('provision', provision, schemas.provision, '', document('provision', 'SPEC_INVALID')),
  ]
}

/** What is no frame at all. */
function brokenFrames(): RefusedVector[] {
  const bad = (name: string, hex: string) => frame('client', 'BAD_FRAME', name, hex)
  const ping = JSON.stringify(clientHeaders.ping)
  return [
    bad('frame: no byte', ''),
    bad('frame: cut short within the prefix', '000000'),
    bad('frame: cut short within the header', rawFrame(ping).slice(0, -2)),
    bad('frame: the prefix says one byte more than there is', rawFrame(ping, undefined, ping.length + 1)),
    bad('frame: the prefix says one byte less', rawFrame(ping, undefined, ping.length - 1)),
    bad('frame: an empty header', '00000000'),
    bad('frame: a header that is no JSON', rawFrame("{t:'ping'}")),
    bad('frame: a header with more after the JSON', rawFrame(`${ping}{}`)),
    bad('frame: a header with a byte order mark', rawFrame(`\uFEFF${ping}`)),
    bad('frame: a header that is not UTF-8', rawFrame(Buffer.from(ping.replace('ping', 'p\u00efng'), 'latin1'))),
    bad(
      'frame: a header with half of a surrogate pair in UTF-8',
      rawFrame(Buffer.from('7b2274223a22eda080227d', 'hex')),
    ),
    ...['null', '[]', '"ping"', '1'].map((json) => bad(`frame: the header is ${json}`, rawFrame(json))),
    frame('client', 'FRAME_TOO_LARGE', 'frame: a prefix above the limit of a header', '00004001'),
    frame('client', 'FRAME_TOO_LARGE', 'frame: the largest prefix', `ffffffff${Buffer.from(ping).toString('hex')}`),
  ]
}

const badNames: Readonly<Record<string, string>> = {
  empty: '',
  'a path': '../a',
  'a space': 'a b',
  'a line end': 'a\n',
  'a NUL': 'a\u0000',
  'a dot first': '.a',
  'a letter outside of ASCII': 'é',
  '129 characters': 'n'.repeat(129),
}

/** Values of the right type that are not allowed. */
function badValues(): RefusedVector[] {
  const client = header('client')
  const broker = header('broker')
  const { send, claim, attach, hello, admin } = clientHeaders
  return [
    client('header: an unknown t', { t: 'sned', req: 1 }),
    client('header: no t', { req: 1 }),
    client('header: t of a wrong type', { t: 1 }),
    client("header: a client may not say what is the broker's", brokerHeaders.welcome),
    broker("header: a broker may not say what is the client's", clientHeaders.hello),
    ...Object.entries(badNames).flatMap(([what, bad]) => [
      client(`name: ${what}`, { ...send, to: bad }),
      client(`id: ${what}`, { ...claim, id: bad }),
    ]),
    ...['-a', '_a'].map((bad) => client(`name: starts with ${bad.slice(0, 1)}`, { ...send, kind: bad })),
    client('ack: an id that is no text', { t: 'ack', ids: ['a', 1] }),
    client('send: req below zero', { ...send, req: -1 }),
    client('send: req is no integer', { ...send, req: 0.5 }),
    client('send: req above the safe integers', { ...send, req: 2 ** 53 }),
    client('send: ttlMs below zero', { ...send, ttlMs: -1 }),
    frame(
      'client',
      'BAD_FRAME',
      'send: ttlMs too large for a number',
      rawFrame(JSON.stringify(send).replace('60000', '1e999')),
    ),
    client('attach: credit below zero', { ...attach, credit: -1 }),
    client('attach: a visibility timeout of less than a second', { ...attach, visibilityMs: 999 }),
    client('attach: a visibility timeout of more than twelve hours', { ...attach, visibilityMs: 43_200_001 }),
    client('attach: a held attempt 0', { ...attach, attempts: [0] }),
    client('attach: an unknown lifetime', { ...attach, lifetime: 'eternal' }),
    client('attach: presence without a role', { ...attach, presence: {} }),
    client('attach: a label that is no text', { ...attach, presence: { role: 'r', labels: { gpu: 1 } } }),
    client('hello: 257 capabilities', {
      ...hello,
      capabilities: Array.from({ length: 257 }, (_, index) => `c${index}`),
    }),
    client('hello: a capability of 129 characters', { ...hello, capabilities: ['c'.repeat(129)] }),
    client('admin: an unknown op', { ...admin, op: 'drop' }),
    broker('deliver: attempt 0', { ...brokerHeaders.deliver, attempt: 0 }),
    broker('deliver: seq 0', { ...brokerHeaders.deliver, seq: 0 }),
    broker('ok: an unknown revocation', { t: 'ok', req: 1, revoked: 'perhaps' }),
    broker('presence: an unknown state', {
      t: 'presence',
      change: { ...brokerHeaders.presence.change, state: 'asleep' },
    }),
  ]
}

/** Messages that are not allowed. */
function badMessages(): RefusedVector[] {
  const { runId, epoch } = messages.cancel
  const { required: _required, ...run } = messages.run
  return [
    frame('message', 'BAD_FRAME', 'cancel: an empty payload', messageFrame('cancel', '')),
    frame('message', 'BAD_FRAME', 'cancel: a payload that is no JSON', messageFrame('cancel', 'stop!')),
    frame(
      'message',
      'BAD_FRAME',
      'cancel: a payload that is not UTF-8',
      messageFrame('cancel', Buffer.from([0x22, 0xff, 0x22])),
    ),
    frame('message', 'BAD_FRAME', 'cancel: a payload that is no object', messageFrame('cancel', '[]')),
    frame('message', 'SPEC_INVALID', 'run: a payload that is no JSON', messageFrame('run', '{')),
    message('run', 'SPEC_TOO_NEW')('run: requires a capability that is not known', {
      ...run,
      required: ['steer', 'time-travel'],
    }),
    message('run', 'SPEC_TOO_NEW')('run: requires what is not known, and is shaped otherwise', {
      runId,
      epoch,
      required: ['time-travel'],
    }),
    message('cancel')('cancel: epoch 0', { runId, epoch: 0, reason: '' }),
    message('cancel')('cancel: a runId that is a path', { runId: 'a/b', epoch, reason: '' }),
    message('events')('events: none', { runId, epoch, first: 1, events: [] }),
    message('events')('events: first is 0', { runId, epoch, first: 0, events: [{ type: 'x' }] }),
    message('events')('events: an event without a type', { runId, epoch, first: 1, events: [{}] }),
    message('events')('events: 257', {
      runId,
      epoch,
      first: 1,
      events: Array.from({ length: 257 }, () => ({ type: 'x' })),
    }),
    message('refused')('refused: an unknown code', { runId, epoch, code: 'TIRED' }),
    message('steer')('steer: an unknown mode', { ...messages.steer, mode: 'later' }),
    message('terminal')('terminal: an unknown status', { runId, epoch, status: 'skipped', lastSeq: 0 }),
    message('children-request')('children-request: an unknown op', { ...messages['children-request'], op: 'adopt' }),
    message('bridge-request')('bridge-request: an unknown op', { ...messages['bridge-request'], op: 'install' }),
    message('bridge-request')('bridge-request: an input that is no object', {
      runId,
      epoch,
      requestId: 'b1',
      op: 'call',
      args: { tool: { server: 'screen', name: 'shot' }, input: [], timeoutMs: 60_000 },
    }),
  ]
}

/** Documents that are not allowed. */
function badDocuments(): RefusedVector[] {
  const event = document('event', 'BAD_FRAME')
  const outcome = document('outcome', 'BAD_FRAME')
  const invalid = document('provision', 'SPEC_INVALID')
  const newer = document('provision', 'SPEC_TOO_NEW')
  return [
    event('message: an unknown role', {
      type: 'message',
      message: { role: 'robot', content: '' },
    }),
    event('message: a part without a type', {
      type: 'message',
      message: { role: 'user', content: [{ text: '' }] },
    }),
    event('tool-output-delta: an unknown stream', {
      type: 'tool-output-delta',
      id: 'c',
      text: '',
      stream: 'stdin',
    }),
    outcome('outcome: an unknown status', { status: 'suspended' }),
    outcome('outcome: without a status', {}),
    text('provision', 'SPEC_INVALID', 'provision: no object', '[]'),
    invalid('provision: version 0', { ...provision, version: 0 }),
    invalid('provision: a bus over HTTP', { ...provision, bus: { url: 'https://broker.example/', token: 't' } }),
    invalid('provision: an address that is a path', { ...provision, address: '/tmp/w' }),
    newer('provision: a newer version', { ...provision, version: 2 }),
    newer('provision: a newer version that is shaped otherwise', { version: 2 }),
    newer('provision: requires a capability that is not known', { ...provision, required: ['time-travel'] }),
  ]
}

/** Everything that must be refused. */
export function refusedVectors(): RefusedVector[] {
  return [...brokenFrames(), ...badValues(), ...badMessages(), ...badDocuments(), ...everyWrongField()]
}
