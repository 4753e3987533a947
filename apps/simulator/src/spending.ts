/** What the runs of one schedule spend, and what their trees may: drawn beside the rest, which stays as it was. */
import type { Budget } from '@greenroom/proto'
import type { Chance } from './chance.ts'
import type { Act, Job, Workload } from './workload.ts'

/**
 * Lets jobs spend, and bounds what some of their trees may.
 *
 * @param isAimed - whether surely
 * @returns undefined when none does
 */
export function drawSpending(chance: Chance, workload: Workload, isAimed: boolean): Workload | undefined {
  const hasBudgets = chance.happens(0.4) || isAimed
  if (!hasBudgets) return undefined
  const { jobs, children } = workload
  return {
    ...workload,
    jobs: jobs.map((job) => ({ ...spending(chance, job), ...budgetOf(chance, 0.7) })),
    ...(children && { children: children.map((child) => spending(chance, child)) }),
  }
}

function budgetOf(chance: Chance, share: number): { readonly budget?: Budget } {
  const isBounded = chance.happens(share)
  const tokens = chance.one([0, 10, 40, 40, 120])
  const isNarrow = chance.happens(0.2)
  const spawns = chance.below(4)
  return isBounded ? { budget: { tokens, ...(isNarrow ? { spawns } : {}) } } : {}
}

/** The same job, which spends among its acts; some children that it starts have budgets of their own. */
function spending(chance: Chance, job: Job): Job {
  const acts = job.acts.flatMap((act): Act[] => {
    const spends = chance.happens(0.35)
    const spend: Act = { spend: chance.between(1, 20) }
    const own = bounded(chance, act)
    return spends && act !== 'hang' && act !== 'deaf' ? [spend, own] : [own]
  })
  return { ...job, acts }
}

function bounded(chance: Chance, act: Act): Act {
  if (typeof act === 'string' || !('family' in act) || act.family.do !== 'spawn') return act
  const isBounded = chance.happens(0.3)
  const tokens = chance.below(30)
  return isBounded ? { family: { ...act.family, budget: { tokens } } } : act
}
