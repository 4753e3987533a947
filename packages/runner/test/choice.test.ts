/** Which of several resident workers a run goes to. */
import { createSeededRandom } from '@greenroom/bus/testing'
import { expect, test } from 'vitest'
import { choose } from '../src/placement/choice.ts'

test('of two that are drawn it is the less busy one: the busiest of three never', () => {
  const random = createSeededRandom(1)
  const members = [0, 0.5, 1].map((load, chosen) => ({ load, chosen }))
  const counts = [0, 0, 0]
  for (let n = 0; n < 600; n += 1) {
    const chosen = choose(members, random)?.chosen ?? 0
    counts[chosen] = (counts[chosen] ?? 0) + 1
  }
  expect(counts[2]).toBe(0)
  // The least busy one is among the two in two of three draws: always the same one would be where all runners meet.
  expect(counts[0]).toBeGreaterThan(340)
  expect(counts[1]).toBeGreaterThan(140)
})

test('of equally busy ones it is whoever was chosen longest ago', () => {
  const random = createSeededRandom(2)
  const members = [7, 3, 5].map((chosen) => ({ load: 0.5, chosen }))
  for (let n = 0; n < 20; n += 1) expect(choose(members, random)).toBe(members[1])
})

test('of two that are drawn, equally busy, it is whoever was chosen longest ago', () => {
  const random = createSeededRandom(4)
  const members = [5, 2, 1].map((chosen) => ({ load: chosen === 1 ? 1 : 0, chosen }))
  const counts = new Map(members.map((member) => [member.chosen, 0]))
  for (let n = 0; n < 600; n += 1) {
    const chosen = choose(members, random)?.chosen ?? 0
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1)
  }
  // Both are drawn in one of three draws, each with the busy one in another.
  expect(counts.get(2)).toBeGreaterThan(350)
  expect(counts.get(1)).toBe(0)
})

test('of several that never were it is any of them; of none, nobody', () => {
  const random = createSeededRandom(3)
  const members = [1, 2, 3].map(() => ({ load: 0, chosen: 0 }))
  expect(new Set(Array.from({ length: 50 }, () => choose(members, random))).size).toBe(3)
  expect(choose([], random)).toBeUndefined()
})
