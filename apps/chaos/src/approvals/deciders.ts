/** Those who decide on what the runs of chaos ask for: at random, late, twice, or never. */
import { codeOf } from '@greenroom/proto'
import type {
  Approval,
  ApprovalOptions,
  ApprovalRecord,
  DecideOptions,
  RunnerApprovals,
  Verdict,
} from '@greenroom/runner'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../chance.ts'
import { append, question, type ChaosVerdict } from './line.ts'

/** Everybody in one life of the runner. */
export class Deciders {
  readonly #chance: Chance
  readonly #ledger: string

  constructor(chance: Chance, ledger: string) {
    this.#chance = chance
    this.#ledger = ledger
  }

  /** Those whom the runner asks. */
  options(): ApprovalOptions {
    return {
      policy: (approval) => (this.#chance.happens(0.2) ? this.#decide('policy', approval) : undefined),
      person: (approval, options) => this.#person(approval, options),
      deadlineMs: 8_000,
    }
  }

  /** Those who answer by id, once or twice. Ends with the runner. */
  async watch(approvals: RunnerApprovals): Promise<void> {
    for await (const record of approvals.watch()) {
      if (record.decision !== undefined) continue
      if (this.#chance.happens(0.5)) void this.#answer(approvals, record)
      if (this.#chance.happens(0.25)) void this.#answer(approvals, record)
    }
  }

  async #person(approval: Approval, { signal }: DecideOptions): Promise<Verdict> {
    await sleep(this.#chance.between(0, 600), undefined, { signal })
    if (this.#chance.happens(0.35)) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    signal.throwIfAborted()
    return this.#decide('person', approval)
  }

  #decide(decider: 'policy' | 'person', { id, input }: Approval): Verdict {
    const verdict = this.#chance.happens(0.1) ? null : this.#verdict(input)
    append(this.#ledger, { t: 'said', id, decider, verdict })
    if (verdict === null) throw new Error('it did not work')
    return verdict
  }

  async #answer(approvals: RunnerApprovals, { id, input }: ApprovalRecord): Promise<void> {
    const verdict = this.#verdict(input)
    await sleep(this.#chance.between(0, 800))
    try {
      append(this.#ledger, { t: 'said', id, decider: 'person', verdict })
      const { decision } = await approvals.answer(id, verdict)
      append(this.#ledger, {
        t: 'got',
        id,
        allow: verdict.allow,
        ...(decision === undefined ? {} : { decision: { input: null, ...decision } }),
      })
    } catch (error) {
      if (codeOf(error) !== 'CLOSED') throw error
    }
  }

  #verdict(input: unknown): ChaosVerdict {
    const chance = this.#chance
    const reason = `because of ${chance.between(1, 1e9)}`
    if (chance.happens(0.35)) return { allow: false, reason }
    if (chance.happens(0.2)) return { allow: true, reason, input: { ...question.parse(input), args: ['another one'] } }
    const scope = chance.oneOf(['once', 'once', 'once', 'run', 'session'] as const) ?? 'once'
    return { allow: true, reason, scope }
  }
}
