/**
 * What must hold of budgets.
 *
 * - *B1* What runs were let spend, in all lives, is never more than any budget that they draw on has; whoever is told that it has
 *   spent is let.
 * - *B2* No run ends by a budget that is not used up by what its tree tried to spend, or set aside; without one none does.
 */
import type { Budget, Outcome } from '@greenroom/proto'
import type { Checker, Execution } from './checker.ts'
import type { Journal } from './journal.ts'

/** What the rules look at. */
export interface BudgetParts {
  readonly checker: Checker
  readonly journal: Journal
  /** What a job is given, by its index. */
  readonly budgetOf: (job: number) => Budget | undefined
}

/** What became of one run's budget. */
interface Account {
  /** What it was given, if it was. */
  readonly tokens: number | undefined
  readonly parent: string
  tried: number
  let: number
  /** What is set aside out of it for children. */
  aside: number
  /** Nobody counts for a detached run before its end. */
  isLoose: boolean
}

/** See B1 and B2. */
export class BudgetRules {
  readonly #parts: BudgetParts
  readonly #accounts = new Map<string, Account>()
  /** Whether something was spent while the journal could not say by whose child. */
  #isBlind = false

  constructor(parts: BudgetParts) {
    this.#parts = parts
  }

  /** A child was promised. */
  spawned(runId: string): void {
    this.#above(runId)
  }

  /** It is about to say that it has spent. */
  spends({ runId, isDetached }: Execution, tokens: number): void {
    for (const account of this.#above(runId)) {
      account.tried += tokens
      account.isLoose ||= isDetached
    }
  }

  /** B1: it is let go on. */
  spent({ runId, job, epoch }: Execution, tokens: number): void {
    for (const account of this.#above(runId)) {
      account.let += tokens
      if (account.tokens === undefined || account.isLoose || account.let <= account.tokens) continue
      this.#violate('B1', `with job ${job}.${epoch} ${account.let} are spent of ${account.tokens}`)
    }
  }

  /** B2: to be called when all is settled. */
  finish(): void {
    const { journal } = this.#parts
    // Also what is set aside for children whose parents never heard of them.
    for (const runId of journal.runs()) this.#above(runId)
    for (const runId of journal.runs()) this.#finish(runId, journal.outcomes(runId)[0])
  }

  #finish(runId: string, outcome: Outcome | undefined): void {
    if (this.#isBlind || outcome?.status !== 'failed' || outcome.code !== 'LIMIT_BUDGET') return
    const isUsedUp = this.#above(runId).some(
      ({ tokens, tried, aside, isLoose }) => isLoose || (tokens !== undefined && tried + aside > tokens),
    )
    if (!isUsedUp) this.#violate('B2', `${runId} ended by a budget: ${outcome.message}`)
  }

  /** Its own account, and those of its ancestors. */
  #above(runId: string): readonly Account[] {
    const own = this.#accounts.get(runId) ?? this.#open(runId)
    if (own === undefined) return []
    return own.parent === '' ? [own] : [own, ...this.#above(own.parent)]
  }

  #open(runId: string): Account | undefined {
    const { journal, budgetOf } = this.#parts
    const job = journal.jobOf(runId)
    if (job === undefined) {
      this.#isBlind = true
      return undefined
    }
    const parent = journal.kin(runId)?.parent ?? ''
    const tokens = budgetOf(job)?.tokens
    const account = { tokens, parent, tried: 0, let: 0, aside: 0, isLoose: false }
    this.#accounts.set(runId, account)
    if (parent !== '' && tokens !== undefined) for (const above of this.#above(parent)) above.aside += tokens
    return account
  }

  #violate(rule: string, text: string): void {
    this.#parts.checker.violate(rule, text)
  }
}
