/**
 * A run that draws on budgets: its own and, for what that does not bound, that of its nearest ancestor which does.
 *
 * - *B1* Each amount is for itself: a run draws its tokens on one budget and its money, maybe, on another.
 * - *B2* What a run may use is set aside where its parent draws, from its begin until it and all of its descendants have ended;
 *   then what they used counts there, however much that was.
 * - *B3* What was told to be used is never taken back: of two accounts of the same the greater counts.
 * - *B4* When a budget is used up each attempt that draws on it is ended, and none begins. Who has something set aside has it.
 */
import { budgetNames, GreenroomError, type Budget, type RunEvent, type Usage, type WireEvent } from '@greenroom/proto'
import type { Operation } from '@greenroom/store'
import type { AttemptHooks } from './attempt.ts'
import type { BudgetRecord, Drawn } from './budget-journal.ts'
import type { Attempt, Exceeded } from './drive/index.ts'

/** What runs use up themselves; `spawns` is used up by their parents. */
const drawnNames = ['tokens', 'usd', 'ms'] as const
const nothing: Required<Budget> = { ms: 0, tokens: 0, usd: 0, spawns: 0 }

/** The attempt of a run that draws. */
export type DrawingAttempt = Pick<Attempt, 'spent' | 'isExecuting' | 'counted' | 'exceed'>

/** What a run draws within. */
export interface BudgetTree {
  /** Something was drawn, or time passes for more or fewer of them. */
  changed(): void
  /** It begins with this run. */
  add(root: BudgetedRun): void
  /** What records a run. */
  put(runId: string, record: BudgetRecord): Operation
  /** It draws no more, nor does any descendant. */
  forget(run: BudgetedRun): void
}

/** What a run is recorded with. */
export interface BudgetedRunOptions {
  readonly id: string
  readonly tree: BudgetTree
  readonly parent: BudgetedRun | undefined
  readonly budget: Budget
  /** What it used in an earlier life of the runner. */
  readonly drawn?: Drawn
}

/** What runs are charged at one moment: each is counted once, however many draw on it. */
export class Charges {
  readonly #known: Readonly<Record<keyof Budget, Map<BudgetedRun, number>>> = {
    ms: new Map(),
    tokens: new Map(),
    usd: new Map(),
    spawns: new Map(),
  }

  /** What a run is charged. */
  of(run: BudgetedRun, name: keyof Budget): number {
    const known = this.#known[name].get(run)
    if (known !== undefined) return known
    const charge = run.charge(name, this)
    this.#known[name].set(run, charge)
    return charge
  }
}

/** See B1 to B4. */
export class BudgetedRun {
  readonly id: string
  readonly tree: BudgetTree
  readonly #parent: BudgetedRun | undefined
  readonly #budget: Budget
  /** Those that are not settled. */
  readonly #children = new Set<BudgetedRun>()
  /** What those used that are. */
  #settled = nothing
  /** What its attempts used that have ended. */
  #before: Drawn
  #attempt: DrawingAttempt | undefined
  #isTripped = false
  #spawns = 0
  #isOver = false

  /** @param options - see {@link BudgetedRunOptions} */
  constructor({ id, tree, parent, budget, drawn = nothing }: BudgetedRunOptions) {
    this.id = id
    this.tree = tree
    this.#parent = parent
    this.#budget = budget
    this.#before = { ms: drawn.ms, tokens: drawn.tokens, usd: drawn.usd }
    if (parent === undefined) tree.add(this)
    else parent.#adopt(this)
  }

  /** What is left where it draws; what is not there is unlimited. */
  get left(): Budget {
    const bounded = budgetNames.flatMap((name) => {
      const account = this.#account(name)
      return account === undefined ? [] : [[name, Math.max(0, account.#leftOf(name))] as const]
    })
    return Object.fromEntries(bounded)
  }

  /** The budget that is used up where it draws, if one is. */
  get excess(): Exceeded | undefined {
    return this.#excess(new Charges())
  }

  #excess(charges: Charges): Exceeded | undefined {
    for (const name of drawnNames) {
      const account = this.#account(name)
      if (account === undefined) continue
      const left = account.#leftOf(name, charges)
      // Time that is up is up; all else is exceeded by more than it, as limits are.
      if (left < 0 || (name === 'ms' && left === 0)) return { code: 'LIMIT_BUDGET', message: account.#say(name) }
    }
    return undefined
  }

  /** Its attempt for which time passes, and where that is drawn, with what is left there. */
  clocked(charges: Charges): { readonly account: BudgetedRun; readonly leftMs: number } | undefined {
    const account = this.#account('ms')
    if (account === undefined || this.#isTripped || this.#attempt?.isExecuting !== true) return undefined
    return { account, leftMs: account.#leftOf('ms', charges) }
  }

  /**
   * Checks that it may begin.
   *
   * @throws GreenroomError `LIMIT_BUDGET`
   */
  check(): void {
    const { excess } = this
    if (excess !== undefined) throw new GreenroomError(excess.code, excess.message)
  }

  /**
   * Checks that it may have a child.
   *
   * @param budget - what is to be set aside for it
   * @throws GreenroomError `LIMIT_BUDGET`
   */
  checkSpawn(budget: Budget): void {
    for (const name of budgetNames) {
      const [account, wanted] = this.#uncovered(name, budget) ?? []
      if (account === undefined || wanted === undefined) continue
      throw new GreenroomError('LIMIT_BUDGET', `${shown(name, wanted)} more are asked for: ${account.#say(name)}`)
    }
  }

  /**
   * The amounts of a budget that can be set aside. Of the others its run draws on what is left here.
   *
   * @param budget - what is to be set aside
   */
  covered(budget: Budget): Budget {
    const names = budgetNames.filter((name) => this.#uncovered(name, budget) === undefined)
    return Object.fromEntries(names.flatMap((name) => (budget[name] === undefined ? [] : [[name, budget[name]]])))
  }

  /** Whose account does not cover an amount, and how much is wanted of it; undefined when that is covered. */
  #uncovered(name: keyof Budget, budget: Budget): [account: BudgetedRun, wanted: number] | undefined {
    const account = this.#account(name)
    const wanted = name === 'spawns' ? 1 + (budget.spawns ?? 0) : budget[name]
    if (account === undefined || wanted === undefined) return undefined
    const left = account.#leftOf(name)
    // Whoever gave all of its time away would have none to wait in.
    return wanted < left || (wanted === left && name !== 'ms') ? undefined : [account, wanted]
  }

  /** An attempt begins, of what it used nothing is counted yet. */
  follow(attempt: DrawingAttempt): void {
    this.#attempt = attempt
    this.#isTripped = false
    this.tree.changed()
  }

  /** Its attempt has told these, the first of them by that number; `flushed` resolves when they are recorded. */
  told(first: number, events: readonly (RunEvent | WireEvent)[], flushed: () => Promise<void>): void {
    const last = events.findLastIndex(({ type }) => type === 'usage')
    if (last < 0) return
    this.tree.changed()
    const attempt = this.#attempt
    const answer = (): void => void (this.#isTripped || attempt?.counted(first + last, this.left))
    // What cannot be recorded is not answered.
    flushed().then(answer, () => undefined)
  }

  /** All of its attempts that have ended used so much (B3). */
  ended({ ms, usage }: { readonly ms: number; readonly usage: Usage }): void {
    this.#before = greater(this.#drawn, drawnBy(ms, usage))
    this.#attempt = undefined
    this.tree.changed()
  }

  /** Ends its attempt when a budget is used up (B4). */
  enforce(charges: Charges): void {
    const excess = this.#attempt === undefined || this.#isTripped ? undefined : this.#excess(charges)
    if (excess !== undefined) {
      this.#isTripped = true
      this.#attempt?.exceed(excess)
    }
    for (const child of this.#children) child.enforce(charges)
  }

  /** Those of it and its descendants that are not settled. */
  *open(): Iterable<BudgetedRun> {
    yield this
    for (const child of this.#children) yield* child.open()
  }

  /** What records it as it is now. */
  get operations(): readonly Operation[] {
    return [this.#record(false)]
  }

  /**
   * What records that it has ended.
   *
   * @param usage - what it says that it used
   */
  settlement(usage: Usage | undefined): readonly Operation[] {
    this.ended({ ms: 0, usage: usage ?? {} })
    return [this.#record(true)]
  }

  /**
   * That is recorded, or nothing of it is.
   *
   * @param wasThere - whether it ever was
   */
  over(wasThere: boolean): void {
    this.#isOver = true
    if (!wasThere && this.#parent !== undefined) this.#parent.#spawns -= 1
    this.settle()
  }

  /** B2: what it used counts where its parent draws, once nobody of it draws any more. */
  settle(): void {
    if (!this.#isOver || this.#children.size > 0) return
    const parent = this.#parent
    this.tree.forget(this)
    if (parent === undefined || !parent.#children.delete(this)) return
    parent.#settled = add(parent.#settled, this)
    parent.settle()
    this.tree.changed()
  }

  #adopt(child: BudgetedRun): void {
    this.#children.add(child)
    this.#spawns += 1
  }

  /**
   * What it and its descendants used, and have set aside.
   *
   * @param charges - of this moment
   */
  charge(name: keyof Budget, charges = new Charges()): number {
    const own = name === 'spawns' ? this.#spawns : this.#drawn[name]
    const open = [...this.#children].map((child) => Math.max(charges.of(child, name), child.#budget[name] ?? 0))
    return open.reduce((sum, one) => sum + one, own + this.#settled[name])
  }

  get #drawn(): Drawn {
    if (this.#attempt === undefined) return this.#before
    const { ms, usage } = this.#attempt.spent
    const live = drawnBy(ms, usage)
    const { ms: before, tokens, usd } = this.#before
    return { ms: before + live.ms, tokens: tokens + live.tokens, usd: exact(usd + live.usd) }
  }

  /** B1 */
  #account(name: keyof Budget): BudgetedRun | undefined {
    if (this.#budget[name] !== undefined) return this
    return this.#parent === undefined ? undefined : this.#parent.#account(name)
  }

  #leftOf(name: keyof Budget, charges = new Charges()): number {
    return exact((this.#budget[name] ?? Infinity) - charges.of(this, name))
  }

  #say(name: keyof Budget): string {
    const [used, all] = [this.charge(name), this.#budget[name] ?? 0].map((amount) => shown(name, amount))
    return `${used} of ${all} ${name} are used or set aside in the budget of run ${this.id}`
  }

  #record(isOver: boolean): Operation {
    const parent = this.#parent === undefined ? {} : { parent: this.#parent.id }
    return this.tree.put(this.id, { ...parent, budget: { ...this.#budget }, drawn: this.#drawn, isOver })
  }
}

/**
 * Hooks of an attempt that tell what its run draws on.
 *
 * @param budget - undefined: it draws on none
 * @param hooks - all else
 */
export function budgetedHooks(budget: BudgetedRun | undefined, hooks: AttemptHooks): AttemptHooks {
  if (budget === undefined) return hooks
  return {
    ...hooks,
    record(epoch, first, events) {
      hooks.record(epoch, first, events)
      budget.told(first, events, hooks.flushed)
    },
    onAccepted() {
      hooks.onAccepted?.()
      budget.tree.changed()
    },
    onWaits: () => budget.tree.changed(),
  }
}

/** For people: they count money to a hundredth of a cent, and all else in wholes. */
function shown(name: keyof Budget, amount: number): string {
  return name === 'usd' ? String(Math.round(amount * 1e4) / 1e4) : String(Math.round(amount))
}

/** To a billionth, as sums are: 0.3 - 0.1 leaves 0.2. */
function exact(amount: number): number {
  const rounded = Math.round(amount * 1e9) / 1e9
  return Number.isFinite(rounded) ? rounded : amount
}

function drawnBy(ms: number, { inputTokens = 0, outputTokens = 0, costUsd = 0 }: Usage): Drawn {
  return { ms, tokens: inputTokens + outputTokens, usd: costUsd }
}

function greater(one: Drawn, other: Drawn): Drawn {
  return {
    ms: Math.max(one.ms, other.ms),
    tokens: Math.max(one.tokens, other.tokens),
    usd: Math.max(one.usd, other.usd),
  }
}

function add(sum: Required<Budget>, run: BudgetedRun): Required<Budget> {
  return {
    ms: sum.ms + run.charge('ms'),
    tokens: sum.tokens + run.charge('tokens'),
    usd: exact(sum.usd + run.charge('usd')),
    spawns: sum.spawns + run.charge('spawns'),
  }
}
