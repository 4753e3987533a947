/**
 * The judge: what must hold of approvals, by the ledgers.
 *
 * - *P1* Each has one decision, and whoever got one got that.
 * - *P2* Nobody was allowed anything but as somebody said who may.
 * - *P3* Who was denied was told why: nobody in time is not somebody who refused.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ApprovalLine, ChaosRecord, Decision } from './line.ts'

/** What must not be. */
export type ApprovalFault = 'undecided' | 'unlike' | 'forged' | 'untrue'

/** What came of it. */
export interface ApprovalVerdict {
  readonly asked: number
  readonly recorded: number
  /** By decider, and whether it was allowed. */
  readonly decisions: Readonly<Record<string, number>>
  /** Answers that executors got. */
  readonly answered: number
  /** Answers by id that somebody else was faster than. */
  readonly late: number
  readonly violations: readonly { readonly fault: ApprovalFault; readonly text: string }[]
}

/** Why an approval came to nothing that nobody waits for any more. */
const ends: ReadonlySet<string> = new Set(['its attempt ended', 'its run ended', 'its runner ended'])

/** A timer may be early by the rounding of the clocks, in milliseconds. */
const clockMs = 2

type Of<T extends ApprovalLine['t']> = ApprovalLine & { readonly t: T }

/**
 * Judges.
 *
 * @param lines - of all ledgers
 */
export function judgeApprovals(lines: readonly ApprovalLine[]): ApprovalVerdict {
  const is =
    <T extends ApprovalLine['t']>(t: T) =>
    (line: ApprovalLine): line is Of<T> =>
      line.t === t
  const records = lines.filter(is('record')).map(({ record }) => record)
  const judge = new Judge(records, lines.filter(is('said')))
  for (const record of records) judge.record(record)
  const got = lines.filter(is('got'))
  for (const one of got) judge.got(one)
  const asked = lines.filter(is('ask'))
  const answers = lines.filter(is('answer'))
  for (const one of answers) judge.answer(one)
  const decisions: Record<string, number> = {}
  for (const { decision } of records) {
    const name = decision === undefined ? 'none' : `${decision.decider} ${decision.allowed ? 'allowed' : 'denied'}`
    decisions[name] = (decisions[name] ?? 0) + 1
  }
  return {
    asked: new Set(asked.map(({ tag }) => tag)).size,
    recorded: records.length,
    decisions,
    answered: answers.length,
    late: got.filter(({ id, allow, decision }) => judge.isOther(id, allow, decision)).length,
    violations: judge.violations,
  }
}

class Judge {
  readonly violations: { fault: ApprovalFault; text: string }[] = []
  readonly #records: readonly ChaosRecord[]
  readonly #byTag: ReadonlyMap<string, ChaosRecord>
  readonly #byId: ReadonlyMap<string, ChaosRecord>
  readonly #said: ReadonlyMap<string, readonly Of<'said'>[]>

  constructor(records: readonly ChaosRecord[], said: readonly Of<'said'>[]) {
    this.#records = records
    this.#byTag = new Map(records.map((record) => [record.input.tag, record]))
    this.#byId = new Map(records.map((record) => [record.id, record]))
    this.#said = Map.groupBy(said, ({ id }) => id)
  }

  #violate(fault: ApprovalFault, text: string): void {
    this.violations.push({ fault, text })
  }

  /** P1, P2, P3 */
  record(record: ChaosRecord): void {
    const { id, decision } = record
    if (decision === undefined) return this.#violate('undecided', `${id} has no decision`)
    if (this.#isFounded(record, decision)) return
    this.#violate(decision.allowed ? 'forged' : 'untrue', `${id}: nobody said ${JSON.stringify(decision)}`)
  }

  #isFounded(record: ChaosRecord, { decider, allowed, reason, scope, input, decidedAt }: Decision): boolean {
    if (decider === 'deadline') return !allowed && record.deadline !== null && decidedAt >= record.deadline - clockMs
    if (decider === 'system') return !allowed && ends.has(reason)
    if (reason.startsWith('granted for the ')) return allowed && this.#isGranted(record, decidedAt)
    return (this.#said.get(record.id) ?? []).some(({ decider: who, verdict }) => {
      if (who !== decider) return false
      if (verdict === null) return !allowed && reason.startsWith(`the ${decider} failed: `)
      if (verdict.allow !== allowed || verdict.reason !== reason) return false
      return (
        !allowed || ((verdict.scope ?? 'once') === scope && isDeepStrictEqual(verdict.input ?? null, input ?? null))
      )
    })
  }

  #isGranted({ runId, session, resource }: ChaosRecord, at: number): boolean {
    return this.#records.some(
      ({ decision, ...one }) =>
        decision?.allowed === true &&
        decision.decidedAt <= at &&
        one.resource === resource &&
        (decision.scope === 'run' ? one.runId === runId : decision.scope === 'session' && one.session === session),
    )
  }

  /** P1: by id. */
  got({ id, decision }: Of<'got'>): void {
    const recorded = this.#byId.get(id)?.decision
    if (!isDeepStrictEqual(recorded, decision))
      this.#violate(
        'unlike',
        `${id} was answered with ${JSON.stringify(decision)}, recorded is ${JSON.stringify(recorded)}`,
      )
  }

  /** Whether somebody else had decided otherwise. */
  isOther(id: string, allow: boolean, decision: Decision | undefined): boolean {
    return this.#byId.has(id) && decision !== undefined && decision.allowed !== allow
  }

  /** P1: an executor's. */
  answer({ tag, answer }: Of<'answer'>): void {
    const { allowed, decider, reason } = answer
    // Its question never got anywhere.
    if (!allowed && decider === 'system' && reason.startsWith('it could not be asked')) return
    const record = this.#byTag.get(tag)
    const { decision } = record ?? {}
    if (record === undefined || decision === undefined)
      return this.#violate(allowed ? 'forged' : 'unlike', `${tag} was answered, and no decision is recorded`)
    const input = allowed ? (decision.input ?? record.input) : undefined
    const isSame =
      allowed === decision.allowed &&
      decider === decision.decider &&
      reason === decision.reason &&
      isDeepStrictEqual(answer.input, input)
    if (!isSame)
      this.#violate('unlike', `${tag} got ${JSON.stringify(answer)}, recorded is ${JSON.stringify(decision)}`)
    if (ends.has(reason)) this.#violate('untrue', `${tag} was told that ${reason}`)
  }
}
