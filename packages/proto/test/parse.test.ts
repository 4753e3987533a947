import { describe, expect, test } from 'vitest'
import {
  codeOf,
  decodeMessage,
  encodeMessage,
  encodePayload,
  isRunKind,
  kinds,
  noPayload,
  parseBrokerHeader,
  parseClientHeader,
  parseEvent,
  parseOutcome,
  parseProvision,
  runCapabilities,
} from '../src/index.ts'

function refusal(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    return `${codeOf(error)}: ${error instanceof Error ? error.message : ''}`
  }
  return 'it was read'
}

const ref = { runId: 'r1', epoch: 1 }

describe('what is refused says where', () => {
  test('a header', () => {
    expect(refusal(() => parseClientHeader({ t: 'send', req: '1', to: 'w', id: 'a', kind: 'run' }))).toBe(
      'BAD_FRAME: the header is not valid at req: Invalid input: expected number, received string',
    )
    expect(refusal(() => parseClientHeader({ t: 'ack', ids: ['a', '../b'] }))).toBe(
      'BAD_FRAME: the header is not valid at ids.1: must be 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a dot',
    )
    expect(
      refusal(() =>
        parseBrokerHeader({ t: 'presence', change: { address: 'w', incarnation: 'i', state: 'gone', presence: {} } }),
      ),
    ).toContain('at change.presence.role:')
    expect(refusal(() => parseBrokerHeader({ t: 'attach' }))).toContain(
      "at t: Invalid discriminator value. Expected 'welcome' | 'ok'",
    )
    expect(refusal(() => parseBrokerHeader(null))).toBe(
      'BAD_FRAME: the header is not valid: Invalid input: expected object, received null',
    )
  })

  test('a message', () => {
    const events = encodePayload({ ...ref, first: 1, events: [{ type: 'status' }, { kind: 'status' }] })
    expect(refusal(() => decodeMessage('events', events))).toContain(
      'BAD_FRAME: the events message is not valid at events.1.type:',
    )
    expect(refusal(() => decodeMessage('cancel', noPayload))).toBe('BAD_FRAME: the payload is not JSON in UTF-8')
    const asked = {
      ...ref,
      requestId: 'q',
      afterSeq: 0,
      tool: 'git',
      permission: 'execute',
      resource: '/repo',
      digest: 'd',
      createdAt: 1,
    }
    // One that waits for ever says so by null.
    for (const deadline of [undefined, 1, null])
      expect(refusal(() => decodeMessage('approval-request', encodePayload({ ...asked, deadline })))).toBe(
        'it was read',
      )
    for (const field of Object.keys(asked))
      expect(refusal(() => decodeMessage('approval-request', encodePayload({ ...asked, [field]: undefined })))).toMatch(
        `BAD_FRAME: the approval-request message is not valid at ${field}:`,
      )
  })

  test('an event: of a union, the member that got furthest', () => {
    const event = { type: 'message', message: { role: 'user', content: [{ type: 'text' }, { type: 'text', text: 1 }] } }
    expect(refusal(() => parseEvent(event))).toBe(
      'BAD_FRAME: the message event is not valid at message.content.1.text: Invalid input: expected string, received number',
    )
    expect(refusal(() => parseEvent({ type: 'data', name: 'x' }))).toBe(
      'BAD_FRAME: the data event is not valid at data: must be there',
    )
  })

  test('an outcome', () => {
    expect(refusal(() => parseOutcome({ status: 'timeout', which: 'lunch' }))).toContain(
      'BAD_FRAME: the outcome is not valid at which:',
    )
  })

  test('a run: SPEC_INVALID, or SPEC_TOO_NEW by the name of what is not known, before anything else', () => {
    expect(refusal(() => decodeMessage('run', encodePayload({ ...ref, replyTo: 'r' })))).toMatch(
      /^SPEC_INVALID: the run message is not valid at role:/,
    )
    expect(refusal(() => decodeMessage('run', noPayload))).toBe('SPEC_INVALID: the payload is not JSON in UTF-8')
    expect(refusal(() => decodeMessage('run', encodePayload({ required: ['steer', 'time-travel'] })))).toBe(
      'SPEC_TOO_NEW: the run requires "time-travel", which is not known here',
    )
    expect(refusal(() => decodeMessage('run', encodePayload({ ...ref, required: [1] })))).toMatch(/^SPEC_INVALID/)
  })

  test('a provisioning document, without a word of its secrets', () => {
    const text = refusal(() =>
      parseProvision({ version: 1, bus: { url: 'ws://h', token: 'hush' }, secrets: { KEY: ['hush'] } }),
    )
    expect(text).toMatch(/^SPEC_INVALID: the provisioning document is not valid at address:/)
    const secret = refusal(() => parseProvision({ ...provision, secrets: { KEY: ['hush'] } }))
    expect(secret).toContain('at secrets.KEY: Invalid input: expected string, received array')
    expect(text + secret).not.toContain('hush')
    expect(refusal(() => parseProvision({ version: 2 }))).toBe(
      'SPEC_TOO_NEW: provisioning document of version 2; this worker knows 1',
    )
    expect(refusal(() => parseProvision({ ...provision, required: ['detached', 'teleport'] }))).toBe(
      'SPEC_TOO_NEW: the provisioning document requires "teleport", which is not known here',
    )
  })
})

test('what a later version adds to a provisioning document survives, at every depth', () => {
  const later = { later: { than: ['this'] } }
  const document = {
    ...provision,
    ...later,
    bus: { ...provision.bus, ...later },
    limits: { rounds: 1, ...later },
    resident: { labels: { zone: 'a' }, ...later },
  }
  expect(parseProvision(document)).toEqual(document)
})

const provision = {
  version: 1,
  bus: { url: 'ws://h', token: 'hush' },
  address: 'w',
  incarnation: 'i',
  role: 'r',
  executors: [],
}

describe('what is read', () => {
  test('knows every capability that this version has', () => {
    expect(runCapabilities).toEqual(['steer', 'history-parts', 'detached', 'resident'])
    expect(parseProvision({ ...provision, required: [...runCapabilities] }).required).toEqual(runCapabilities)
  })

  test('is typed by its kind', () => {
    const reason: string = decodeMessage('cancel', encodeMessage('cancel', { ...ref, reason: 'enough' })).reason
    expect(reason).toBe('enough')
    expect(['run', 'toString', 'undeliverable', ''].map(isRunKind)).toEqual([true, false, false, false])
    expect(Object.keys(kinds).every(isRunKind)).toBe(true)
  })

  test('cannot reach a prototype', () => {
    const header: unknown = JSON.parse(
      '{"t":"ping","__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
    )
    expect('polluted' in parseClientHeader(header)).toBe(false)
    expect('polluted' in {}).toBe(false)
  })
})
