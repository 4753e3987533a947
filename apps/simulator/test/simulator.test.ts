/** The simulator itself: its seeds, and that they replay. */
import { describe, expect, test } from 'vitest'
import { runSchedule } from '../src/schedule.ts'
import { regressions } from './regressions.ts'

const seedsPerTest = 100
/** Far above what it takes (3 to 8 s), far below what hanging would. */
const timeout = 120_000

describe('every promise is kept', () => {
  test.for([1, 101, 201, 301, 401])('from seed %i on', { timeout }, async (first) => {
    const failed: string[] = []
    for (let seed = first; seed < first + seedsPerTest; seed += 1) {
      const { violations } = await runSchedule(seed)
      if (violations.length > 0) failed.push(`seed ${seed}: ${violations.join('; ')}`)
    }
    expect(failed).toEqual([])
  })
})

test('aimed at approvals', { timeout }, async () => {
  const failed: string[] = []
  let decisions = 0
  for (let seed = 1; seed <= seedsPerTest; seed += 1) {
    const report = await runSchedule(seed, { aim: 'approvals' })
    decisions += report.decisions.length
    if (report.violations.length > 0) failed.push(`seed ${seed}: ${report.violations.join('; ')}`)
  }
  expect(failed).toEqual([])
  expect(decisions).toBeGreaterThan(1_000)
})

test('aimed at children', { timeout }, async () => {
  const failed: string[] = []
  let children = 0
  for (let seed = 1; seed <= seedsPerTest; seed += 1) {
    const report = await runSchedule(seed, { aim: 'children' })
    children += report.children.length
    if (report.violations.length > 0) failed.push(`seed ${seed}: ${report.violations.join('; ')}`)
  }
  expect(failed).toEqual([])
  expect(children).toBeGreaterThan(500)
})

test('aimed at questions, and at what ancestors decide', { timeout }, async () => {
  const failed: string[] = []
  const decided: string[] = []
  for (let seed = 1; seed <= seedsPerTest; seed += 1) {
    const report = await runSchedule(seed, { aim: 'talk' })
    decided.push(...report.decisions.filter((decision) => decision.startsWith('ancestor')))
    if (report.violations.length > 0) failed.push(`seed ${seed}: ${report.violations.join('; ')}`)
  }
  expect(failed).toEqual([])
  expect(decided.length).toBeGreaterThan(5)
})

test.for(regressions)('seed $seed: $was', { timeout }, async ({ seed, generation, aim }) => {
  expect((await runSchedule(seed, { generation, aim })).violations).toEqual([])
})

test('a seed does the same each time, step by step, and another seed something else', { timeout }, async () => {
  const digests = new Set<string>()
  for (const seed of [7, 18, 332, 510]) {
    const lines: string[] = []
    const first = await runSchedule(seed, { show: (line) => lines.push(line) })
    const second = await runSchedule(seed)
    expect(second).toEqual(first)
    expect(lines.length).toBe(first.steps)
    digests.add(first.digest)
  }
  expect(digests.size).toBe(4)
})
