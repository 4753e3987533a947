/** What a whole tree of runs may use: a run and all of its descendants together. */

/** A budget of a run and its descendants; what is absent is unlimited, 0 is zero. */
export interface Budget {
  /** Time in which they execute, added up, in milliseconds: two that execute at a time use it twice as fast. */
  readonly ms?: number
  /** Tokens, in and out. */
  readonly tokens?: number
  /** Money, in US dollars. */
  readonly usd?: number
  /** How many descendants are started. */
  readonly spawns?: number
}

/** Whether an amount is counted in whole ones. */
const known: Readonly<Record<keyof Budget, boolean>> = { ms: false, tokens: true, usd: false, spawns: true }
/** Beyond it numbers have gaps, and what is left of a budget would be none. */
const most = Number.MAX_SAFE_INTEGER

/** What a budget may bound. */
export const budgetNames: readonly (keyof Budget)[] = ['ms', 'tokens', 'usd', 'spawns']

/**
 * What is wrong with a budget.
 *
 * @param field - where it stands, for people
 * @param budget - anything, when the caller is not compiled
 * @returns undefined when it is one
 */
export function budgetFlaw(field: string, budget: unknown): string | undefined {
  if (typeof budget !== 'object' || budget === null) return `${field} must be an object`
  for (const [name, value] of Object.entries(budget)) {
    const amount = budgetNames.find((one) => one === name)
    if (amount === undefined) return `${field}: "${name}" must be one of ${budgetNames.join(', ')}`
    const isWhole = known[amount]
    const isValid = typeof value === 'number' && value >= 0 && value <= most && (!isWhole || Number.isInteger(value))
    if (value !== undefined && !isValid)
      return `${field}.${name} must be a ${isWhole ? 'whole ' : ''}number from 0 to ${most}`
  }
  return undefined
}
