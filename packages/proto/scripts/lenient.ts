/** What a newer peer may say: it is read, and what is not known in it survives. */
import { encodeFrame, encodePayload, type RunKind } from '../src/index.ts'
import { events, outcomes, provision } from './documents.ts'
import { brokerHeaders, clientHeaders } from './headers.ts'
import { messages } from './messages.ts'
import { carrier, textVector, type FrameVector, type TextVector } from './vector.ts'

const more = { 'x-new': { nested: [1, null, 'zwei'] }, xNewer: true }

function frame(name: string, door: 'client' | 'broker', header: object): FrameVector {
  return { name, door, valid: true, frame: Buffer.from(encodeFrame(header)).toString('hex'), header, payload: '' }
}

function message(name: string, kind: RunKind, value: object): FrameVector {
  const header = { ...carrier(kind), ...more }
  return {
    name,
    door: 'message',
    valid: true,
    frame: Buffer.from(encodeFrame(header, encodePayload(value))).toString('hex'),
    header,
    message: value,
  }
}

/** Unknown fields, event types and error codes. */
export function lenientVectors(): (FrameVector | TextVector)[] {
  const { runId, epoch } = messages.cancel
  return [
    ...Object.values(clientHeaders).map((header) =>
      frame(`${header.t}: fields that are not known`, 'client', { ...header, ...more }),
    ),
    ...Object.values(brokerHeaders).map((header) =>
      frame(`${header.t}: fields that are not known`, 'broker', { ...header, ...more }),
    ),
    frame('attach: fields that are not known, within', 'client', {
      ...clientHeaders.attach,
      presence: { role: 'r', ...more },
    }),
    frame('header: a field that another header has', 'client', { t: 'ping', req: 'not a number here' }),
    ...(Object.keys(messages) as RunKind[]).map((kind) =>
      message(`${kind}: fields that are not known`, kind, { ...messages[kind], ...more }),
    ),
    message('run: fields that are not known, within', 'run', {
      ...messages.run,
      limits: { ...more },
      posture: { ...more },
      mcpServers: [{ name: 'm', ...more }],
    }),
    message('events: types that are not known', 'events', {
      runId,
      epoch,
      first: 1,
      events: [{ type: 'x-plot', points: [[0, 1]] }, { type: 'sound-delta', bytes: 'AAAA' }, events.status],
    }),
    message('events: a known type of another shape is passed on as it is', 'events', {
      runId,
      epoch,
      first: 1,
      events: [{ type: 'status' }],
    }),
    message('terminal: a code that is not known', 'terminal', {
      runId,
      epoch,
      status: 'failed',
      lastSeq: 0,
      error: { code: 'NOT_YET_KNOWN', message: '', ...more },
    }),
    ...Object.values(events).map((event) =>
      textVector(`${event.type}: fields that are not known`, 'event', { ...event, ...more }),
    ),
    textVector('an entry of a type that is not known', 'event', { type: 'x-plot', points: [[0, 1]] }),
    textVector('a delta of a type that is not known', 'event', { type: 'sound-delta', bytes: 'AAAA' }),
    ...Object.values(outcomes).map((outcome) =>
      textVector(`${outcome.status}: fields that are not known`, 'outcome', { ...outcome, ...more }),
    ),
    textVector('provision: fields that are not known', 'provision', {
      ...provision,
      ...more,
      bus: { ...provision.bus, ...more },
    }),
  ]
}
