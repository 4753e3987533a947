/**
 * The children of one parent: of a run, or of the program that owns the runner.
 *
 * - *K1* A key names one child for good: what is spawned again by it, in whichever attempt or life, is that child.
 * - *K2* Only a parent's own children answer to it; of others it learns as much as of none.
 */
import {
  childIdOf,
  GreenroomError,
  isJson,
  jsonFlaw,
  waitArgs,
  type AskOptions,
  type ChildId,
  type ChildOutcome,
  type ChildRef,
  type Children,
  type ChildSpec,
  type ChildStatus,
  type Outcome,
  type SteerMode,
  type WaitArgs,
  type WaitMode,
} from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import { checkBudget } from './budget.ts'
import { checkId, checkNames } from './option-check.ts'
import type { Kin, StartKey } from './journal.ts'
import { digestOf } from './pool/fingerprint.ts'
import type { HeldRun } from './past-run.ts'
import type { Run, RunSpec, SteerStatus } from './run.ts'

/** Where children come from. */
export interface RunChildrenOptions {
  /** The run ids from the root to the parent; empty for a program. */
  readonly lineage: readonly string[]
  /** A key of nobody's. */
  readonly freshKey: () => string
  /** Starts a run once; resolves when it is recorded. */
  readonly start: (spec: RunSpec, start: StartKey, kin: Kin) => Promise<Run>
  /** Finds a run of this life or an earlier one. */
  readonly attach: (runId: string) => Promise<HeldRun>
  /** Whose child a run is; undefined for one that is not there, or has no parent. */
  readonly kinOf: (runId: string) => Kin | undefined
  /** All children of a run; undefined: of the program. */
  readonly listOf: (parent: string | undefined) => readonly ChildStatus[]
}

const keyDomain = 'greenroom child'

/** See K1 and K2. */
export class RunChildren implements Children {
  readonly #options: RunChildrenOptions
  #awaited: readonly string[] = []

  /** @param options - see {@link RunChildrenOptions} */
  constructor(options: RunChildrenOptions) {
    this.#options = options
  }

  async spawn(spec: ChildSpec): Promise<ChildRef> {
    const { lineage, freshKey, start } = this.#options
    if (typeof spec !== 'object' || spec === null) throw new GreenroomError('BAD_OPTIONS', 'spec must be an object')
    checkNames('spec', spec, { role: true, task: true, input: true, key: true, budget: true })
    const { key = freshKey(), ...order } = spec
    if (typeof key !== 'string' || key === '') throw new GreenroomError('BAD_OPTIONS', 'key must be a text')
    checkBudget('budget', spec.budget)
    const flaw = jsonFlaw(order, 'spec')
    if (flaw !== undefined || !isJson(order)) throw new GreenroomError('INPUT_INVALID', flaw ?? 'spec is not JSON')
    const startKey = { key: digestOf([...lineage, key], keyDomain), digest: digestOf(order, keyDomain) }
    const run = await start(order, startKey, { lineage, childKey: key })
    return { runId: run.id, key }
  }

  async wait(
    refs: readonly ChildId[],
    options: { readonly mode?: WaitMode; readonly signal?: AbortSignal } = {},
  ): Promise<readonly ChildOutcome[]> {
    checkNames('options', options, { mode: true, signal: true })
    const { mode = 'all', signal } = options
    const ended = new Map<string, ChildOutcome>()
    const { runIds } = waitArgs('children.wait', refs, mode)
    const children = await Promise.all([...new Set(runIds)].map((runId) => this.#find(runId)))
    const enough = Promise.withResolvers<void>()
    const look = (): void => {
      const statuses = [...ended.values()].map(({ outcome }) => outcome.status)
      if (isEnough(mode, statuses, children.length)) enough.resolve()
    }
    look()
    for (const { run, key } of children)
      void run.outcome.then((outcome) => {
        ended.set(run.id, { runId: run.id, key, outcome })
        look()
      })
    await (signal === undefined ? enough.promise : untilAbort(signal, enough.promise))
    return runIds.flatMap((runId) => ended.get(runId) ?? [])
  }

  /** The children for which a suspended parent waits. */
  get awaited(): readonly string[] {
    return this.#awaited
  }

  /** As {@link RunChildren.wait}, for a parent that is suspended. */
  waitSuspended({ runIds, mode }: WaitArgs, signal: AbortSignal): Promise<readonly ChildOutcome[]> {
    this.#awaited = runIds
    return this.wait(
      runIds.map((runId) => ({ runId })),
      { mode, signal },
    )
  }

  /** Whether a wait would return at once: nobody waits then, and nobody is to be told so. */
  async isOver({ runIds, mode }: WaitArgs): Promise<boolean> {
    const children = await Promise.all([...new Set(runIds)].map((runId) => this.#find(runId)))
    const statuses = children.flatMap(({ run }) => run.status().status ?? [])
    return isEnough(mode, statuses, children.length)
  }

  async send(ref: ChildId, text: string, options: { readonly mode?: SteerMode } = {}): Promise<SteerStatus> {
    return (await this.#find(childIdOf(ref))).run.send(text, options)
  }

  /** The same for a parent that executes: a child that is not at work yet may wait for its permit, or its place. */
  async sendAtOnce(ref: ChildId, text: string, options: { readonly mode?: SteerMode }): Promise<SteerStatus> {
    return (await this.#find(childIdOf(ref))).run.send(text, options, true)
  }

  async ask(ref: ChildId, question: string, options?: AskOptions): Promise<string> {
    return (await this.#find(childIdOf(ref))).run.ask(question, options)
  }

  async cancel(ref: ChildId, reason = 'cancelled by its parent'): Promise<void> {
    void (await this.#find(childIdOf(ref))).run.cancel(reason)
  }

  list(): Promise<readonly ChildStatus[]> {
    const { lineage, listOf } = this.#options
    return Promise.resolve(listOf(lineage.at(-1)))
  }

  /** K2 */
  async #find(runId: string): Promise<{ readonly run: HeldRun; readonly key: string }> {
    checkId('runId', runId)
    const { lineage, kinOf, attach } = this.#options
    const kin = kinOf(runId)
    if (kin === undefined || kin.lineage.length !== lineage.length || kin.lineage.at(-1) !== lineage.at(-1))
      throw new GreenroomError('UNKNOWN_RUN', `no child ${runId}`)
    return { run: await attach(runId), key: kin.childKey }
  }
}

function isEnough(mode: WaitMode, ended: readonly Outcome['status'][], all: number): boolean {
  if (ended.length === all) return true
  if (mode === 'any') return ended.length > 0
  return mode === 'first-error' && ended.some((status) => status !== 'completed')
}
