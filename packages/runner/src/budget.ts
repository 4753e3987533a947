/** The budget of a run and its descendants: where it comes from. */
import { budgetFlaw, budgetNames, GreenroomError, type Budget } from '@greenroom/proto'

/** A budget, that of {@link Budget}: what is absent is as elsewhere, 0 is zero, null is unlimited. */
export type BudgetOptions = { readonly [Name in keyof Budget]?: Budget[Name] | null }

/**
 * Checks a budget.
 *
 * @param field - where it stands
 * @param budget - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS` naming the field
 */
export function checkBudget(field: string, budget: unknown): void {
  if (budget === undefined) return
  const isObject = typeof budget === 'object' && budget !== null
  const bounds = isObject
    ? Object.fromEntries(Object.entries(budget).map(([name, of]) => [name, of ?? undefined]))
    : budget
  const flaw = budgetFlaw(field, bounds)
  if (flaw !== undefined) throw new GreenroomError('BAD_OPTIONS', flaw)
}

/**
 * The budget of a run.
 *
 * @param layers - later ones replace earlier ones, each amount for itself
 */
export function resolveBudget(...layers: readonly (BudgetOptions | undefined)[]): Budget {
  const budget: { -readonly [Name in keyof Budget]: Budget[Name] } = {}
  for (const layer of layers) {
    for (const name of budgetNames) {
      const amount = layer?.[name]
      if (amount === null) delete budget[name]
      else if (amount !== undefined) budget[name] = amount
    }
  }
  return budget
}
