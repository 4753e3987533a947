/**
 * The codec: bytes ↔ frame.
 *
 * ```text
 * 0        4                    4 + n
 * ┌────────┬────────────────────┬───────────────────┐
 * │ n      │ header, n bytes    │ payload, the rest │
 * │ uint32 │ JSON, UTF-8        │ opaque            │
 * │ big e. │                    │                   │
 * └────────┴────────────────────┴───────────────────┘
 * ```
 *
 * One WebSocket binary message holds one frame. Whoever routes reads the header and passes the payload on as the same
 * bytes: decoding never copies or looks into it.
 */
import { GreenroomError, type ErrorCode } from './error.ts'
import { limits } from './limits.ts'

/** A frame taken apart. The header is not yet checked: hand it to {@link parseClientHeader} or {@link parseBrokerHeader}. */
export interface RawFrame {
  /** What the header says, as JSON: not yet checked. */
  readonly header: unknown
  /** A view into the received bytes: copy it to keep it longer than the message. */
  readonly payload: Uint8Array
}

const PREFIX = 4
const encoder = new TextEncoder()
// A byte order mark is no JSON: it must not slip through.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** Where a header is encoded before its length is known: a third cheaper than bytes of its own for each. */
const scratch = new Uint8Array(limits.headerBytes)

/** The payload of a frame that has none. */
export const noPayload: Uint8Array = new Uint8Array(0)

/**
 * Puts a header and a payload together.
 *
 * @param header - a bus frame's header
 * @param payload - the opaque bytes; none by default
 * @returns the bytes of one WebSocket message
 * @throws GreenroomError `FRAME_TOO_LARGE` when a limit is passed, `BAD_FRAME` when JSON cannot say the header
 *
 * @example
 * ```ts
 * import { decodeFrame, encodeFrame } from '@greenroom/proto'
 *
 * const bytes = encodeFrame({ t: 'live', to: 'runner.1', kind: 'events' }, new Uint8Array([1, 2, 3]))
 * console.log(decodeFrame(bytes).header, decodeFrame(bytes).payload.length) // { t: 'live', … } 3
 * ```
 */
export function encodeFrame(header: object, payload: Uint8Array = noPayload): Uint8Array {
  checkSize('payload', payload.length, limits.payloadBytes)
  const text = toJson(header, 'header')
  const { read, written } = encoder.encodeInto(text, scratch)
  if (read < text.length) throw new GreenroomError('FRAME_TOO_LARGE', `header of more than ${limits.headerBytes} bytes`)
  const bytes = new Uint8Array(PREFIX + written + payload.length)
  new DataView(bytes.buffer).setUint32(0, written)
  bytes.set(scratch.subarray(0, written), PREFIX)
  bytes.set(payload, PREFIX + written)
  return bytes
}

/**
 * Takes a frame apart without touching its payload.
 *
 * @param bytes - one WebSocket message
 * @throws GreenroomError `BAD_FRAME` when it is cut short or its header is not JSON, `FRAME_TOO_LARGE` when a limit is
 * passed
 */
export function decodeFrame(bytes: Uint8Array): RawFrame {
  checkSize('frame', bytes.length, limits.frameBytes)
  if (bytes.length < PREFIX) throw new GreenroomError('BAD_FRAME', `frame of ${bytes.length} bytes has no prefix`)
  const size = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
  checkSize('header', size, limits.headerBytes)
  const end = PREFIX + size
  if (end > bytes.length) throw new GreenroomError('BAD_FRAME', `header of ${size} bytes is cut short`)
  checkSize('payload', bytes.length - end, limits.payloadBytes)
  return { header: fromJson(bytes.subarray(PREFIX, end), 'BAD_FRAME', 'header'), payload: bytes.subarray(end) }
}

/**
 * Encodes a JSON value as a payload.
 *
 * @param value - what JSON can say
 * @throws GreenroomError `BAD_FRAME` when JSON cannot say it (a bigint, a cycle, nested too deep), `FRAME_TOO_LARGE`
 * above {@link limits}.payloadBytes
 */
export function encodePayload(value: unknown): Uint8Array {
  const bytes = encoder.encode(toJson(value, 'payload'))
  checkSize('payload', bytes.length, limits.payloadBytes)
  return bytes
}

/**
 * Decodes a payload; what it holds is still to be checked.
 *
 * @param payload - UTF-8 JSON
 * @param code - what to refuse it with
 * @throws GreenroomError `BAD_FRAME`, or `code`, when it is not JSON in UTF-8
 */
export function decodePayload(payload: Uint8Array, code: ErrorCode = 'BAD_FRAME'): unknown {
  return fromJson(payload, code, 'payload')
}

function checkSize(part: string, size: number, limit: number): void {
  if (size > limit) throw new GreenroomError('FRAME_TOO_LARGE', `${part} of ${size} bytes; the limit is ${limit}`)
}

function toJson(value: unknown, part: string): string {
  try {
    const text: unknown = JSON.stringify(value)
    if (typeof text === 'string') return text
  } catch (cause) {
    throw new GreenroomError('BAD_FRAME', `the ${part} cannot be said in JSON`, { cause })
  }
  throw new GreenroomError('BAD_FRAME', `the ${part} cannot be said in JSON`)
}

function fromJson(bytes: Uint8Array, code: ErrorCode, part: string): unknown {
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch (cause) {
    throw new GreenroomError(code, `the ${part} is not JSON in UTF-8`, { cause })
  }
}
