/**
 * Golden vectors: bytes, what must come out of them, and the error when nothing may. `PROTOCOL.md` describes the files
 * for those who replay them in another language.
 */
import {
  encodeFrame,
  encodeMessage,
  kinds,
  noPayload,
  type BrokerHeader,
  type ClientHeader,
  type ErrorCode,
  type RunKind,
  type RunMessages,
} from '../src/index.ts'

/** What reads a vector: a frame by its header, a frame by its payload, or a JSON document. */
export type FrameDoor = 'client' | 'broker' | 'message'
/** See {@link FrameDoor}. */
export type TextDoor = 'event' | 'outcome' | 'provision'

/** A frame and what comes out of it. */
export interface FrameVector {
  readonly name: string
  readonly door: FrameDoor
  readonly valid: true
  /** The whole frame, in hex. */
  readonly frame: string
  readonly header: unknown
  /** The payload in base64; doors `client` and `broker`. */
  readonly payload?: string
  /** The payload's JSON, checked as a message of the kind in the header; door `message`. */
  readonly message?: unknown
}

/** A JSON document and what comes out of it. */
export interface TextVector {
  readonly name: string
  readonly door: TextDoor
  readonly valid: true
  readonly text: string
  readonly value: unknown
}

/** What must be refused. */
export interface RefusedVector {
  readonly name: string
  readonly door: FrameDoor | TextDoor
  readonly valid: false
  readonly code: ErrorCode
  readonly frame?: string
  readonly text?: string
}

/** Any of them. */
export type Vector = FrameVector | TextVector | RefusedVector

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const utf8 = (text: string): Uint8Array => Buffer.from(text)

/** A frame put together by hand: `size` may lie about the header. */
export function rawFrame(header: string | Uint8Array, payload: Uint8Array = noPayload, size?: number): string {
  const head = typeof header === 'string' ? utf8(header) : header
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32BE(size ?? head.length)
  return hex(Buffer.concat([prefix, head, payload]))
}

/** The vector of a bus frame. */
export function frameVector(
  name: string,
  door: 'client' | 'broker',
  header: ClientHeader | BrokerHeader,
  payload: Uint8Array = noPayload,
): FrameVector {
  const frame = hex(encodeFrame(header, payload))
  return { name, door, valid: true, frame, header, payload: Buffer.from(payload).toString('base64') }
}

/** The header under which the broker hands on a message of this kind. */
export function carrier(kind: RunKind): BrokerHeader {
  const { from, lane, control } = kinds[kind]
  const sender =
    from === 'runner'
      ? { from: 'runner.r1', fromIncarnation: 'Runner-incarnation-0001' }
      : { from: 'worker.w1', fromIncarnation: 'Worker-incarnation-0001' }
  if (lane === 'live') return { t: 'live', to: from === 'runner' ? 'worker.w1' : 'runner.r1', kind, ...sender }
  return {
    t: 'deliver',
    seq: 7,
    id: `${kind}-run1-1`,
    kind,
    ...sender,
    attempt: 1,
    ...(control ? { control } : {}),
    at: 1_790_000_000_000,
  }
}

/** The vector of a run-protocol message, inside the frame that delivers it. */
export function messageVector<K extends RunKind>(name: string, kind: K, message: RunMessages[K]): FrameVector {
  const header = carrier(kind)
  return {
    name,
    door: 'message',
    valid: true,
    frame: hex(encodeFrame(header, encodeMessage(kind, message))),
    header,
    message,
  }
}

/** The vector of a document. */
export function textVector(name: string, door: TextDoor, value: unknown): TextVector {
  return { name, door, valid: true, text: JSON.stringify(value), value }
}

/** The frame that carries a payload that may be anything, as text. */
export function messageFrame(kind: RunKind, payload: string | Uint8Array): string {
  return rawFrame(JSON.stringify(carrier(kind)), typeof payload === 'string' ? utf8(payload) : payload)
}
