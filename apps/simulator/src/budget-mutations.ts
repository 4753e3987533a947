/** Broken promises about budgets. */
import { BudgetedRun } from '@greenroom/runner/testing'
import { storeWith, type Store } from '@greenroom/store'
import type { Mutation } from './mutations.ts'
import { replaced } from './replaced.ts'

/** All of them. */
export const budgetMutations: readonly Mutation[] = [
  {
    name: 'forgotten-spending',
    says: 'a next life of the runner does not know what was spent',
    isOfBudgets: true,
    store: (store, whose, life) => (whose === 'runner' && life > 1 ? forgetful(store) : store),
  },
  {
    name: 'free-spending',
    says: 'whose budget is used up is told so, and goes on',
    isOfBudgets: true,
    patch: () => replaced(BudgetedRun.prototype, 'enforce', () => () => undefined),
  },
]

function forgetful(store: Store): Store {
  return storeWith(store, {
    get: (collection, key) => {
      const record = store.get(collection, key)
      if (record === undefined || collection !== 'budget') return record
      return { ...record, meta: { ...record.meta, drawn: { ms: 0, tokens: 0, usd: 0 } } }
    },
  })
}
