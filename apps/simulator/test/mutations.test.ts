/** That the simulator notices what is broken on purpose. */
import { describe, expect, test } from 'vitest'
import { mutations, placeOf } from '../src/mutations.ts'
import { runSchedule } from '../src/schedule.ts'

const seedsPerTest = 200
/** Far above what it takes, far below what hanging would. */
const timeout = 120_000

describe('what is broken on purpose is noticed', () => {
  // These take longer: `npm run simulate -- --mutations`.
  const slow = ['no-end', 'early-claim', 'early-revoke', 'forgotten-spending', 'stale-questions']
  test.for(mutations.filter(({ name }) => !slow.includes(name)))('$name: $says', { timeout }, async (mutation) => {
    let violations: readonly string[] = []
    for (let seed = 1; seed <= seedsPerTest && violations.length === 0; seed += 1)
      ({ violations } = await runSchedule(seed, { mutation, ...placeOf(mutation) }))
    expect(violations).not.toEqual([])
  })
})
