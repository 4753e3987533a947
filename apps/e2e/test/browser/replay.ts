/**
 * Runs in a browser: replays every golden vector with `@greenroom/proto` and posts what it found to the server that
 * it came from. Violations of the content policy are gathered by the listener that is put before this bundle.
 */
import {
  codeOf,
  decodeFrame,
  decodeMessage,
  isRunKind,
  parseBrokerHeader,
  parseClientHeader,
  parseEvent,
  parseOutcome,
  parseProvision,
} from '@greenroom/proto'

/** What a browser posts back. */
export interface Report {
  /** How many vectors were replayed. */
  readonly replayed: number
  /** Those that came out otherwise than they say. */
  readonly wrong: readonly string[]
  /** What the content policy refused. */
  readonly violations: readonly string[]
}

interface Vector {
  readonly name: string
  readonly door: string
  readonly frame?: string
  readonly text?: string
  readonly code?: string
  readonly header?: unknown
  readonly payload?: string
  readonly message?: unknown
  readonly value?: unknown
}

declare const violations: string[]

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

/** What comes out, in the words of the vectors. */
function replay({ door, frame, text }: Vector): object {
  if (door === 'event') return { value: parseEvent(JSON.parse(text ?? '')) }
  if (door === 'outcome') return { value: parseOutcome(JSON.parse(text ?? '')) }
  if (door === 'provision') return { value: parseProvision(JSON.parse(text ?? '')) }
  const raw = decodeFrame(bytesOf(frame ?? ''))
  const header = door === 'client' ? parseClientHeader(raw.header) : parseBrokerHeader(raw.header)
  if (door !== 'message') return { header, payload: btoa(String.fromCharCode(...raw.payload)) }
  if (!('kind' in header) || !isRunKind(header.kind)) throw new Error('no kind')
  return { header, message: decodeMessage(header.kind, raw.payload) }
}

/** JSON with the fields of every object in one order. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  )
}

/** Why a vector came out otherwise than it says, if it did. */
function fault(vector: Vector): string | undefined {
  const { header, payload, message, value, code } = vector
  try {
    const came = sorted(replay(vector))
    return came === sorted({ header, payload, message, value }) ? undefined : `came out as ${came}`
  } catch (error) {
    return code !== undefined && codeOf(error) === code ? undefined : String(error)
  }
}

const get = async (path: string): Promise<unknown> => (await fetch(path)).json()
const names = (await get('/vectors')) as string[]
const files = (await Promise.all(names.map((name) => get(`/vectors/${name}`)))) as Vector[][]
const wrong = files.flat().flatMap((vector) => {
  const why = fault(vector)
  return why === undefined ? [] : [`${vector.door}: ${vector.name}: ${why}`]
})
const report: Report = { replayed: files.flat().length, wrong, violations }
await fetch(`/report/${'document' in globalThis ? 'page' : 'worker'}`, { method: 'POST', body: JSON.stringify(report) })
