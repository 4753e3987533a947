/** An executor as the parent of children: does with them what its job says, and tells the rules. */
import { codeOf } from '@greenroom/proto'
import type { RunContext } from '@greenroom/worker'
import type { BudgetRules } from './budget-rules.ts'
import type { Execution } from './checker.ts'
import type { FamilyRules } from './family-rules.ts'
import type { TalkRules } from './talk-rules.ts'
import type { FamilyAct, WaitFor } from './trees.ts'
import type { Act, Job } from './workload.ts'

/** What a parent works with. */
export interface ParentParts {
  readonly ctx: RunContext
  readonly execution: Execution
  readonly rules: FamilyRules
  readonly budgets: BudgetRules | undefined
  readonly talk: TalkRules | undefined
  /** Whether its process is dead: then nobody hears of anything. */
  readonly isOver: () => boolean
}

/** With which errors a child may not be taken. */
const mayRefuse: ReadonlySet<string> = new Set([
  'STORAGE_FULL',
  'OUTCOME_UNKNOWN',
  'DEPTH_EXCEEDED',
  'MISSING_FEATURE',
  'LIMIT_BUDGET',
])

/** See the file. */
export class Parent {
  readonly #parts: ParentParts
  /** Run ids by the index of the child's job. */
  readonly #refs = new Map<number, string>()
  /** Whether it waits, or has suspended itself: what ends then has not come to its end. */
  isWaiting = false

  constructor(parts: ParentParts) {
    this.#parts = parts
  }

  /**
   * Where to go on: after what it was suspended for. It knows its children by their keys again.
   *
   * @returns the place of the next act; 0: from the start
   */
  async resume(acts: readonly Act[]): Promise<number> {
    const { ctx, execution, rules } = this.#parts
    if (ctx.resumed === undefined) return 0
    const place = rules.resumed(execution, ctx.resumed)
    for (const act of acts.slice(0, place))
      if (isOfFamily(act) && act.family.do === 'spawn' && act.family.isKeyed) await this.#spawn(act.family)
    return place + 1
  }

  /** Does one act. */
  async perform(act: FamilyAct, place: number): Promise<void> {
    switch (act.do) {
      case 'spawn':
        return this.#spawn(act)
      case 'wait':
        return this.#wait(act.waits, place)
      case 'suspend':
        return this.#suspend(act, place)
      case 'send':
      case 'cancel':
        return this.#turnTo(act)
      case 'ask':
        return this.#ask(act)
    }
  }

  async #spawn({ children, isKeyed, budget }: Extract<FamilyAct, { readonly do: 'spawn' }>): Promise<void> {
    const { ctx, execution, rules } = this.#parts
    await Promise.all(
      children.map(async (index) => {
        const child = rules.jobOf(index)
        const key = isKeyed ? { key: keyOf(child) } : {}
        try {
          const order = { role: child.role, input: index, task: `job ${index}`, ...key, ...(budget && { budget }) }
          const ref = await ctx.children.spawn(order)
          if (this.#parts.isOver()) return
          rules.spawned(execution, child, ref, isKeyed)
          this.#parts.budgets?.spawned(ref.runId)
          this.#refs.set(index, ref.runId)
        } catch (error) {
          const code = codeOf(error) ?? ''
          if (this.#parts.isOver() || ctx.signal.aborted || !mayRefuse.has(code)) throw error
          rules.refused(execution, child, code)
        }
      }),
    )
  }

  async #wait(waits: readonly WaitFor[], place: number): Promise<void> {
    const { ctx, execution, rules } = this.#parts
    const known = waits.flatMap((wait) => ({ ...wait, refs: this.#refsOf(wait) })).filter(({ refs }) => refs.length > 0)
    if (known.length === 0) return
    rules.waits(execution, place)
    this.isWaiting = true
    await Promise.all(
      known.map(async ({ refs, mode, withinMs }) => {
        const late = new AbortController()
        const timer = withinMs === undefined ? undefined : ctx.clock.timer(withinMs, () => late.abort())
        try {
          const ended = await ctx.children.wait(refs, { mode, signal: late.signal })
          if (!this.#parts.isOver()) rules.waited(execution, { runIds: refs.map(({ runId }) => runId), mode }, ended)
        } catch (error) {
          if (ctx.signal.aborted || codeOf(error) !== 'ABORTED' || !late.signal.aborted) throw error
        } finally {
          timer?.cancel()
        }
      }),
    )
    if (this.#parts.isOver()) return
    this.isWaiting = false
    rules.goesOn(execution)
  }

  #suspend(wait: WaitFor, place: number): void {
    const { ctx, execution, rules } = this.#parts
    const refs = this.#refsOf(wait)
    if (refs.length === 0) return
    rules.waits(execution, place)
    this.isWaiting = true
    ctx.suspend(refs, { mode: wait.mode })
  }

  async #turnTo({ do: what, child }: Extract<FamilyAct, { readonly do: 'send' | 'cancel' }>): Promise<void> {
    const { ctx } = this.#parts
    const runId = this.#refs.get(child)
    if (runId === undefined) return
    if (what === 'send') await ctx.children.send({ runId }, 'a text')
    else await ctx.children.cancel({ runId }, 'as its parent says')
  }

  async #ask({ child, isAwaited, ...how }: Extract<FamilyAct, { readonly do: 'ask' }>): Promise<void> {
    const { ctx, execution, rules, talk, isOver } = this.#parts
    const runId = this.#refs.get(child)
    if (runId === undefined || talk === undefined) return
    const inquiry = talk.asks(how, { runId, job: child }, () => isOver() || execution.isOver)
    rules.pauses(execution)
    const asked = async (): Promise<void> => {
      try {
        const { mode, withinMs: timeoutMs } = how
        const answer = await ctx.children.ask({ runId }, inquiry.text, { mode, timeoutMs })
        if (!isOver()) talk.answered(inquiry, answer)
      } catch (error) {
        if (isOver()) return
        // Its attempt is over, and with it all that it asks.
        if (ctx.signal.aborted || execution.isOver) return talk.left(inquiry)
        talk.failed(inquiry, codeOf(error), String(error))
      } finally {
        if (!isOver()) rules.goesOn(execution)
      }
    }
    const end = asked()
    if (isAwaited) await end
  }

  #refsOf({ children }: WaitFor): { readonly runId: string }[] {
    return children.flatMap((index) => {
      const runId = this.#refs.get(index)
      return runId === undefined ? [] : [{ runId }]
    })
  }
}

/** Whether it is about children. */
function isOfFamily(act: Act): act is { readonly family: FamilyAct } {
  return typeof act === 'object' && 'family' in act
}

/** What a parent calls a child. */
export function keyOf({ index }: Pick<Job, 'index'>): string {
  return `child ${index}`
}
