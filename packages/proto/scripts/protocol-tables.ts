/** The tables of PROTOCOL.md that repeat what the sources say. Each stands between two comments that name it. */
import { encodeFrame, errors, kinds, limits, type ErrorRow, type KindRow } from '../src/index.ts'

type Row = readonly string[]

function table(head: Row, rows: readonly Row[]): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)))
  const line = (row: Row): string => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

function errorTable(): string {
  const rows = Object.entries<ErrorRow>(errors)
  return table(
    ['code', 'retry', 'close', 'meaning'],
    rows.map(([code, { retry, close, text }]) => [`\`${code}\``, retry, close?.toString() ?? '', text]),
  )
}

function kindTable(): string {
  const rows = Object.entries<KindRow>(kinds)
  return table(
    ['kind', 'from', 'lane', 'credit'],
    rows.map(([kind, { from, lane, control }]) => [
      `\`${kind}\``,
      from,
      lane,
      lane === 'live' ? '' : control ? 'control' : 'data',
    ]),
  )
}

const limitTexts: { readonly [K in keyof typeof limits]: string } = {
  frameBytes: 'a whole frame, in bytes',
  headerBytes: 'the header of a frame, in bytes',
  payloadBytes: 'the payload of one message, in bytes',
  historyPartBytes: 'one `history` message, in bytes',
  provisionBytes: 'the provisioning document, in bytes',
  eventsPerMessage: 'events in one `events` message',
  heldIds: 'ids in `held` of an `attach`, and in one `ack`',
  helloMs: 'from the upgrade to `hello`',
  pingMs: 'between two pings of the broker; `welcome` says what holds',
  partitionGraceMs: 'from suspect to gone; `welcome` says what holds',
  dedupeWindowMs: 'for which ids are remembered; `welcome` says what holds',
  shortestVisibilityMs: 'the least `visibilityMs` of an `attach`',
  longestVisibilityMs: 'the most',
  bridgeCalls: 'calls over the bridge that a run has under way',
  depth: 'how deep children may be nested',
}

function limitTable(): string {
  const rows = Object.entries(limitTexts).map(([name, text]) => {
    const value: number = limits[name as keyof typeof limits]
    return [`\`${name}\``, value.toLocaleString('en'), text]
  })
  return table(['name', 'value', 'bounds'], rows)
}

/** One frame, byte by byte: 16 a line, as `hexdump -C` shows them. */
function exampleFrame(): string {
  const bytes = Buffer.from(encodeFrame({ t: 'live', to: 'runner.r1', kind: 'note' }, Buffer.from('hello')))
  const lines = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, index) => {
    const line = bytes.subarray(index * 16, index * 16 + 16)
    const hex = [...line].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    return `${(index * 16).toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${line.toString('latin1').replace(/[^\x20-\x7e]/g, '.')}`
  })
  return ['```text', ...lines, '```'].join('\n')
}

const sections: Readonly<Record<string, () => string>> = {
  errors: errorTable,
  kinds: kindTable,
  limits: limitTable,
  frame: exampleFrame,
}

/** The text with every generated section as the sources have it now. */
export function withTables(text: string): string {
  return Object.entries(sections).reduce((rest, [name, section]) => {
    const [open, close] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`]
    const [start, end] = [rest.indexOf(open), rest.indexOf(close)]
    if (start < 0 || end < start) throw new Error(`PROTOCOL.md has no section ${open} … ${close}`)
    return `${rest.slice(0, start + open.length)}\n\n${section()}\n\n${rest.slice(end)}`
  }, text)
}
