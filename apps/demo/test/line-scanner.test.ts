import { describe, expect, test } from 'vitest'
import { LineScanner } from '../src/line-scanner.ts'

/** Scans a content that arrives in chunks of this size. */
function scan(content: string | Buffer, chunk = 65_536): LineScanner {
  const bytes = Buffer.from(content)
  const scanner = new LineScanner()
  const buffer = Buffer.alloc(chunk)
  for (let at = 0; at < bytes.length; at += chunk)
    scanner.push(buffer.subarray(0, bytes.copy(buffer, 0, at, at + chunk)))
  scanner.end()
  return scanner
}

describe('lines', () => {
  test.each([
    ['', 0],
    ['a', 0],
    ['a\n', 1],
    ['\n\n', 2],
    ['a\r\nb\r\n', 2],
    ['a\rb\r', 0],
    ['a\u2028b\n', 1],
  ])('%j has %d newline characters', (content, lines) => {
    expect(scan(content)).toMatchObject({ lines, bytes: Buffer.byteLength(content), binary: false })
  })

  test('a NUL byte makes a file binary exactly in its first 8 KiB, however the chunks fall', () => {
    const text = (at: number): Buffer =>
      Buffer.concat([Buffer.from('TODO\n'.repeat(2000)).subarray(0, at), Buffer.of(0)])
    for (const chunk of [1, 7, 4096, 8191, 8192, 8193, 65_536]) {
      expect(scan(text(8191), chunk)).toMatchObject({ binary: true, lines: 0, markedCount: 0, marked: [] })
      expect(scan(text(8192), chunk)).toMatchObject({ binary: false, lines: 1638, markedCount: 1638 })
    }
  })
})

describe('marked lines', () => {
  const content = 'a TODO b\nTODOs xTODO TODO_ 1FIXME\n\tFIXME:\r\n(TODO)\néTODOé\nTODO TODO\nfixme\nTODO'

  test('say TODO or FIXME as a word of their own, and are found however the chunks fall', () => {
    const marked = [
      { line: 1, text: 'a TODO b' },
      { line: 3, text: 'FIXME:' },
      { line: 4, text: '(TODO)' },
      { line: 5, text: 'éTODOé' },
      { line: 6, text: 'TODO TODO' },
      { line: 8, text: 'TODO' },
    ]
    for (let chunk = 1; chunk < 100; chunk++) expect(scan(content, chunk).marked, `chunks of ${chunk}`).toEqual(marked)
  })

  test('are cut to 200 characters, never through one', () => {
    const { marked } = scan(`  ${'x'.repeat(199)}🎉 TODO\n`)
    expect(marked).toEqual([{ line: 1, text: 'x'.repeat(199) }])
  })

  test('of a line longer than memory are found anywhere in it, and shown from its start', () => {
    const { marked, lines } = scan(`\n${'ab '.repeat(1_000_000)}TODO${' cd'.repeat(1_000_000)}\n`)
    expect(lines).toBe(2)
    expect(marked).toEqual([{ line: 2, text: 'ab '.repeat(67).slice(0, 200) }])
  })

  test('of one file are kept up to a thousand, and counted beyond', () => {
    const { marked, markedCount } = scan('TODO\n'.repeat(1500))
    expect([marked.length, markedCount]).toEqual([1000, 1500])
  })
})
