import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  codeOf,
  decodeFrame,
  decodePayload,
  encodeFrame,
  encodePayload,
  GreenroomError,
  limits,
  noPayload,
} from '../src/index.ts'

const header = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue(), { noNullPrototype: true })

/** The code with which it throws; anything thrown that is no GreenroomError fails the test. */
function thrown(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(GreenroomError)
    return codeOf(error)
  }
}

describe('a frame', () => {
  test('comes out as it went in', () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 2000 }), (head, payload) => {
        const raw = decodeFrame(encodeFrame(head, payload))
        expect(raw.header).toEqual(JSON.parse(JSON.stringify(head)))
        expect(raw.payload).toEqual(payload)
      }),
    )
  })

  test('gives its payload as a view into the received bytes, wherever they begin in their buffer', () => {
    fc.assert(
      fc.property(fc.nat(64), fc.uint8Array({ minLength: 1, maxLength: 200 }), (offset, payload) => {
        const frame = encodeFrame({ t: 'ping' }, payload)
        const buffer = new Uint8Array(offset + frame.length + 3)
        buffer.set(frame, offset)
        const view = decodeFrame(buffer.subarray(offset, offset + frame.length)).payload
        expect(view.buffer).toBe(buffer.buffer)
        expect([view.byteOffset, view.length]).toEqual([offset + frame.length - payload.length, payload.length])
        buffer[view.byteOffset] = 255 - (payload[0] ?? 0)
        expect(view[0]).toBe(255 - (payload[0] ?? 0))
      }),
    )
  })

  test('of any bytes is read or refused with BAD_FRAME or FRAME_TOO_LARGE, never anything else', () => {
    const mangled = fc
      .tuple(
        header,
        fc.uint8Array({ maxLength: 40 }),
        fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }),
        fc.nat(300),
      )
      .map(([head, payload, changes, length]) => {
        const bytes = encodeFrame(head, payload)
        for (const [place, byte] of changes) if (place < bytes.length) bytes[place] = byte
        return bytes.subarray(0, length)
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), mangled), (bytes) => {
        expect([undefined, 'BAD_FRAME', 'FRAME_TOO_LARGE']).toContain(thrown(() => decodeFrame(bytes)))
      }),
      { numRuns: 2000 },
    )
  })

  test('keeps no hold of the bytes it was made of', () => {
    const payload = new Uint8Array([1, 2, 3])
    const [first, second] = [encodeFrame({ t: 'ping' }, payload), encodeFrame({ t: 'pong', more: 'x' })]
    payload[0] = 9
    expect(decodeFrame(first)).toEqual({ header: { t: 'ping' }, payload: new Uint8Array([1, 2, 3]) })
    expect(decodeFrame(second)).toEqual({ header: { t: 'pong', more: 'x' }, payload: noPayload })
  })
})

describe('the limits of a frame', () => {
  const padded = (bytes: number) => ({ x: 'é'.repeat((bytes - 8) / 2) })

  test('the header: as long as may be, in bytes and not in characters, and not longer', () => {
    const full = encodeFrame(padded(limits.headerBytes))
    expect(full.length).toBe(4 + limits.headerBytes)
    expect(decodeFrame(full).header).toEqual(padded(limits.headerBytes))
    expect(thrown(() => encodeFrame(padded(limits.headerBytes + 2)))).toBe('FRAME_TOO_LARGE')
    const longer = new Uint8Array(full.length + 1).fill(0x20)
    longer.set(full)
    new DataView(longer.buffer).setUint32(0, limits.headerBytes + 1)
    expect(thrown(() => decodeFrame(longer))).toBe('FRAME_TOO_LARGE')
  })

  test('the payload: as long as may be, and not longer', () => {
    const full = encodeFrame({}, new Uint8Array(limits.payloadBytes))
    expect(decodeFrame(full).payload.length).toBe(limits.payloadBytes)
    expect(thrown(() => encodeFrame({}, new Uint8Array(limits.payloadBytes + 1)))).toBe('FRAME_TOO_LARGE')
    const longer = new Uint8Array(full.length + 1)
    longer.set(full)
    expect(thrown(() => decodeFrame(longer))).toBe('FRAME_TOO_LARGE')
  })

  test('the frame: refused by its length alone', () => {
    expect(thrown(() => decodeFrame(new Uint8Array(limits.frameBytes + 1)))).toBe('FRAME_TOO_LARGE')
  })
})

describe('a payload', () => {
  test('comes out as it went in', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(decodePayload(encodePayload(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  test('of any bytes is read or refused with BAD_FRAME', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect([undefined, 'BAD_FRAME']).toContain(thrown(() => decodePayload(bytes)))
      }),
    )
  })

  test('that JSON cannot say is refused', () => {
    const cycle: { self?: object } = {}
    cycle.self = cycle
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
    for (const value of [undefined, () => 0, 1n, cycle, deep])
      expect(thrown(() => encodePayload(value))).toBe('BAD_FRAME')
    expect(thrown(() => encodeFrame(cycle))).toBe('BAD_FRAME')
  })

  test('that is too long is refused', () => {
    expect(encodePayload('x'.repeat(limits.payloadBytes - 2)).length).toBe(limits.payloadBytes)
    expect(thrown(() => encodePayload('x'.repeat(limits.payloadBytes - 1)))).toBe('FRAME_TOO_LARGE')
  })
})
