/**
 * The arbiter: the only one who decides on what a runner's runs ask for.
 *
 * ```text
 * request ─► recorded ─► surfaced ─► route · answer() · deadline · attempt's end ─► recorded ─► sent to the worker ─► settled
 * ```
 *
 * - *U1* It is recorded before anybody sees it, and before the bus forgets it.
 * - *U2* The first decision counts. It is recorded before its worker, or whoever answered, hears of it; all others get it.
 * - *U3* It ends with its attempt, not with a connection: then what is open is denied, and nobody is told.
 * - *U4* One deadline for the whole way. What an earlier life of the runner left is led on: decisions first, then deadlines.
 *   What cannot be read any more is denied: whoever asked waits for an answer.
 * - *U5* A grant that was taken back allows nothing any more, whatever was being recorded then.
 */
import {
  canonicalJson,
  codeOf,
  encodeMessage,
  GreenroomError,
  hasShapeOf,
  type ApprovalRequest,
  type Clock,
  type JsonValue,
  type Outgoing,
  type Posture,
  type Random,
  type RunRef,
  type Timer,
} from '@greenroom/proto'
import { createReadOnlyShell } from '@greenroom/read-only-shell'
import type { Operation } from '@greenroom/store'
import { createHash } from 'node:crypto'
import type { RunRecord } from '../journal.ts'
import { check, checkId, checkNames } from '../option-check.ts'
import { briefly } from '../persistence.ts'
import { fromStore, unlessDamaged } from '../store-error.ts'
import type {
  AnswerOptions,
  Approval,
  ApprovalFilter,
  ApprovalOptions,
  ApprovalRecord,
  Grant,
  RunnerApprovals,
  Verdict,
} from './approval.ts'
import type { ApprovalJournal } from './approval-journal.ts'
import { deciderOf, decisionOf, denied, route, type Decision } from './route.ts'
import { Watchers } from './watchers.ts'

/** What an arbiter works with. */
export interface ArbiterParts {
  readonly journal: ApprovalJournal
  /** Sends to a worker from that mailbox (see {@link Worker.via}), and waits for room. */
  readonly send: (message: Outgoing, via: string | undefined, signal: AbortSignal) => Promise<unknown>
  readonly clock: Clock
  readonly random: Random
  /** Who decides. */
  readonly options: ApprovalOptions
  /** What a role's runs may do. */
  readonly postureOf: (role: string) => Posture
  readonly warn: (message: string, fields: Readonly<Record<string, unknown>>) => void
}

/** The worker that asks. */
interface Worker {
  readonly address: string
  readonly incarnation: string
  /** The runner's mailbox that it knows; without: the one at the runner's bus. */
  readonly via?: string
}

/** An approval whose worker does not have its decision. */
interface Open {
  readonly approval: Approval
  readonly worker: Worker
  /** Aborts when it is decided, or nobody wants to know any more. */
  readonly decided: AbortController
  /** Aborts when its worker cannot use a decision any more. */
  readonly over: AbortController
  /** Whether it is in the journal for sure. */
  isRecorded: boolean
  /** The one that counts, from when it is being recorded. */
  decision: Promise<ApprovalRecord> | undefined
  deadline: Timer | undefined
  /** Resolves when nothing is left to be done for it. */
  readonly settled: PromiseWithResolvers<void>
}

/** Who follows an attempt. */
export interface Follower {
  /** Told that its worker waits for a decision; returns what is told that it does not any more. */
  readonly waits: () => () => void
  /** Puts an approval of a descendant to its executor; undefined when that does not decide on it. */
  readonly ask: (approval: Approval, signal: AbortSignal) => Promise<Verdict | undefined> | undefined
}

/** Whose attempt does not go on: it is told nothing. */
const nobody: Worker = { address: '', incarnation: '' }

/** See U1 to U5. */
export class Arbiter implements RunnerApprovals {
  readonly #parts: ArbiterParts
  readonly #open = new Map<string, Open>()
  readonly #watchers = new Watchers()
  readonly #shell = createReadOnlyShell()
  /** Who follows a run's present attempt. */
  readonly #followers = new Map<string, Follower & { readonly epoch: number }>()
  /** Attempts that have ended, of runs that have not. */
  readonly #ended = new Map<string, Set<number>>()
  /** Grants that are being taken back. */
  readonly #revoked = new Set<string>()
  #isOver = false

  /** @param parts - see {@link ArbiterParts} */
  constructor(parts: ArbiterParts) {
    this.#parts = parts
  }

  /**
   * Takes what a worker asks (U1). The same once more is the same one.
   *
   * @param request - what it asks
   * @param worker - who it is, as the broker says
   * @param run - its run
   * @returns resolves when it is recorded: the bus may forget it
   */
  async request(request: ApprovalRequest, worker: Worker, run: RunRecord): Promise<void> {
    const { journal } = this.#parts
    if (this.#ended.get(request.runId)?.has(request.epoch) === true) return
    if (this.#open.has(request.requestId) || journal.get(request.requestId) !== undefined) return
    const approval = this.#approvalOf(request, run)
    const open = this.#begin(approval, worker, false)
    try {
      await journal.request(approval, { signal: open.over.signal })
    } catch (error) {
      if (open.over.signal.aborted) return
      throw error
    }
    open.isRecorded = true
    if (open.decision !== undefined) return
    this.#watchers.tell(approval)
    void this.#arbitrate(open)
  }

  /**
   * Goes on with what an earlier life of the runner left (U4).
   *
   * @param workerOf - the worker of an attempt that may go on; else what it asked is settled
   */
  recover(workerOf: (ref: RunRef) => Worker | undefined): void {
    const { journal, warn } = this.#parts
    for (const { id, ...ref } of journal.unsettled()) {
      // Where its run is damaged, too, all waits for whoever repairs that.
      const ofRun = (error: unknown): void => warn('a run is damaged: what it asks stays', { id, error: String(error) })
      for (const worker of unlessDamaged(
        id,
        () => [workerOf(ref)],
        (_, error) => ofRun(error),
      ))
        this.#lead(id, ref, worker)
    }
  }

  /** One that an earlier life left; without a worker nobody waits for it any more. */
  #lead(id: string, ref: RunRef, worker: Worker | undefined): void {
    const { journal, warn } = this.#parts
    const setAside = (error: unknown): void => warn('an approval is damaged', { id, error: String(error) })
    const [record] = unlessDamaged(
      id,
      () => [journal.get(id)],
      (_, error) => setAside(error),
    )
    const { decision, ...approval }: ApprovalRecord = record ?? unreadable(id, ref)
    const open = this.#begin(approval, worker ?? nobody, true)
    if (worker === undefined) open.over.abort()
    if (record === undefined) void this.#refuse(open)
    else if (decision !== undefined) this.#settle(open, record)
    else if (worker === undefined) this.#end(open, 'its runner ended')
    else void this.#arbitrate(open)
  }

  /**
   * Somebody follows an attempt.
   *
   * @param follower - who does
   */
  follow({ runId, epoch }: RunRef, follower: Follower): void {
    this.#followers.set(runId, { ...follower, epoch })
    for (const open of this.#openOf(runId)) this.#hold(open)
  }

  /** Whether somebody follows an attempt, or did. */
  follows({ runId, epoch }: RunRef): boolean {
    return this.#followers.get(runId)?.epoch === epoch
  }

  /** An attempt has ended (U3): what it asks from now on is nobody's concern. */
  attemptEnded({ runId, epoch }: RunRef): void {
    const ended = this.#ended.get(runId) ?? new Set()
    this.#ended.set(runId, ended.add(epoch))
    for (const open of this.#openOf(runId)) if (open.approval.epoch === epoch) this.#end(open, 'its attempt ended')
  }

  /** A run has ended, and that is recorded. Resolves when nothing of it is open. */
  async runEnded(runId: string): Promise<void> {
    for (const open of this.#openOf(runId)) this.#end(open, 'its run ended')
    this.#ended.delete(runId)
    this.#followers.delete(runId)
    await Promise.all(this.#openOf(runId).map(({ settled }) => settled.promise))
  }

  /** How many decisions a run waits for. */
  pending(runId: string): number {
    return this.#openOf(runId).filter(({ decided }) => !decided.signal.aborted).length
  }

  /** The runner closes: what is open stays so, for its next life. */
  close(): void {
    this.#isOver = true
    for (const { decided, over, deadline } of this.#open.values()) {
      deadline?.cancel()
      decided.abort()
      over.abort()
    }
    this.#watchers.end()
  }

  list(filter: ApprovalFilter = {}): readonly ApprovalRecord[] {
    checkNames('filter', filter, { runId: true, state: true })
    if (filter.runId !== undefined) checkId('filter.runId', filter.runId)
    check('filter.state', filter.state, (it) => it === 'pending' || it === 'decided', "'pending' or 'decided'")
    return this.#parts.journal.list(filter)
  }

  get(id: string): ApprovalRecord {
    checkId('id', id)
    const record = this.#parts.journal.get(id)
    if (record === undefined) throw new GreenroomError('UNKNOWN_APPROVAL')
    return record
  }

  async answer(id: string, verdict: Verdict, { by }: AnswerOptions = {}): Promise<ApprovalRecord> {
    const decision = decisionOf('person', verdict, by)
    if (decision === undefined)
      throw new GreenroomError('BAD_OPTIONS', 'a verdict is { allow: true or false, reason?, input?, scope? }')
    if (by !== undefined && typeof by !== 'string') throw new GreenroomError('BAD_OPTIONS', 'by must be a text')
    if (this.#isOver) throw new GreenroomError('CLOSED')
    const record = this.get(id)
    const open = this.#open.get(id)
    if (record.decision !== undefined) return record
    if (open === undefined)
      throw new GreenroomError('COMMIT_UNKNOWN', 'its decision could not be recorded: it is decided in the next life')
    const flaw = flawOf(decision, record)
    if (flaw !== undefined) throw new GreenroomError('BAD_OPTIONS', flaw)
    return this.#decide(open, decision)
  }

  watch({ signal }: { readonly signal?: AbortSignal } = {}): AsyncIterable<ApprovalRecord> {
    return this.#watchers.watch(() => this.list({ state: 'pending' }), signal)
  }

  grants(): readonly Grant[] {
    return this.#parts.journal.grants()
  }

  /** U5: what is being recorded may stand on it, or be repeated until it is there again. */
  async revoke(grantId: string): Promise<boolean> {
    checkId('grantId', grantId)
    this.#revoked.add(grantId)
    try {
      await Promise.allSettled([...this.#open.values()].flatMap(({ decision }) => (decision ? [decision] : [])))
      return await this.#parts.journal.revoke(grantId)
    } finally {
      this.#revoked.delete(grantId)
    }
  }

  /** Times are the runner's own: its worker may be on another machine. */
  #approvalOf(request: ApprovalRequest, { role, session, workspace, kin }: RunRecord): Approval {
    const { requestId: id, runId, epoch, tool, permission, resource, input = null, afterSeq } = request
    const { clock, options } = this.#parts
    const own = options.deadlineMs === undefined ? 300_000 : options.deadlineMs
    const asked =
      typeof request.deadline === 'number' ? Math.max(0, request.deadline - request.createdAt) : request.deadline
    const deadlineMs = asked === undefined ? own : asked
    const createdAt = clock.now()
    return {
      id,
      runId,
      epoch,
      path: [...(kin?.lineage ?? []), runId],
      role,
      session,
      workspace,
      tool,
      permission,
      resource,
      input,
      digest: digestOf(input),
      afterSeq,
      createdAt,
      deadline: deadlineMs === null ? null : createdAt + deadlineMs,
    }
  }

  #openOf(runId: string): readonly Open[] {
    return [...this.#open.values()].filter(({ approval }) => approval.runId === runId)
  }

  #begin(approval: Approval, worker: Worker, isRecorded: boolean): Open {
    const [decided, over] = [new AbortController(), new AbortController()]
    const settled = Promise.withResolvers<void>()
    const progress = { isRecorded, decision: undefined, deadline: undefined }
    const open: Open = { approval, worker, decided, over, ...progress, settled }
    this.#open.set(approval.id, open)
    this.#hold(open)
    return open
  }

  #hold({ approval, decided }: Open): void {
    const follower = this.#followers.get(approval.runId)
    if (follower?.epoch !== approval.epoch || decided.signal.aborted) return
    decided.signal.addEventListener('abort', follower.waits(), { once: true })
  }

  /** Leads it to its decision, which may come from elsewhere at any time. */
  async #arbitrate(open: Open): Promise<void> {
    const { clock, options, postureOf, journal } = this.#parts
    const { approval, decided } = open
    if (decided.signal.aborted) return
    if (approval.deadline !== null) {
      const [leftMs, givenMs] = [approval.deadline - clock.now(), approval.deadline - approval.createdAt]
      const end = (): void =>
        void this.#decide(open, denied('deadline', `nobody decided within ${givenMs} ms`)).catch(() => undefined)
      // No time at all is still enough for who decides at once.
      if (leftMs <= 0 && givenMs > 0) return end()
      open.deadline = clock.timer(Math.max(0, leftMs), end)
    }
    const posture = postureOf(approval.role)
    const grants = journal.grants().filter(({ id }) => !this.#revoked.has(id))
    const ancestor = (): Promise<Verdict | undefined> => this.#askAncestors(approval, decided.signal)
    const parts = { ...options, posture, grants, shell: this.#shell, ancestor, signal: decided.signal }
    const decision = await route(approval, parts)
    if (decision === undefined || decided.signal.aborted) return
    const flaw = flawOf(decision, approval)
    const sound = flaw === undefined ? decision : denied(decision.decider, flaw)
    await this.#decide(open, sound).catch(() => undefined)
  }

  /** The nearest that decides on it. */
  async #askAncestors(approval: Approval, signal: AbortSignal): Promise<Verdict | undefined> {
    for (const runId of approval.path.slice(0, -1).toReversed()) {
      const verdict = await this.#followers.get(runId)?.ask(approval, signal)
      if (verdict !== undefined || signal.aborted) return verdict
    }
    return undefined
  }

  /** U2 */
  #decide(open: Open, decision: Decision): Promise<ApprovalRecord> {
    open.decision ??= this.#record(open, decision)
    return open.decision
  }

  async #record(open: Open, decision: Decision): Promise<ApprovalRecord> {
    const { journal, clock } = this.#parts
    const { approval } = open
    const record = { ...approval, decision: { ...decision, decidedAt: clock.now() } }
    // What ended before the disk had taken the question is recorded with its end.
    const question = open.isRecorded ? [] : [journal.asked(approval)]
    const decided = journal.decide(approval, record.decision, this.#grantOf(approval, decision))
    await this.#commit(open, [...question, ...decided])
    this.#watchers.tell(record)
    this.#settle(open, record)
    return record
  }

  /** U4: it is as if it were not there for all but its worker. */
  async #refuse(open: Open): Promise<void> {
    const { journal, clock } = this.#parts
    const decision = { ...denied('system', 'its record is damaged'), decidedAt: clock.now() }
    const record = { ...open.approval, decision }
    open.decision = Promise.resolve(record)
    try {
      if (!journal.isDecided(record.id)) await this.#commit(open, journal.decide(record, decision, undefined))
      this.#settle(open, record)
    } catch {
      // It stays for the next life.
    }
  }

  /** Writes down a decision. */
  async #commit({ approval, over, settled }: Open, operations: readonly Operation[]): Promise<void> {
    const { journal, warn } = this.#parts
    try {
      await journal.commit(operations, { signal: over.signal, leastTries: 10 })
    } catch (error) {
      warn('a decision on an approval could not be recorded', { approval: approval.id, error: String(error) })
      // The next life finds it as it was.
      settled.resolve()
      throw fromStore(error)
    }
  }

  /** It has its decision, which is recorded. */
  #settle(open: Open, record: ApprovalRecord): void {
    open.decision ??= Promise.resolve(record)
    open.deadline?.cancel()
    open.decided.abort()
    void this.#deliver(open, record)
  }

  /** U3 */
  #end(open: Open, why: string): void {
    void this.#decide(open, denied('system', why)).catch(() => undefined)
    open.over.abort()
  }

  async #deliver(open: Open, { decision, ...approval }: ApprovalRecord): Promise<void> {
    const { journal, send, warn } = this.#parts
    const { over, worker } = open
    try {
      if (decision !== undefined && !over.signal.aborted) {
        const message = {
          to: worker.address,
          id: `decision-${approval.id}`,
          kind: 'approval-decision',
          control: true,
          payload: encodeDecision(approval, decision),
        }
        await send(message, worker.via, over.signal)
      }
    } catch (error) {
      if (!over.signal.aborted) {
        warn('a decision did not reach its worker', { approval: approval.id, error: String(error) })
        // A mailbox that is closed: nobody is there who wants it. Else it is for the next life to say.
        if (codeOf(error) !== 'MAILBOX_CLOSED') return open.settled.resolve()
      }
    }
    if (this.#isOver) return
    await journal.commit([journal.settle(approval.id)], briefly).catch(() => undefined)
    this.#open.delete(approval.id)
    open.settled.resolve()
  }

  #grantOf(approval: Approval, { allowed, scope, decider, by }: Decision): Grant | undefined {
    if (!allowed || scope === 'once') return undefined
    const { id: approvalId, runId, role, session, tool, permission, resource } = approval
    const { random, clock } = this.#parts
    const of = scope === 'run' ? runId : session
    const key = { scope, of, role, session, tool, permission, resource }
    return { id: random.id(), ...key, approval: approvalId, ...deciderOf({ decider, by }), grantedAt: clock.now() }
  }
}

/** As far as its key says: its worker needs no more to be told so, and nobody else is. */
function unreadable(id: string, { runId, epoch }: RunRef): Approval {
  const unknown = { role: '', session: '', workspace: '', tool: '', permission: '', resource: '', digest: '' }
  return { id, runId, epoch, path: [runId], ...unknown, input: null, afterSeq: 0, createdAt: 0, deadline: null }
}

function digestOf(input: JsonValue): string {
  return createHash('sha256').update(canonicalJson(input)).digest('hex')
}

function encodeDecision(approval: Approval, { allowed, reason, decider, scope, input }: Decision): Uint8Array {
  const { id: requestId, runId, epoch } = approval
  return encodeMessage('approval-decision', {
    runId,
    epoch,
    requestId,
    allowed,
    reason,
    decider,
    scope,
    ...(input === undefined ? {} : { input }),
    digest: input === undefined ? approval.digest : digestOf(input),
  })
}

/** Why its executor would not do it, or never hear of it: that is no decision to allow it, and none that could be told. */
function flawOf(decision: Decision, approval: Approval): string | undefined {
  const { allowed, input, decider } = decision
  if (allowed && input !== undefined && !hasShapeOf(input, approval.input))
    return `the ${decider} made something of another shape of what was asked`
  try {
    encodeDecision(approval, decision)
    return undefined
  } catch {
    return `the ${decider} said more than a message can carry`
  }
}
