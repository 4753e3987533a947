/** What a run used, against what it may. */
import type { Limits } from './message.ts'
import type { Usage } from './outcome.ts'

/** What can be used, as {@link Usage} names it. */
export const usageNames = ['inputTokens', 'outputTokens', 'costUsd', 'rounds'] as const

/**
 * Exact to a billionth: a sum of amounts such as 0.1 and 0.2 is not to exceed 0.3. What no number can hold is the greatest
 * that one can: JSON has no infinity, so a record of it could not be read.
 */
function exact(amount: number): number {
  const rounded = Math.round(amount * 1e9) / 1e9
  return Number.isFinite(rounded) ? rounded : Math.min(amount, Number.MAX_VALUE)
}

function merge(a: Usage, b: Usage, pick: (a: number, b: number) => number): Usage {
  const merged: { -readonly [Field in keyof Usage]: Usage[Field] } = {}
  for (const field of usageNames) {
    if (a[field] !== undefined || b[field] !== undefined) merged[field] = exact(pick(a[field] ?? 0, b[field] ?? 0))
  }
  return merged
}

/**
 * Adds up what was used.
 *
 * @param a - what was used before
 * @param b - what was used since
 * @returns the sum, exact to a billionth, and at most the greatest number there is; what neither says is not there
 */
export function addUsage(a: Usage, b: Usage): Usage {
  return merge(a, b, (before, since) => before + since)
}

/**
 * What was used for certain, by two accounts of the same: nobody can say afterwards that it was less than was told.
 *
 * @param a - one account
 * @param b - the other
 * @returns the greater of each field, exact to a billionth; what neither says is not there
 */
export function greaterUsage(a: Usage, b: Usage): Usage {
  return merge(a, b, Math.max)
}

/**
 * Which limit is exceeded by what was used. A limit that is just reached is not: 0 of something is exceeded by the first
 * use of it.
 *
 * @param limits - what may be used; an absent one is none
 * @param usage - what was used
 * @returns the code of the failure, or undefined
 */
export function exceededLimit(
  limits: Limits,
  usage: Usage,
): 'LIMIT_ROUNDS' | 'LIMIT_TOKENS' | 'LIMIT_COST' | undefined {
  const { inputTokens = 0, outputTokens = 0, costUsd = 0, rounds = 0 } = usage
  if (rounds > (limits.rounds ?? Infinity)) return 'LIMIT_ROUNDS'
  if (inputTokens + outputTokens > (limits.tokens ?? Infinity)) return 'LIMIT_TOKENS'
  return costUsd > (limits.costUsd ?? Infinity) ? 'LIMIT_COST' : undefined
}
