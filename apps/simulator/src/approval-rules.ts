/**
 * What must hold of approvals.
 *
 * - *A1* Whoever is shown one finds it in the journal; once decided, its decision.
 * - *A2* One has one decision, in all lives of the runner: its executor, whoever answered and whoever watches get that.
 * - *A3* Nobody is allowed anything but as somebody said who may: with that input, for that scope. What is granted was
 *   allowed for longer, and is not taken back.
 * - *A4* Who is denied is told why: nobody in time is not somebody who refused.
 * - *A5* What an attempt asks ends with it: nobody decides on it then, and nothing of it is left.
 * - *A6* Every question of an executor that lives is answered, or ends with its run.
 */
import { isDeepStrictEqual } from 'node:util'
import type { JsonValue, Outcome } from '@greenroom/proto'
import type { Approval, ApprovalDecided, ApprovalRecord, Grant, Verdict } from '@greenroom/runner'
import type { ApprovalAnswer, ChildApproval } from '@greenroom/worker'
import type { Checker, Execution } from './checker.ts'
import type { Journal } from './journal.ts'
import type { Asked, Deciders, Question } from './questions.ts'
import type { Job } from './workload.ts'

/** What somebody said about an approval; without a verdict, that he gave none. */
export interface Said {
  readonly decider: 'reviewer' | 'policy' | 'ancestor' | 'person'
  readonly verdict: Verdict | undefined
}

/** One question of an executor. */
export interface OpenQuestion {
  readonly execution: Execution
  readonly input: Asked
  isOver: boolean
}

/** What the rules look at. */
export interface RulesParts {
  readonly checker: Checker
  readonly journal: Journal
  readonly deciders: Deciders
  readonly roleOf: (job: number) => Job['role'] | undefined
  /** The time of day. */
  readonly now: () => number
}

/** Why an approval came to nothing that nobody waits for any more. */
const ends: ReadonlySet<string> = new Set(['its attempt ended', 'its run ended', 'its runner ended'])

/** See A1 to A6. */
export class ApprovalRules {
  readonly #parts: RulesParts
  readonly #questions: OpenQuestion[] = []
  readonly #said = new Map<string, Said[]>()
  /** What somebody was told of decisions. */
  readonly #told: ApprovalRecord[] = []
  readonly #revoked = new Map<string, number>()
  /** By run: when each attempt began to execute. */
  readonly #began = new Map<string, { readonly epoch: number; readonly at: number }[]>()
  /** By run: when its caller had its outcome. */
  readonly #ended = new Map<string, number>()

  constructor(parts: RulesParts) {
    this.#parts = parts
  }

  /** An attempt executes: those before it have ended. */
  began({ runId, epoch }: Execution): void {
    this.#began.set(runId, [...(this.#began.get(runId) ?? []), { epoch, at: this.#parts.now() }])
  }

  /** A caller has a run's outcome: all its attempts have ended. */
  ended(runId: string, outcome: Outcome): void {
    const mayStillRun = outcome.status === 'failed' && outcome.mayStillRun === true
    if (!mayStillRun && !this.#ended.has(runId)) this.#ended.set(runId, this.#parts.now())
  }

  /** An executor asks. */
  asks(execution: Execution, { command }: Question): OpenQuestion {
    const tag = `${execution.job}.${execution.epoch} asks ${this.#questions.length}`
    const question = { execution, input: { tag, command, args: ['one', 'two'] }, isOver: false }
    this.#questions.push(question)
    return question
  }

  /** It has its answer: A2. */
  answered(question: OpenQuestion, answer: ApprovalAnswer<Asked>): void {
    question.isOver = true
    const { tag } = question.input
    const record = this.#parts.journal.approvals().find(({ input }) => tagIn(input) === tag)
    if (!answer.allowed && answer.decider === 'system' && answer.reason.startsWith('it could not be asked')) return
    const { decision } = record ?? {}
    if (record === undefined || decision === undefined)
      return this.#violate('A2', `${tag} is ${wordOf(answer.allowed)}, and no decision is recorded`)
    this.#told.push(record)
    if (ends.has(decision.reason)) this.#violate('A5', `${tag} is told that ${decision.reason}`)
    const { reason, decider } = answer
    const input = decision.input ?? record.input
    const isSame =
      answer.allowed === decision.allowed &&
      reason === decision.reason &&
      decider === decision.decider &&
      (!answer.allowed || (answer.scope === decision.scope && isDeepStrictEqual(answer.input, input)))
    if (!isSame) this.#violate('A2', `${tag} got ${JSON.stringify(answer)}, recorded is ${JSON.stringify(decision)}`)
  }

  /** Its run ended before. */
  left(question: OpenQuestion): void {
    question.isOver = true
  }

  /** Somebody is shown an approval: A1. */
  shown({ decision, ...approval }: ApprovalRecord): void {
    const recorded = this.#parts.journal.approval(approval.id)
    if (recorded === undefined) return this.#violate('A1', `${approval.id} is shown, and is not recorded`)
    const { decision: ended, ...asked } = recorded
    if (!isDeepStrictEqual(asked, approval)) this.#violate('A1', `${approval.id} is shown as what it is not`)
    if (decision === undefined) return
    this.#told.push({ ...approval, decision })
    if (ended === undefined) this.#violate('A1', `${approval.id} is shown as decided, and no decision is recorded`)
  }

  /**
   * An ancestor is shown one: A1.
   *
   * @returns its id; undefined when it is not recorded, or not by a descendant
   */
  shownTo({ runId, job }: Execution, { from, path: _path, ...asked }: ChildApproval): string | undefined {
    const { journal } = this.#parts
    const record = journal.approvals().find(({ input }) => tagIn(input) === tagIn(asked.input))
    const { tool, permission, resource, input } = record ?? {}
    const isSame = record?.runId === from.runId && record.epoch === from.epoch
    if (!isSame || !isDeepStrictEqual(asked, { tool, permission, resource, input })) {
      this.#violate('A1', `job ${job} is shown ${JSON.stringify(asked)} as what it is not`)
      return undefined
    }
    if (!journal.lineage(from.runId).includes(runId))
      this.#violate('A1', `job ${job} is shown ${record.id}, of ${from.runId}, which is none of its descendants`)
    return record.id
  }

  /** A decider says something, or an answer is given by id. */
  said(id: string, said: Said): void {
    this.#said.set(id, [...(this.#said.get(id) ?? []), said])
  }

  /** A grant was taken back. */
  revoked(id: string): void {
    this.#revoked.set(id, this.#parts.now())
  }

  /** To be called when all is settled. */
  finish(isOver: (address: string) => boolean): void {
    const { journal } = this.#parts
    for (const { execution, input, isOver: isAnswered } of this.#questions)
      if (!isAnswered && !isOver(execution.address)) this.#violate('A6', `${input.tag} has no answer`)
    for (const id of journal.unsettled()) this.#violate('A5', `${id} is left`)
    for (const id of journal.decisions())
      if (journal.approval(id) === undefined) this.#violate('A2', `${id} is decided, and nobody asked for it`)
    for (const record of journal.approvals()) this.#finish(record)
    for (const { id, decision } of this.#told)
      if (!isDeepStrictEqual(journal.approval(id)?.decision, decision))
        this.#violate('A2', `${id} was ${JSON.stringify(decision)}, and is recorded otherwise`)
    for (const id of journal.decidedTwice) this.#violate('A2', `${id} has two decisions`)
  }

  #finish(record: ApprovalRecord): void {
    const { decision, ...approval } = record
    if (decision === undefined) return this.#violate('A5', `${approval.id} waits, and nothing else does`)
    const wrong = this.#flawOf(approval, decision)
    if (wrong !== undefined)
      this.#violate(decision.allowed ? 'A3' : 'A4', `${approval.id} (${jobOf(approval)}): ${wrong}`)
    const later = this.#began.get(approval.runId)?.find(({ epoch }) => epoch > approval.epoch)
    const endedAt = Math.min(later?.at ?? Infinity, this.#ended.get(approval.runId) ?? Infinity)
    if (decision.decider !== 'system' && decision.decidedAt > endedAt)
      this.#violate('A5', `${approval.id} was decided by the ${decision.decider} when its attempt had ended`)
  }

  /** A3, A4: what is wrong with a decision. */
  #flawOf(approval: Approval, decision: ApprovalDecided): string | undefined {
    const { decider, allowed, reason, decidedAt } = decision
    if (reason.startsWith('granted for the '))
      return this.#isGranted(approval, decision) ? undefined : `${reason}, and no such grant is there`
    switch (decider) {
      case 'reviewer':
      case 'policy':
      case 'person':
      case 'ancestor':
        return this.#isSaid(approval.id, decision)
          ? undefined
          : `the ${decider} did not say ${JSON.stringify(decision)}`
      case 'deadline': {
        const isDue = !allowed && approval.deadline !== null && decidedAt >= approval.deadline
        return isDue ? undefined : 'its time was not over'
      }
      case 'system':
        return this.#mayDecide(approval, decision) ? undefined : `no reason for "${reason}"`
    }
  }

  #isSaid(id: string, { decider, allowed, reason, input, scope }: ApprovalDecided): boolean {
    return (this.#said.get(id) ?? []).some(({ decider: who, verdict }) => {
      if (who !== decider) return false
      if (verdict === undefined) return !allowed && /gave no verdict|failed: |not available/.test(reason)
      // What would be done is not what was asked: that denies.
      if (verdict.allow && verdict.input !== undefined && !isAsked(verdict.input))
        return !allowed && reason.includes('another shape')
      if (verdict.allow !== allowed || verdict.reason !== reason) return false
      return !allowed || ((verdict.scope ?? 'once') === scope && isDeepStrictEqual(verdict.input, input))
    })
  }

  #isGranted(approval: Approval, { decider, allowed, decidedAt }: ApprovalDecided): boolean {
    const holds = (grant: Grant): boolean =>
      grant.decider === decider &&
      grant.of === (grant.scope === 'run' ? approval.runId : approval.session) &&
      grant.tool === approval.tool &&
      grant.permission === approval.permission &&
      grant.resource === approval.resource &&
      grant.grantedAt <= decidedAt &&
      decidedAt <= (this.#revoked.get(grant.id) ?? Infinity) &&
      this.#parts.journal.approval(grant.approval)?.decision?.allowed === true
    return allowed && this.#parts.journal.grants().some(holds)
  }

  #mayDecide(approval: Approval, { allowed, reason }: ApprovalDecided): boolean {
    const { deciders, roleOf } = this.#parts
    const posture = deciders.postures[roleOf(jobOf(approval)) ?? 'solo']
    if (!allowed && ends.has(reason)) return true
    if (reason === 'its role bypasses approvals') return allowed && posture.bypass === true
    if (reason === 'it only reads') return allowed && posture.readOnly === true
    if (reason.startsWith('its role is read-only')) return !allowed && posture.readOnly === true
    return (
      !allowed &&
      reason === 'nobody is there who could be asked' &&
      (posture.unattended === true || deciders.person === 'nobody')
    )
  }

  #violate(rule: string, text: string): void {
    this.#parts.checker.violate(rule, text)
  }
}

/** The job that an approval is of. */
function jobOf({ input }: Approval): number {
  return Number.parseInt(tagIn(input) ?? '', 10)
}

/** Whether it is of the shape of what is asked. */
function isAsked(input: JsonValue): boolean {
  return typeof input === 'object' && input !== null && 'tag' in input && 'command' in input && 'args' in input
}

function tagIn(input: JsonValue): string | undefined {
  const tag = typeof input === 'object' && input !== null && 'tag' in input ? input.tag : undefined
  return typeof tag === 'string' ? tag : undefined
}

function wordOf(allowed: boolean): string {
  return allowed ? 'allowed' : 'denied'
}
