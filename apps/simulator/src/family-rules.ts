/**
 * What must hold of children.
 *
 * - *F1* Whoever waited for children is told of each just how it ended, as it is recorded; as many as it waited for.
 * - *F2* A key of a parent names one run, in all attempts and lives; a child that was promised is recorded, as its parent's.
 * - *F3* Every child has one outcome.
 * - *F4* Who was suspended goes on at what it waited for, when that has come about.
 * - *F5* At most `maxExecuting` execute at a time; who waits for children does not.
 * - *F6* A parent that did not complete takes its children with it.
 * - *F7* Nobody has a place in the tree that is too deep.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ChildOutcome, WaitArgs } from '@greenroom/proto'
import type { Checker, Execution } from './checker.ts'
import type { Journal, KinRun } from './journal.ts'
import { keyOf } from './parent.ts'
import type { Job } from './workload.ts'

/** As deep as a run may be. */
const maxDepth = 4
/** So long after its parent a child may end, in milliseconds: what is cut off is cut off for less. */
const cascadeMs = 110_000

/** What the rules look at. */
export interface FamilyParts {
  readonly checker: Checker
  readonly journal: Journal
  /** All, children too, by their index. */
  readonly jobs: readonly Job[]
  readonly maxExecuting: number
  /** Whether a worker is one of the runner's present life, which ends with it. */
  readonly isPresent: (address: string) => boolean
}

/** Since when things must be in order. */
export interface Calm {
  /** When harm was over, if the runner had several lives; else 0. */
  readonly since: number
  /** Whether the machine slept. */
  readonly hasSlept: boolean
}

interface Executing {
  readonly execution: Execution
  readonly signal: AbortSignal
  /** For how many things at a time. */
  waits: number
}

/** See F1 to F7. */
export class FamilyRules {
  readonly #parts: FamilyParts
  readonly #executing = new Map<Execution, Executing>()
  /** Where an attempt waits, by job and epoch. */
  readonly #places = new Map<string, number>()
  /** What parents were told, and must be so in the end. */
  readonly #told: { readonly by: string; readonly of: ChildOutcome }[] = []
  /** By parent's run and key. */
  readonly #named = new Map<string, string>()
  /** Runs whose spawning was answered. */
  readonly #promised = new Set<string>()

  constructor(parts: FamilyParts) {
    this.#parts = parts
  }

  /** A child's job. */
  jobOf(index: number): Job {
    const job = this.#parts.jobs[index]
    if (job === undefined) throw new Error(`there is no job ${index}`)
    return job
  }

  /** F5: an attempt executes. */
  began(execution: Execution, signal: AbortSignal): void {
    this.#executing.set(execution, { execution, signal, waits: 0 })
    this.#count(execution)
  }

  /** It waits at an act. */
  waits(execution: Execution, place: number): void {
    this.#places.set(`${execution.job}.${execution.epoch}`, place)
    this.pauses(execution)
  }

  /** It waits for something. */
  pauses(execution: Execution): void {
    const executing = this.#executing.get(execution)
    if (executing !== undefined) executing.waits += 1
  }

  /** F5: it waits no more, for one thing. */
  goesOn(execution: Execution): void {
    const executing = this.#executing.get(execution)
    if (executing === undefined) return
    executing.waits -= 1
    if (executing.waits === 0) this.#count(execution)
  }

  #count({ job, epoch }: Execution): void {
    const { isPresent, maxExecuting } = this.#parts
    const executing = [...this.#executing.values()].filter(
      ({ execution, signal, waits }) =>
        !execution.isOver && waits === 0 && !signal.aborted && isPresent(execution.address),
    )
    if (executing.length > maxExecuting)
      this.#violate('F5', `with job ${job}.${epoch} ${executing.length} execute, and ${maxExecuting} may`)
  }

  // ─── children ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** F2: a child was promised. */
  spawned(
    execution: Execution,
    child: Job,
    ref: { readonly runId: string; readonly key: string },
    isKeyed: boolean,
  ): void {
    this.#promised.add(ref.runId)
    const kin = this.#parts.journal.kin(ref.runId)
    if (kin === undefined || !this.#parts.checker.mayBe(execution, kin.parent) || kin.job !== child.index)
      this.#violate(
        'F2',
        `job ${execution.job} was promised ${ref.runId} as child ${child.index}, which is not recorded so`,
      )
    const runId = kin?.parent ?? execution.runId
    if (!isKeyed) return
    const name = `${runId} ${keyOf(child)}`
    if (ref.key !== keyOf(child)) this.#violate('F2', `${keyOf(child)} is called ${ref.key}`)
    if ((this.#named.get(name) ?? ref.runId) !== ref.runId)
      this.#violate('F2', `${name} was ${this.#named.get(name)}, and is ${ref.runId}`)
    this.#named.set(name, ref.runId)
  }

  /** F7: a child was refused. */
  refused({ runId, job, isDetached }: Execution, child: Job, code: string): void {
    const depth = this.#parts.journal.kin(runId)?.depth ?? 0
    const mayRefuse = { DEPTH_EXCEEDED: depth >= maxDepth, MISSING_FEATURE: isDetached }[code] ?? true
    if (!mayRefuse) this.#violate('F7', `job ${job} at depth ${depth} was refused child ${child.index}: ${code}`)
  }

  /** F1: a wait is over. */
  waited(execution: Execution, wait: WaitArgs, ended: readonly ChildOutcome[]): void {
    this.#tell(`job ${execution.job}.${execution.epoch}`, wait, ended)
  }

  /**
   * F4: an attempt that is resumed.
   *
   * @returns the place of the act that it was suspended at
   */
  resumed({ runId, job, epoch }: Execution, ended: readonly ChildOutcome[]): number {
    const suspension = this.#parts.journal.lastSuspension(runId)
    const place = this.#places.get(`${job}.${suspension?.epoch ?? 0}`)
    if (suspension === undefined || place === undefined) {
      this.#violate('F4', `job ${job}.${epoch} is resumed, and no suspension is recorded`)
      return this.jobOf(job).acts.length
    }
    this.#tell(`job ${job}.${epoch}`, suspension, ended)
    return place
  }

  /** F4: an attempt that begins from the start. */
  notResumed({ runId, job, epoch }: Execution): void {
    if (this.#parts.journal.lastSuspension(runId) !== undefined)
      this.#violate('F4', `job ${job}.${epoch} was suspended, and is not told how that ended`)
  }

  #tell(by: string, { runIds, mode }: WaitArgs, ended: readonly ChildOutcome[]): void {
    const { journal, checker } = this.#parts
    const order = ended.map(({ runId }) => runIds.indexOf(runId))
    if (order.some((place, n) => place < 0 || place <= (order[n - 1] ?? -1)))
      this.#violate('F1', `${by} waited for ${runIds.join()}, and got ${ended.map(({ runId }) => runId).join()}`)
    const isAll = ended.length === runIds.length
    const isError = ended.some(({ outcome }) => outcome.status !== 'completed')
    const isEnough = isAll || (mode === 'any' && ended.length > 0) || (mode === 'first-error' && isError)
    if (!isEnough) this.#violate('F1', `${by} waited for ${mode} of ${runIds.length}, and got ${ended.length}`)
    for (const of of ended) {
      const [key] = [journal.kin(of.runId)?.key]
      if (key !== of.key) this.#violate('F1', `${by} was told of ${of.key}, which is ${key}`)
      if (checker.isUnrecorded(of.runId)) continue
      this.#told.push({ by, of })
      this.#compare(by, of)
    }
  }

  #compare(by: string, { runId, outcome }: ChildOutcome): void {
    const { journal, checker } = this.#parts
    if (checker.isUnrecorded(runId)) return
    const recorded = journal.outcomes(runId)
    if (recorded.length !== 1 || !isDeepStrictEqual(recorded[0], outcome))
      this.#violate('F1', `${by} was told that ${runId} ${outcome.status}, recorded is ${JSON.stringify(recorded)}`)
  }

  // ─── in the end ────────────────────────────────────────────────────────────────────────────────────────────────

  /** To be called when all is settled. */
  finish(calm: Calm): void {
    const { journal } = this.#parts
    for (const { by, of } of this.#told) this.#compare(by, of)
    const kin = journal.kinRuns()
    for (const runId of this.#promised)
      if (journal.kin(runId) === undefined) this.#violate('F2', `${runId} was promised, and is not recorded`)
    const named = new Map<string, string>()
    for (const { runId, parent, key, depth } of kin) {
      const name = `${parent} ${key}`
      if (named.has(name)) this.#violate('F2', `${name} is ${named.get(name)} and ${runId}`)
      named.set(name, runId)
      if (depth > maxDepth) this.#violate('F7', `${runId} has depth ${depth}`)
    }
    for (const one of kin) this.#finish(one, calm)
  }

  /** F3, F6 */
  #finish({ runId, parent, job }: KinRun, { since, hasSlept }: Calm): void {
    const { journal } = this.#parts
    const [outcome, ...others] = journal.outcomes(runId)
    if (outcome === undefined || others.length > 0)
      return this.#violate('F3', `${runId} (${job}) has ${others.length + Number(outcome !== undefined)} outcomes`)
    const [own] = journal.outcomes(parent)
    if (own === undefined || own.status === 'completed' || hasSlept) return
    const endedAt = journal.endedAt(parent)
    const lateMs = journal.endedAt(runId) - Math.max(endedAt, since)
    if (lateMs > cascadeMs)
      this.#violate('F6', `${runId} (${job}) ended as ${outcome.status} ${lateMs} ms after its parent ${own.status}`)
  }

  #violate(rule: string, text: string): void {
    this.#parts.checker.violate(rule, text)
  }
}
