import { expect, test } from 'vitest'
import { FindingBuilder } from '../src/finding-builder.ts'
import { finding, merge, TODOS, totalOf, type Finding } from '../src/tally.ts'

/** What a surveyor streams for these files. */
function streamed(paths: readonly string[]): Finding[] {
  const builder = new FindingBuilder()
  const pieces: Finding[] = []
  for (const path of paths) {
    const n = Number(path.match(/\d+/)?.[0])
    if (n % 97 === 0) builder.add(path, { status: 'vanished' })
    else if (n % 89 === 0) builder.add(path, { status: 'unreadable', bytes: n })
    else {
      const marked =
        n % 5 === 0
          ? [
              { line: 2, text: `TODO ${n}` },
              { line: 1, text: 'FIXME' },
            ]
          : []
      builder.add(path, { status: 'counted', lines: n % 50, bytes: n, marked, markedCount: marked.length })
    }
    if (builder.isFull) pieces.push(...builder.take())
  }
  pieces.push(...builder.take())
  expect(totalOf(merge(pieces))).toEqual(builder.total)
  return pieces
}

const paths = Array.from({ length: 3000 }, (_, n) => `${n}.${['ts', 'md', 'py', 'unknown'][n % 4]}`)

test('the result depends neither on the pieces nor on their order', () => {
  const whole = merge(streamed(paths))
  expect(totalOf(whole).files).toBe(paths.filter((_, n) => n % 97 !== 0).length)
  for (const children of [2, 3, 16]) {
    const dealt = Array.from({ length: children }, (_, child) => paths.filter((_, n) => n % children === child))
    const pieces = dealt.reverse().flatMap(streamed)
    expect(JSON.stringify(merge(pieces))).toBe(JSON.stringify(whole))
    expect(JSON.stringify(merge(dealt.map((share) => merge(streamed(share)))))).toBe(JSON.stringify(whole))
  }
})

test('pieces are small, and pass their own schema', () => {
  const pieces = streamed(paths)
  expect(pieces.length).toBeGreaterThan(10)
  for (const piece of pieces) {
    expect(JSON.stringify(piece).length).toBeLessThan(100_000)
    expect(finding.parse(JSON.parse(JSON.stringify(piece)))).toEqual(piece)
  }
})

test('languages come by lines, the ten longest by lines and name, marked lines by path and line', () => {
  const whole = merge(streamed(paths))
  const lines = Object.values(whole.languages).map((sum) => sum.lines)
  expect(lines).toEqual([...lines].sort((a, b) => b - a))
  expect(whole.longest).toHaveLength(10)
  expect(whole.longest.every((file) => file.lines === 49)).toBe(true)
  const names = whole.longest.map(({ path }) => path)
  expect(names).toEqual([...names].sort())
  expect(whole.todos.slice(0, 3)).toEqual([
    { path: '10.py', line: 1, text: 'FIXME' },
    { path: '10.py', line: 2, text: 'TODO 10' },
    { path: '100.ts', line: 1, text: 'FIXME' },
  ])
})

test('marked lines are kept up to a bound and counted beyond', () => {
  const piece = (n: number): Finding => ({
    ...merge([]),
    todos: Array.from({ length: 700 }, (_, line) => ({ path: `file-${n}`, line, text: 'TODO' })),
    todoCount: 700,
  })
  const pieces = Array.from({ length: 20 }, (_, n) => piece(n))
  const whole = merge(pieces)
  expect([whole.todos.length, whole.todoCount]).toEqual([TODOS, 14_000])
  const inSteps = pieces.reverse().reduce((sum, more) => merge([sum, more]), merge([]))
  expect(inSteps).toEqual(whole)
})
