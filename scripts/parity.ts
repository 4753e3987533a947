/**
 * Holds `docs/parity.md` to what it says: every number of its table of parts has exactly one row, every row names a file
 * and tests that are there, or says why not; and with the report of a test run (`--report FILE`, as the count reporter
 * writes it) that each named test ran and passed. Where the notes that the numbers come from lie beside the repository,
 * the table of parts is held to them, too.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Ran, Report } from './count-reporter.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What a row names. */
interface Proof {
  /** As the document says it: `runner/queue`. */
  readonly key: string
  /** Of one test. Without: all tests of the file. */
  readonly title?: string
}

/** A row of the document. */
interface Row {
  /** `17`, `B3`. */
  readonly number: string
  readonly here: string
  /** Below `packages/`. */
  readonly file: string
  readonly proofs: readonly Proof[]
  /** What of the last cell is neither a name nor a title: nothing, where it is written right. */
  readonly rest: string
}

/** Which numbers a part has. */
interface Part {
  readonly name: string
  readonly last: number
  readonly leftOut: ReadonlySet<number>
}

const cellsOf = (line: string): string[] => line.split('|').map((cell) => cell.trim())
const numbersIn = (text: string): number[] => (text.match(/\d+/g) ?? []).map(Number)
const proofPattern = /`([a-z0-9-]+(?:\/[a-z-]+)+)`(?: \((all)\)((?:,? “[^”]+”)*)|((?:,? “[^”]+”)+))/g

function partsOf(text: string): Part[] {
  return [...text.matchAll(/^\| ([A-Z]) +\| 1–(\d+) +\|([^|]*)\|$/gm)].map(
    ([, name = '', last = '', leftOut = '']) => ({
      name,
      last: Number(last),
      leftOut: new Set(numbersIn(leftOut)),
    }),
  )
}

function rowsOf(text: string): Row[] {
  const lines = text.split('\n').filter((line) => /^\| +[A-Z]?\d+ +\|/.test(line))
  return lines.map((line) => {
    const [, number = '', here = '', file = '', shown = ''] = cellsOf(line)
    const proofs = [...shown.matchAll(proofPattern)].flatMap(([, key = '', all, first, only]): Proof[] => [
      ...(all === undefined ? [] : [{ key }]),
      ...[...(first ?? only ?? '').matchAll(/“([^”]+)”/g)].map(([, title = '']) => ({ key, title })),
    ])
    return { number, here, file, proofs, rest: shown.replaceAll(proofPattern, '').replaceAll(/[; ]/g, '') }
  })
}

/** The files, from the root, that have the tests which the document calls `area/name`. */
function testFiles(key: string): { readonly source: string; readonly runs: readonly string[] } {
  const [area = '', ...name] = key.split('/')
  if (area === 'suite')
    return {
      source: `packages/bus/src/testing/${name.join('/')}-cases.ts`,
      runs: ['packages/bus/test/memory.test.ts', 'packages/broker/test/contract.test.ts'],
    }
  const folder = existsSync(join(root, 'packages', area)) ? 'packages' : 'apps'
  const source = `${folder}/${area}/test/${name.join('/')}.test.ts`
  return { source, runs: [source] }
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')

/** A title as it stands in a file, as a pattern of what it is called when it runs. */
function patternOf(title: string): RegExp {
  const words = title.split(/%[a-z]|\$\{[^}]*\}|\$[a-z]\w*/i).map(escaped)
  return new RegExp(`^${words.join('.*')}$`, 's')
}

const sources = new Map<string, string>()
/** A source file, with the quotes and letters that it escapes. */
function sourceOf(path: string): string {
  const known = sources.get(path)
  if (known !== undefined) return known
  const text = existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : ''
  const plain = text
    .replaceAll(/\\u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .replaceAll(/\\(['"`])/g, '$1')
  sources.set(path, plain)
  return plain
}

/** What is wrong with a test, or a file of them, that a row names. */
function proofFaults({ key, title }: Proof): string[] {
  const source = sourceOf(testFiles(key).source)
  if (source === '') return [`there is no file for ${key}`]
  if (title === undefined) return []
  if (!/[^.*^$ ]/.test(patternOf(title).source)) return [`“${title}” is any test: name a case of it`]
  const quoted = ["'", '"', '`'].map((quote) => `${quote}${title}${quote}`)
  const before = key.startsWith('suite/') ? String.raw`(?:\(|\bname:)` : String.raw`\(`
  if (quoted.some((literal) => new RegExp(`${before}\\s*${escaped(literal)}`).test(source))) return []
  // A case is called what it says where its table is titled by that alone.
  const isCase = quoted.some((literal) => source.includes(literal)) && /\(\s*['"`](?:%s|\$\w+)['"`],/.test(source)
  return isCase ? [] : [`${key} has no test “${title}”`]
}

/** What is wrong with what a row says of files and tests. */
function faultsOf({ here, file, proofs, rest }: Row): string[] {
  const faults = proofs.flatMap(proofFaults)
  if (rest !== '') faults.push(`the last cell says more than tests: ${rest}`)
  if (file === '' || !existsSync(join(root, 'packages', file))) faults.push(`there is no file packages/${file}`)
  const isExcused = /^(?:Not carried over|Not done|open: )/.test(here)
  if (proofs.length === 0 && !isExcused) faults.push('it names no test, and does not say why')
  if (here.includes('open: ') && !/open: (?:§\d+|an executor package)/.test(here))
    faults.push('what is open names no section')
  return faults
}

/** What is wrong with the numbers. */
function numberFaults(parts: readonly Part[], rows: readonly Row[]): string[] {
  const counts = new Map<string, number>()
  for (const { number } of rows) counts.set(number, (counts.get(number) ?? 0) + 1)
  const faults: string[] = []
  for (const { name, last, leftOut } of parts) {
    for (let n = 1; n <= last; n += 1) {
      const number = name === 'A' ? `${n}` : `${name}${n}`
      const count = counts.get(number) ?? 0
      if (count !== (leftOut.has(n) ? 0 : 1)) faults.push(`${number} has ${count} rows`)
      counts.delete(number)
    }
  }
  return [...faults, ...[...counts.keys()].map((number) => `${number} is of no part`)]
}

/** In what the table of parts differs from the notes. */
function notesFaults(parts: readonly Part[], notes: string): string[] {
  const section = (name: string): string => notes.split(/^# /m).find((text) => text.startsWith(`${name}. `)) ?? ''
  const numbered = (text: string, pattern: RegExp): number[] =>
    [...text.matchAll(pattern)].map(([, number]) => Number(number))
  const features = section('A').split(/^## A26\b/m)[0] ?? ''
  const last: Readonly<Record<string, number>> = {
    A: Math.max(...numbered(features, /^\| (\d+) \|/gm)),
    B: Math.max(...numbered(section('B'), /^(\d+)\. /gm)),
    C: Math.max(...numbered(section('C'), /^\| C(\d+) \|/gm)),
    D: section('D').match(/^- \[ \]/gm)?.length ?? 0,
  }
  const later = numbered(features, /^\| (\d+) \| \[[ML]/gm).join(', ')
  const faults = parts
    .filter(({ name, last: said }) => Object.hasOwn(last, name) && last[name] !== said)
    .map(({ name }) => `the notes end part ${name} with ${last[name]}`)
  const leftOut = parts.find(({ name }) => name === 'A')?.leftOut ?? []
  if (later !== [...leftOut].join(', ')) faults.push(`the notes leave out ${later}`)
  return faults
}

/** The named tests of a row that did not run or did not pass; one that this machine cannot run needs another beside it. */
function unproven({ proofs }: Row, ran: readonly Ran[]): string[] {
  let passed = 0
  const faults = proofs.flatMap(({ key, title }) => {
    const { runs } = testFiles(key)
    const isNamed = title === undefined ? () => true : ({ name }: Ran) => patternOf(title).test(name)
    const found = ran.filter((test) => runs.includes(test.file) && isNamed(test))
    const named = title === undefined ? `all of ${key}` : `${key} “${title}”`
    if (found.length === 0) return [`${named} did not run`]
    if (found.some(({ state }) => state === 'failed')) return [`${named} failed`]
    if (found.some(({ state }) => state === 'passed')) passed += 1
    return []
  })
  if (faults.length === 0 && passed === 0 && proofs.length > 0) faults.push('all its tests were skipped')
  return faults
}

const parity = readFileSync(join(root, 'docs/parity.md'), 'utf8')
const rows = rowsOf(parity)

/** What is wrong with the document, one line each. */
export function checkParity(notes: string | undefined): string[] {
  const parts = partsOf(parity)
  return [
    ...numberFaults(parts, rows),
    ...rows.flatMap((row) => faultsOf(row).map((fault) => `${row.number}: ${fault}`)),
    ...(notes === undefined ? [] : notesFaults(parts, notes)),
  ]
}

/** Which of its tests did not run or did not pass, one line each. */
export function checkProofs(ran: readonly Ran[]): string[] {
  return rows.flatMap((row) => unproven(row, ran).map((fault) => `${row.number}: ${fault}`))
}

if (import.meta.main) {
  const options = { notes: { type: 'string', default: join(root, '../shared/reference.md') } } as const
  const { values } = parseArgs({ options: { ...options, report: { type: 'string' } } })
  const read = (path: string): string => readFileSync(path, 'utf8')
  const faults =
    values.report === undefined
      ? checkParity(existsSync(values.notes) ? read(values.notes) : undefined)
      : checkProofs((JSON.parse(read(values.report)) as Report).tests)
  for (const fault of faults) console.error(fault)
  const named = rows.flatMap(({ proofs }) => proofs)
  const tests = named.filter(({ title }) => title !== undefined).length
  const files = named.length - tests
  console.error(`${rows.length} rows, ${tests} tests and ${files} files of them named, ${faults.length} faults`)
  process.exitCode = faults.length > 0 ? 1 : 0
}
