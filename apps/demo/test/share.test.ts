import { describe, expect, test } from 'vitest'
import { HELPERS, shareOut, splitUp } from '../src/share.ts'

const files = Array.from({ length: 1000 }, (_, n) => ({ path: `file-${n}`, bytes: (n * 7919) % 100_000 }))
const bytes = new Map(files.map(({ path, bytes: size }) => [path, size]))

describe('shares', () => {
  test('hold every file once and about the same work', () => {
    const shares = shareOut(files, 7)
    expect(shares).toHaveLength(7)
    expect(shares.flat().sort()).toEqual(files.map(({ path }) => path).sort())
    const work = shares.map((paths) => paths.reduce((total, path) => total + (bytes.get(path) ?? 0), 0))
    expect(Math.max(...work) / Math.min(...work)).toBeLessThan(1.05)
  })

  test('begin with the largest', () => {
    const huge = { path: 'huge', bytes: 1_000_000_000 }
    const [first] = shareOut([...files, huge], 7)
    expect(first).toEqual(['huge'])
  })

  test('are split when they are worth it, each file once', () => {
    const parts = splitUp(files)
    expect(parts).toHaveLength(1 + HELPERS)
    expect(parts.flat().sort()).toEqual(files.map(({ path }) => path).sort())
    const few = files.slice(0, 5)
    expect(splitUp(few)).toEqual([few.map(({ path }) => path)])
    expect(splitUp([])).toEqual([[]])
  })

  test('are no more than there are files, and none is empty', () => {
    expect(shareOut(files.slice(0, 3), 16).map((paths) => paths.length)).toEqual([1, 1, 1])
    expect(shareOut([], 16)).toEqual([])
  })

  test('become more when a list would be too long for one message', () => {
    const shares = shareOut(files, 2, 100)
    expect(shares.flat().sort()).toEqual(files.map(({ path }) => path).sort())
    expect(Math.max(...shares.map((paths) => paths.join('').length))).toBeLessThanOrEqual(100)
    expect(shareOut([{ path: 'x'.repeat(500), bytes: 1 }], 2, 100)).toHaveLength(1)
  })
})
