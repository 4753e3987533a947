/**
 * The budgets of a runner's trees.
 *
 * - *T1* A tree is the first run that has a budget and all of its descendants. What needs no budget is in none, and costs nothing.
 * - *T2* What an earlier life of the runner recorded counts from the beginning, whoever goes on with what is open.
 * - *T3* Whoever draws time is looked at when it can be up.
 */
import type { Clock, Timer } from '@greenroom/proto'
import { resolveBudget, type BudgetOptions } from './budget.ts'
import { BudgetedRun, Charges, type BudgetTree } from './budgeted-run.ts'
import type { BudgetEntry, BudgetJournal } from './budget-journal.ts'

/** No look is further away, in milliseconds. */
const longestMs = 60_000

/** What budgets are kept with. */
export interface BudgetsOptions {
  readonly journal: BudgetJournal
  readonly clock: Clock
  /** Of each run without a parent that does not say otherwise. */
  readonly budget: BudgetOptions
  /** What a run was given, also one that is over. */
  readonly given: (runId: string) => BudgetOptions | undefined
  /** Whether time is not bounded. */
  readonly isTimeless: boolean
  /** Says what could not be read or forgotten. */
  readonly warn: (message: string, fields: { readonly runId: string; readonly error: string }) => void
}

/** See T1 to T3. */
export class Budgets {
  readonly #options: BudgetsOptions
  /** Those that draw, or have descendants that do. */
  readonly #runs = new Map<string, BudgetedRun>()

  /** @param options - see {@link BudgetsOptions} */
  constructor(options: BudgetsOptions) {
    this.#options = options
    this.#recover()
  }

  /** A run that was opened before, maybe in an earlier life; undefined when it draws on no budget. */
  of(runId: string): BudgetedRun | undefined {
    return this.#runs.get(runId)
  }

  /**
   * A run begins.
   *
   * @param path - the run ids from the root to itself
   * @param spec - what it may use with its descendants; what is no budget is refused elsewhere
   * @param isStandIn - it may come after some or all of those, and is bounded by what they were given then; where less is left
   *   above it than it is to be given, it has that
   * @returns undefined when it draws on no budget
   * @throws GreenroomError `LIMIT_BUDGET` when what its parent draws on does not cover it
   */
  open(path: readonly string[], spec: BudgetOptions | undefined, isStandIn = false): BudgetedRun | undefined {
    const [id = '', ...lineage] = path.toReversed()
    const nearest = lineage.findIndex((ancestor) => this.#runs.has(ancestor))
    const drawing = this.#runs.get(lineage[nearest] ?? '')
    const { budget: usual, given, isTimeless } = this.#options
    const gone = lineage.slice(0, drawing === undefined ? undefined : nearest)
    const over = isStandIn ? gone.toReversed().map(given) : []
    const isFirst = drawing === undefined && (isStandIn || lineage.length === 0)
    const wanted = resolveBudget(isFirst ? usual : undefined, ...over, spec, isTimeless ? { ms: null } : {})
    const budget = (isStandIn && drawing?.covered(wanted)) || wanted
    if (drawing === undefined && Object.keys(budget).length === 0) return undefined
    drawing?.checkSpawn(budget)
    const tree = drawing?.tree ?? this.#plant(id)
    const run = new BudgetedRun({ id, tree, parent: drawing, budget })
    this.#runs.set(id, run)
    return run
  }

  #plant(treeId: string): BudgetTree {
    return new Tree(treeId, this.#options, (run) => this.#runs.delete(run.id))
  }

  /** T2 */
  #recover(): void {
    const { journal, warn } = this.#options
    const entries = journal.all((runId, error) =>
      warn('the budget of a run is damaged', { runId, error: String(error) }),
    )
    const byTree = Map.groupBy(entries, ({ treeId }) => treeId)
    for (const [treeId, runs] of byTree) this.#restore(treeId, runs)
  }

  #restore(treeId: string, entries: readonly BudgetEntry[]): void {
    const tree = this.#plant(treeId)
    const byId = new Map(entries.map((entry) => [entry.runId, entry]))
    const restore = ({ runId, record }: BudgetEntry): BudgetedRun => {
      const known = this.#runs.get(runId)
      if (known !== undefined) return known
      const above = byId.get(record.parent ?? '')
      const parent = above && restore(above)
      const run = new BudgetedRun({ id: runId, tree, parent, budget: record.budget, drawn: record.drawn })
      this.#runs.set(runId, run)
      return run
    }
    const restored = entries.map(restore)
    entries.forEach(({ record }, index) => {
      if (record.isOver) restored[index]?.over(true)
    })
  }
}

/** One of its trees. */
class Tree implements BudgetTree {
  readonly #id: string
  readonly #options: BudgetsOptions
  readonly #onForget: (run: BudgetedRun) => void
  #timer: Timer | undefined
  /** Its first run; more only where a record between them is damaged. */
  readonly #roots = new Set<BudgetedRun>()

  constructor(id: string, options: BudgetsOptions, onForget: (run: BudgetedRun) => void) {
    this.#id = id
    this.#options = options
    this.#onForget = onForget
  }

  changed(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const charges = new Charges()
    for (const root of this.#roots) root.enforce(charges)
    this.#watch()
  }

  add(root: BudgetedRun): void {
    this.#roots.add(root)
  }

  put(runId: string, record: Parameters<BudgetTree['put']>[1]): ReturnType<BudgetTree['put']> {
    return this.#options.journal.put(this.#id, runId, record)
  }

  forget(run: BudgetedRun): void {
    this.#onForget(run)
    if (!this.#roots.delete(run) || this.#roots.size > 0) return
    this.#timer?.cancel()
    const { journal, warn } = this.#options
    // What stays is forgotten by the next life.
    journal
      .forget(this.#id)
      .catch((error: unknown) => warn('old budgets stay', { runId: run.id, error: String(error) }))
  }

  /** T3 */
  #watch(): void {
    const charges = new Charges()
    const open = [...this.#roots].flatMap((root) => [...root.open()])
    const clocked = open.flatMap((run) => run.clocked(charges) ?? [])
    if (clocked.length === 0) return
    const together = Map.groupBy(clocked, ({ account }) => account)
    const due = clocked.map(({ account, leftMs }) => leftMs / (together.get(account)?.length ?? 1))
    const delayMs = Math.max(1, Math.min(longestMs, ...due))
    this.#timer = this.#options.clock.timer(delayMs, () => this.changed(), { background: true })
  }
}
