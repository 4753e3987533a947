/**
 * The way of one approval through those who may decide on it.
 *
 * ```text
 * read-only? ─► grant? ─► reviewer ─┬─ allow, deny ────────► decided
 *                                   └─ unavailable, none ──► bypass? ─► policy ─► ancestor ─► person ─► decided
 * ```
 *
 * - *R1* Every failure denies, with its true reason. Nothing is allowed but by somebody who said so.
 * - *R2* A read-only role does nothing but read, whoever would allow more: a shell command has to pass the checker, and what
 *   is executed is what the checker wrote.
 */
import { isJson, type ApprovalScope, type Decider, type JsonValue, type Posture } from '@greenroom/proto'
import type { ReadOnlyShell } from '@greenroom/read-only-shell'
import type { Approval, ApprovalDecided, ApprovalOptions, Grant, Verdict } from './approval.ts'

/** A decision, before it is recorded. */
export type Decision = Omit<ApprovalDecided, 'decidedAt'>

/** What an approval is led through. */
export interface RouteParts extends Pick<ApprovalOptions, 'reviewer' | 'onUnavailable' | 'policy' | 'person'> {
  /** Its role's. */
  readonly posture: Posture
  /** The grants that there are. */
  readonly grants: readonly Grant[]
  /** R2 */
  readonly shell: ReadOnlyShell
  /** The run's ancestors, the nearest first: undefined when none of them decides on it. */
  readonly ancestor: () => Promise<Verdict | undefined>
  /** Aborts when it is decided otherwise. */
  readonly signal: AbortSignal
}

/**
 * Finds the decision.
 *
 * @param approval - what is asked
 * @param parts - see {@link RouteParts}
 * @returns undefined when it waits for somebody elsewhere. Never rejects
 */
export async function route(approval: Approval, parts: RouteParts): Promise<Decision | undefined> {
  const { posture, grants, person, signal } = parts
  if (posture.readOnly === true) {
    const read = readOnly(approval, parts.shell)
    if (read !== undefined) return read
  }
  const grant = grants.find((one) => covers(one, approval))
  if (grant !== undefined) return { ...allowed(grant.decider, `granted for the ${grant.scope}`), ...deciderOf(grant) }
  const reviewed = await review(approval, parts)
  if (reviewed !== undefined) return reviewed
  if (posture.bypass === true) return allowed('system', 'its role bypasses approvals')
  const ruled = await asked('policy', async () => parts.policy?.(approval, { signal }))
  if (ruled !== undefined) return ruled
  const inherited = await asked('ancestor', () => parts.ancestor())
  if (inherited !== undefined) return inherited
  if (posture.unattended === true || person === undefined) return denied('system', 'nobody is there who could be asked')
  if (person === 'elsewhere') return undefined
  return (await asked('person', () => person(approval, { signal }))) ?? denied('person', 'no answer was given')
}

/**
 * What a verdict decides.
 *
 * @param decider - whose it is
 * @param verdict - anything, when the decider is not compiled
 * @param by - which person, where that is known
 * @returns undefined when it is none
 */
export function decisionOf(decider: Decider, verdict: unknown, by?: string): Decision | undefined {
  if (!isVerdict(verdict)) return undefined
  const { allow, reason, input, scope = 'once' } = verdict
  return {
    allowed: allow,
    reason: reason ?? (allow ? `allowed by the ${decider}` : `rejected by the ${decider}`),
    ...deciderOf({ decider, by }),
    // What was replaced was not allowed: a grant would let it pass as it was asked.
    scope: allow && input === undefined ? scope : 'once',
    ...(allow && input !== undefined ? { input } : {}),
  }
}

/** Who decided, as far as that is known. */
export function deciderOf({
  decider,
  by,
}: {
  readonly decider: Decider
  readonly by?: string | undefined
}): Pick<Decision, 'decider' | 'by'> {
  return by === undefined ? { decider } : { decider, by }
}

/** A denial. */
export function denied(decider: Decider, reason: string): Decision {
  return { allowed: false, reason, decider, scope: 'once' }
}

function allowed(decider: Decider, reason: string): Decision {
  return { allowed: true, reason, decider, scope: 'once' }
}

async function review(approval: Approval, parts: RouteParts): Promise<Decision | undefined> {
  const { reviewer, onUnavailable = 'person', signal } = parts
  if (reviewer === undefined) return undefined
  let why = 'the reviewer is not available'
  try {
    const verdict = await reviewer(approval, { signal })
    const decision = decisionOf('reviewer', verdict)
    if (decision !== undefined) return decision
    if (verdict !== 'unavailable') why = 'the reviewer gave no verdict'
  } catch (error) {
    why = `the reviewer failed: ${String(error)}`
  }
  return onUnavailable === 'deny' ? denied('reviewer', why) : undefined
}

/** R1 */
async function asked(
  decider: 'policy' | 'ancestor' | 'person',
  ask: () => Promise<Verdict | undefined>,
): Promise<Decision | undefined> {
  try {
    const verdict = await ask()
    if (verdict === undefined) return undefined
    return decisionOf(decider, verdict) ?? denied(decider, `the ${decider} gave no verdict`)
  } catch (error) {
    return denied(decider, `the ${decider} failed: ${String(error)}`)
  }
}

/** R2: undefined for what only reads, and may be asked for as ever. */
function readOnly({ permission, input }: Approval, shell: ReadOnlyShell): Decision | undefined {
  if (permission === 'read') return undefined
  const command = isObject(input) ? input['command'] : undefined
  if (permission !== 'execute' || typeof command !== 'string')
    return denied('system', `its role is read-only: no ${permission}`)
  const verdict = shell.check(command)
  if (!verdict.allowed) return denied('system', `its role is read-only: ${verdict.reason}`)
  return {
    ...allowed('system', 'it only reads'),
    input: { ...(isObject(input) ? input : {}), command: verdict.command },
  }
}

function covers({ scope, of, ...grant }: Grant, approval: Approval): boolean {
  return (
    of === (scope === 'run' ? approval.runId : approval.session) &&
    (['role', 'tool', 'permission', 'resource'] as const).every((field) => grant[field] === approval[field])
  )
}

/**
 * Whether something is a verdict.
 *
 * @param verdict - anything, as from a request; one with other members than a verdict's is none
 */
export function isVerdict(verdict: unknown): verdict is Verdict {
  if (typeof verdict !== 'object' || verdict === null || !('allow' in verdict)) return false
  const { allow, reason, input, scope, ...more }: Partial<Record<keyof Verdict, unknown>> = verdict
  return (
    typeof allow === 'boolean' &&
    // A misspelt edit must not let pass what was to be edited.
    Object.keys(more).length === 0 &&
    (reason === undefined || typeof reason === 'string') &&
    (input === undefined || isJson(input)) &&
    (scope === undefined || isScope(scope))
  )
}

function isScope(scope: unknown): scope is ApprovalScope {
  return scope === 'once' || scope === 'run' || scope === 'session'
}

function isObject(value: JsonValue): value is { readonly [name: string]: JsonValue | undefined } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
