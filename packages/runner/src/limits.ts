/**
 * The bounds of a run: where they come from, and what is left of them after an attempt.
 *
 * Later ones replace earlier ones, each for itself: defaults, the runner's, the role's, the session's, the run's.
 */
import { addUsage, type Budget, greaterUsage, type Limits, type Usage } from '@greenroom/proto'
import type { Spent } from './drive/index.ts'
import { bad } from './option-check.ts'
import type { Session } from './session-store.ts'

/**
 * Bounds on a run, those of {@link Limits}. Defaults: `acceptWarmMs` 10,000, `acceptColdMs` and `firstEventMs` 60,000,
 * `noProgressMs` 900,000, `totalMs` 3,600,000; nothing else is bounded. At most 9,007,199,254,740,991; 0 is zero; null is
 * none, also where there is a default.
 */
export type LimitOptions = { readonly [Limit in keyof Limits]?: Limits[Limit] | null }

const defaults: Limits = {
  acceptWarmMs: 10_000,
  acceptColdMs: 60_000,
  firstEventMs: 60_000,
  noProgressMs: 900_000,
  totalMs: 3_600_000,
}

/** Whether a limit is counted in whole ones. */
const known: Readonly<Record<keyof Limits, boolean>> = {
  acceptWarmMs: false,
  acceptColdMs: false,
  firstEventMs: false,
  noProgressMs: false,
  totalMs: false,
  toolMs: false,
  rounds: true,
  tokens: true,
  costUsd: false,
  outputBytes: true,
  memoryMb: false,
}
/** Beyond it numbers have gaps, and what is left of a limit would be none. */
const most = Number.MAX_SAFE_INTEGER
const names = Object.keys(known).filter((name): name is keyof Limits => Object.hasOwn(known, name))

/**
 * Checks bounds.
 *
 * @param field - where they stand
 * @param limits - anything, when the caller is not compiled
 * @throws GreenroomError `BAD_OPTIONS` naming the field
 */
export function checkLimits(field: string, limits: unknown): void {
  if (limits === undefined) return
  if (typeof limits !== 'object' || limits === null) throw bad(field, 'an object')
  for (const [name, value] of Object.entries(limits)) {
    const limit = names.find((one) => one === name)
    if (limit === undefined) throw bad(`${field}: "${name}"`, `one of ${names.join(', ')}`)
    if (value === undefined || value === null) continue
    const isValid =
      typeof value === 'number' && value >= 0 && value <= most && (!known[limit] || Number.isInteger(value))
    if (!isValid)
      throw bad(`${field}.${name}`, `a ${known[limit] ? 'whole ' : ''}number from 0 to ${most}, or null for no limit`)
  }
}

/**
 * The bounds of a run.
 *
 * @param layers - the runner's, the role's, the session's, the run's: those that there are
 */
export function resolveLimits(...layers: readonly (LimitOptions | undefined)[]): Limits {
  const limits: { -readonly [Limit in keyof Limits]: Limits[Limit] } = { ...defaults }
  for (const layer of layers) {
    for (const name of names) {
      const value = layer?.[name]
      if (value === null) delete limits[name]
      else if (value !== undefined) limits[name] = value
    }
  }
  return limits
}

/** What bounds the runs of a session, in its metadata. */
const sessionNames = ['watchdog.totalSecs', 'watchdog.idleSecs'] as const

/** Seconds as milliseconds; undefined of what is no whole positive number of them. */
function msOf(text: unknown): number | undefined {
  const seconds = typeof text === 'string' && /^\d+$/.test(text.trim()) ? Number(text) : 0
  return seconds > 0 && Number.isSafeInteger(seconds * 1_000) ? seconds * 1_000 : undefined
}

/**
 * Checks what a session's metadata says about the bounds of its runs: who misspelt it would trust it in vain.
 *
 * @param field - where it stands
 * @param metadata - texts by their names
 * @throws GreenroomError `BAD_OPTIONS` naming the field
 */
export function checkSessionLimits(field: string, metadata: Readonly<Record<string, string>> = {}): void {
  for (const [name, text] of Object.entries(metadata)) {
    if (!name.startsWith('watchdog.')) continue
    if (!sessionNames.some((known) => known === name))
      throw bad(`${field}: "${name}"`, `one of ${sessionNames.join(', ')}`)
    if (msOf(text) === undefined) throw bad(`${field}: "${name}"`, 'a whole positive number of seconds')
  }
}

/**
 * What a session's metadata says about the bounds of its runs: whole positive numbers of seconds. Anything else is not
 * there: whoever wrote it must not end runs with it.
 *
 * @param session - the session, if there is one
 */
export function limitsOfSession(session: Session | undefined): LimitOptions {
  const [totalMs, noProgressMs] = sessionNames.map((name) => msOf(session?.metadata?.[name]))
  return {
    ...(totalMs === undefined ? {} : { totalMs }),
    ...(noProgressMs === undefined ? {} : { noProgressMs }),
  }
}

/**
 * Bounds that hold what is left of a budget, too.
 *
 * @param limits - the run's
 * @param left - of the budgets that it draws on
 */
export function budgetedLimits(limits: Limits, { ms, tokens, usd }: Budget): Limits {
  return {
    ...limits,
    ...(ms === undefined ? {} : { totalMs: Math.min(ms, limits.totalMs ?? Infinity) }),
    ...(tokens === undefined ? {} : { tokens: Math.min(tokens, limits.tokens ?? Infinity) }),
    ...(usd === undefined ? {} : { costUsd: Math.min(usd, limits.costUsd ?? Infinity) }),
  }
}

/** What a run's attempts used together. */
export class Account {
  readonly #limits: Limits
  readonly #onAdd: (sum: { readonly ms: number; readonly usage: Usage }) => void
  #ms = 0
  #outputBytes = 0
  #usage: Usage = {}

  /**
   * @param limits - the run's
   * @param onAdd - called after each attempt with what all of them used
   */
  constructor(limits: Limits, onAdd: (sum: { readonly ms: number; readonly usage: Usage }) => void = () => undefined) {
    this.#limits = limits
    this.#onAdd = onAdd
  }

  /** What was used; undefined when nobody said so. */
  get usage(): Usage | undefined {
    return Object.keys(this.#usage).length === 0 ? undefined : this.#usage
  }

  /** The bounds of the next attempt: what is left. */
  get left(): Limits {
    const { totalMs, rounds, tokens, costUsd, outputBytes } = this.#limits
    const { inputTokens = 0, outputTokens = 0, costUsd: cost = 0, rounds: used = 0 } = this.#usage
    // To a billionth, as sums are: 0.3 - 0.1 leaves 0.2.
    const minus = (limit: number, spent: number): number => Math.max(0, Math.round((limit - spent) * 1e9) / 1e9)
    return {
      ...this.#limits,
      ...(totalMs === undefined ? {} : { totalMs: minus(totalMs, this.#ms) }),
      ...(rounds === undefined ? {} : { rounds: Math.ceil(minus(rounds, used)) }),
      ...(tokens === undefined ? {} : { tokens: Math.ceil(minus(tokens, inputTokens + outputTokens)) }),
      ...(costUsd === undefined ? {} : { costUsd: minus(costUsd, cost) }),
      ...(outputBytes === undefined ? {} : { outputBytes: Math.max(0, outputBytes - this.#outputBytes) }),
    }
  }

  /**
   * Adds an attempt.
   *
   * @param spent - what it used as the runner saw it
   * @param told - what its worker said at its end that it used; where that is less, what the runner saw counts
   */
  add(spent: Spent, told: Usage | undefined): void {
    this.#ms += spent.ms
    this.#outputBytes += spent.outputBytes
    this.#usage = addUsage(this.#usage, greaterUsage(spent.usage, told ?? {}))
    this.#onAdd({ ms: this.#ms, usage: this.#usage })
  }
}
