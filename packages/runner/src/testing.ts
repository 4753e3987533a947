/** Parts of the runner for whoever breaks them on purpose, to see that it is noticed. Not published. */
export { Execution } from './execution.ts'
export { BudgetedRun } from './budgeted-run.ts'
export { PermitHolder } from './permit-holder.ts'
export { RunChildren } from './run-children.ts'
