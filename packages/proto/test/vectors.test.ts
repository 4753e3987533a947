import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { generated, vectorFiles } from '../scripts/generated.ts'
import type { FrameVector, RefusedVector, TextVector, Vector } from '../scripts/vector.ts'
import {
  codeOf,
  decodeFrame,
  decodeMessage,
  encodeFrame,
  encodeMessage,
  isRunKind,
  parseBrokerHeader,
  parseClientHeader,
  parseEvent,
  parseOutcome,
  parseProvision,
  type BrokerHeader,
  type ClientHeader,
  type RunKind,
} from '../src/index.ts'

const at = (path: string): URL => new URL(`../${path}`, import.meta.url)
const read = (name: string): Vector[] => JSON.parse(readFileSync(at(`vectors/${name}.json`), 'utf8')) as Vector[]
const names = [...vectorFiles().keys()]
const strict = names.filter((name) => name !== 'lenient' && name !== 'invalid')

function kindOf(header: ClientHeader | BrokerHeader): RunKind {
  if ('kind' in header && isRunKind(header.kind)) return header.kind
  throw new Error('the vector carries no run-protocol kind')
}

/** What comes out of a vector's door, in the words of the vector. */
function replay({
  door,
  frame,
  text,
}: {
  readonly door: Vector['door']
  readonly frame?: string
  readonly text?: string
}): object {
  if (door === 'event') return { value: parseEvent(JSON.parse(text ?? '')) }
  if (door === 'outcome') return { value: parseOutcome(JSON.parse(text ?? '')) }
  if (door === 'provision') return { value: parseProvision(JSON.parse(text ?? '')) }
  const raw = decodeFrame(Buffer.from(frame ?? '', 'hex'))
  const header = door === 'client' ? parseClientHeader(raw.header) : parseBrokerHeader(raw.header)
  if (door === 'message') return { header, message: decodeMessage(kindOf(header), raw.payload) }
  return { header, payload: Buffer.from(raw.payload).toString('base64') }
}

/** What comes out of a vector, put together again. */
function encode(vector: FrameVector | TextVector): string {
  const out = replay(vector)
  if ('value' in out) return JSON.stringify(out.value)
  const { header, payload, message } = out as { header: BrokerHeader; payload?: string; message?: never }
  const bytes = message === undefined ? Buffer.from(payload ?? '', 'base64') : encodeMessage(kindOf(header), message)
  return Buffer.from(encodeFrame(header, bytes)).toString('hex')
}

const isRefused = (vector: Vector): vector is RefusedVector => !vector.valid
const isRead = (vector: Vector): vector is FrameVector | TextVector => vector.valid

describe('the golden vectors', () => {
  test('are what the sources generate, byte for byte, with nothing beside them', () => {
    const files = generated()
    for (const [path, text] of files)
      expect(readFileSync(at(path), 'utf8'), `${path}: run "pnpm --filter @greenroom/proto generate"`).toBe(text)
    const found = ['vectors', 'schemas'].flatMap((folder) => readdirSync(at(folder)).map((name) => `${folder}/${name}`))
    expect(found.filter((path) => !files.has(path))).toEqual([])
  })

  test.each(names)('%s: every vector has a name of its own at its door', (name) => {
    const all = read(name).map((vector) => `${vector.door}: ${vector.name}`)
    expect(all.length).toBeGreaterThan(0)
    expect(all.filter((each, index) => all.indexOf(each) !== index)).toEqual([])
  })

  test.each([...strict, 'lenient'])('%s: what is decoded is what the vector says', (name) => {
    for (const vector of read(name).filter(isRead)) {
      const { name: what, door, valid: _valid, ...rest } = vector
      const { frame: _frame, text: _text, ...expected } = { frame: '', text: '', ...rest }
      expect(replay(vector), `${door}: ${what}`).toEqual(expected)
    }
  })

  test.each(strict)('%s: what is encoded again is the same bytes', (name) => {
    for (const vector of read(name).filter(isRead))
      expect(encode(vector), vector.name).toBe('frame' in vector ? vector.frame : vector.text)
  })

  test('invalid: everything is refused with its code', () => {
    const vectors = read('invalid')
    expect(vectors.filter(isRead)).toEqual([])
    for (const vector of vectors.filter(isRefused)) {
      let code: unknown = 'it was read'
      try {
        replay(vector)
      } catch (error) {
        code = codeOf(error) ?? error
      }
      expect(code, `${vector.door}: ${vector.name}`).toBe(vector.code)
    }
  })
})
