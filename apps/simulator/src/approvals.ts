/** Those who decide on what runs ask for: at random, late, twice, or never. */
import { codeOf, type JsonObject, type JsonValue } from '@greenroom/proto'
import type {
  Approval,
  ApprovalOptions,
  ApprovalRecord,
  DecideOptions,
  RunnerApprovals,
  Verdict,
} from '@greenroom/runner'
import type { DecideForChildren } from '@greenroom/worker'
import { ApprovalRules, type Said } from './approval-rules.ts'
import type { Chance } from './chance.ts'
import type { Execution } from './checker.ts'
import type { Life } from './executors.ts'
import type { RunnerLife } from './life.ts'
import { drawDeciders, type Deciders, type Word } from './questions.ts'
import type { World } from './world.ts'

/** What an answer may be refused with. */
const mayRefuse: ReadonlySet<string> = new Set(['CLOSED', 'STORAGE_FULL', 'COMMIT_UNKNOWN'])

/** So often somebody looks at what waits, in milliseconds. */
const roundMs = 15_000

/** See the file. */
export class Approvals {
  readonly deciders: Deciders
  readonly rules: ApprovalRules
  readonly #world: World
  readonly #chance: Chance
  /** Who was asked and is not told that it is over. */
  readonly #asked = new Set<{ readonly life: RunnerLife; readonly signal: AbortSignal }>()
  #isOver = false

  constructor(world: World, chance: Chance) {
    this.#world = world
    this.#chance = chance
    this.deciders = drawDeciders(chance)
    const { checker, journal, clock, jobs } = world
    this.rules = new ApprovalRules({
      checker,
      journal,
      deciders: this.deciders,
      roleOf: (job) => jobs[job]?.role,
      now: () => clock.now(),
    })
  }

  /** Who decides in a life of the runner. */
  options(life: RunnerLife): ApprovalOptions {
    const { hasReviewer, hasPolicy, onUnavailable, person, deadlineMs } = this.deciders
    return {
      ...(hasReviewer
        ? { reviewer: async (...to) => (await this.#decide('reviewer', life, ...to)) ?? 'unavailable' }
        : {}),
      ...(hasPolicy ? { policy: (...to) => this.#decide('policy', life, ...to) } : {}),
      ...(person === 'nobody' ? {} : { person: person === 'elsewhere' ? person : this.#person(life) }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      onUnavailable,
    }
  }

  /** A life is up: somebody watches, somebody makes rounds. */
  begin(life: RunnerLife, approvals: RunnerApprovals): void {
    void this.#watch(life, approvals)
    void this.#makeRounds(life, approvals)
  }

  /** Nobody answers any more. */
  leave(): void {
    this.#isOver = true
  }

  /** To be called when all is settled. */
  finish(): void {
    const { checker, workers, life } = this.#world
    this.rules.finish((address) => (workers.get(address)?.state ?? 'ended') === 'ended')
    const waiting = life?.runner?.approvals.list({ state: 'pending' }) ?? []
    if (waiting.length > 0) checker.violate('A5', `${waiting.length} approvals wait, and nothing else does`)
    const open = [...this.#asked].filter((one) => !one.life.isOver && !one.signal.aborted)
    if (open.length > 0) checker.violate('A5', `${open.length} deciders are not told that it is over`)
  }

  // ─── in the runner ─────────────────────────────────────────────────────────────────────────────────────────────

  #person(life: RunnerLife): (approval: Approval, options: DecideOptions) => Promise<Verdict> {
    return async (approval, options) => {
      const verdict = await this.#decide('person', life, approval, options)
      return verdict ?? Promise.reject(new Error('closed the window'))
    }
  }

  /** Decides as chance has it; undefined: has nothing to say. */
  async #decide(
    decider: Said['decider'],
    life: RunnerLife,
    approval: Approval,
    { signal }: DecideOptions,
  ): Promise<Verdict | undefined> {
    if (life.isOver) return forEver()
    this.rules.shown(approval)
    const asked = { life, signal }
    this.#asked.add(asked)
    const word = this.#word()
    await this.#pause(this.#delay())
    if (word === 'never') await aborted(signal)
    if (life.isOver) return forEver()
    this.#asked.delete(asked)
    if (signal.aborted) return undefined
    const verdict = this.#verdict(word, approval.input)
    if (word === 'pass' && decider !== 'person' && !(decider === 'reviewer' && this.deciders.onUnavailable === 'deny'))
      return undefined
    this.#say(approval.id, { decider, verdict })
    if (word === 'throw') throw new Error('it did not work')
    return word === 'garbage' ? garbage() : verdict
  }

  #word(): Word {
    const words = ['allow', 'allow', 'allow', 'edit', 'misfit', 'deny', 'deny', 'pass', 'garbage', 'throw'] as const
    return this.#chance.one<Word>([...words, 'never', 'never'])
  }

  #delay(): number {
    return this.#chance.one([0, 0, 1, 200, 3_000, 25_000])
  }

  #verdict(word: Word, input: JsonValue): Verdict | undefined {
    const reason = `because of ${this.#chance.below(1_000_000)}`
    const scope = this.#chance.one(['once', 'once', 'run', 'session'] as const)
    switch (word) {
      case 'allow':
        return { allow: true, reason, scope }
      case 'edit':
        return { allow: true, reason, input: { ...objectOf(input), args: ['another one'] } }
      case 'misfit':
        return { allow: true, reason, input: { args: 1 } }
      case 'deny':
        return { allow: false, reason, scope }
      default:
        return undefined
    }
  }

  #say(id: string, said: Said): void {
    this.#world.trace.add(`the ${said.decider} says ${JSON.stringify(said.verdict ?? 'nothing')} to ${id}`)
    this.rules.said(id, said)
  }

  /** The executor of an ancestor decides. */
  as(execution: Execution, life: Life): DecideForChildren {
    return async (approval, { signal }) => {
      if (life.isOver()) return forEver()
      const id = this.rules.shownTo(execution, approval)
      const word = this.#word()
      await this.#pause(this.#delay())
      if (word === 'never') await aborted(signal)
      if (life.isOver()) return forEver()
      if (id === undefined || word === 'pass') return undefined
      const verdict = this.#verdict(word, approval.input)
      this.#say(id, { decider: 'ancestor', verdict })
      if (word === 'throw') throw new Error('it did not work')
      return word === 'garbage' ? garbage() : verdict
    }
  }

  // ─── by id ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #watch(life: RunnerLife, approvals: RunnerApprovals): Promise<void> {
    for await (const record of approvals.watch()) {
      if (life.isOver) return
      this.rules.shown(record)
      if (record.decision !== undefined || this.#isOver) continue
      const share = this.deciders.person === 'elsewhere' ? 0.7 : 0.15
      if (this.#chance.happens(share)) void this.#answer(life, approvals, record)
      if (this.#chance.happens(share / 2)) void this.#answer(life, approvals, record)
    }
  }

  /** What may wait for ever is answered now and then, and some grants are taken back. */
  async #makeRounds(life: RunnerLife, approvals: RunnerApprovals): Promise<void> {
    for (;;) {
      await this.#pause(roundMs)
      if (life.isOver || this.#isOver) return
      for (const record of approvals.list({ state: 'pending' }))
        if (record.deadline === null) void this.#answer(life, approvals, record)
      for (const { id } of approvals.grants()) if (this.#chance.happens(0.2)) void this.#revoke(life, approvals, id)
    }
  }

  async #answer(life: RunnerLife, approvals: RunnerApprovals, { id, input }: ApprovalRecord): Promise<void> {
    const word = this.#chance.one<Word>(['allow', 'allow', 'edit', 'misfit', 'deny'])
    await this.#pause(this.#delay())
    const verdict = this.#verdict(word, input)
    if (life.isOver || this.#isOver || verdict === undefined) return
    this.#say(id, { decider: 'person', verdict })
    try {
      const record = await approvals.answer(id, verdict)
      if (!life.isOver) this.rules.shown(record)
    } catch (error) {
      const isRefused = word === 'misfit' && codeOf(error) === 'BAD_OPTIONS'
      if (!life.isOver && !isRefused && !mayRefuse.has(codeOf(error) ?? ''))
        this.#world.checker.violate('A2', `an answer to ${id}: ${String(error)}`)
    }
  }

  async #revoke(life: RunnerLife, approvals: RunnerApprovals, id: string): Promise<void> {
    // What a killed life may have granted is noted while it is there.
    this.#world.journal.grants()
    try {
      if ((await approvals.revoke(id)) && !life.isOver) this.rules.revoked(id)
    } catch (error) {
      // It may be gone, or not.
      this.#world.trace.add(`revoke: ${String(error)}`)
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#world.clock.timer(ms, resolve))
  }
}

function objectOf(input: JsonValue): JsonObject {
  const isObject = (value: JsonValue): value is JsonObject => typeof value === 'object' && !Array.isArray(value)
  return input !== null && isObject(input) ? input : {}
}

/** What is not compiled may return anything. */
function garbage(): Verdict {
  const verdict = { allow: true }
  Reflect.set(verdict, 'allow', 'yes')
  return verdict
}

function forEver(): Promise<never> {
  return new Promise(() => undefined)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
