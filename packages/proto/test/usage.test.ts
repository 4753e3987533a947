import { expect, test } from 'vitest'
import { addUsage, exceededLimit, greaterUsage } from '../src/index.ts'

test('what was used adds up; what nobody said is not there', () => {
  expect(addUsage({}, {})).toEqual({})
  expect(addUsage({ rounds: 1 }, { inputTokens: 2 })).toEqual({ rounds: 1, inputTokens: 2 })
  expect(addUsage({ inputTokens: 1, outputTokens: 0 }, { inputTokens: 2, outputTokens: 3, costUsd: 0.5 })).toEqual({
    inputTokens: 3,
    outputTokens: 3,
    costUsd: 0.5,
  })
})

test('of two accounts of the same use the greater counts, field by field; what neither says is not there', () => {
  expect(greaterUsage({}, {})).toEqual({})
  expect(greaterUsage({ rounds: 3, inputTokens: 0 }, { rounds: 2, costUsd: 0.1 + 0.2 })).toEqual({
    rounds: 3,
    inputTokens: 0,
    costUsd: 0.3,
  })
})

test('money that adds up to its limit does not exceed it', () => {
  const used = addUsage({ costUsd: 0.1 }, { costUsd: 0.2 })
  expect(exceededLimit({ costUsd: 0.3 }, used)).toBeUndefined()
  expect(exceededLimit({ costUsd: 0.3 }, addUsage(used, { costUsd: 0.000001 }))).toBe('LIMIT_COST')
})

test.for([
  [{}, { rounds: 1e9, inputTokens: 1e12, costUsd: 1e6 }, undefined],
  [{ rounds: 2 }, { rounds: 2 }, undefined],
  [{ rounds: 2 }, { rounds: 3 }, 'LIMIT_ROUNDS'],
  [{ rounds: 0 }, {}, undefined],
  [{ rounds: 0 }, { rounds: 1 }, 'LIMIT_ROUNDS'],
  [{ tokens: 5 }, { inputTokens: 3, outputTokens: 2 }, undefined],
  [{ tokens: 5 }, { inputTokens: 3, outputTokens: 3 }, 'LIMIT_TOKENS'],
  [{ tokens: 0 }, { outputTokens: 1 }, 'LIMIT_TOKENS'],
  [{ costUsd: 0 }, { costUsd: 0.01 }, 'LIMIT_COST'],
] as const)('of %j the use of %j exceeds %s', ([limits, usage, code]) => {
  expect(exceededLimit(limits, usage)).toBe(code)
})

test('what no number can hold is the greatest that one can, and stays JSON', () => {
  const used = { inputTokens: 1e300, outputTokens: 1.5e308, costUsd: Number.MAX_VALUE }
  expect(addUsage(used, {})).toEqual(used)
  expect(greaterUsage(used, { inputTokens: 1 })).toEqual(used)
  const twice = addUsage(used, used)
  expect(twice).toEqual({ inputTokens: 2e300, outputTokens: Number.MAX_VALUE, costUsd: Number.MAX_VALUE })
  expect(JSON.parse(JSON.stringify(twice))).toEqual(twice)
  expect(exceededLimit({ tokens: 1 }, twice)).toBe('LIMIT_TOKENS')
})
