/** What the report says of the historian: what it told, and who let it run git. */
import type { ApprovalDecided, JsonValue } from 'greenroom'
import type { Told } from './history.ts'
import { code, counted, list, text } from './markdown.ts'
import { failureOf, type Historian } from './survey.ts'

/** The historian's run, as JSON has it. */
export interface HistoryReport {
  readonly runId: string
  readonly role: string
  /** Always `local`. */
  readonly placement: string
  /** The machine. */
  readonly host: string
  readonly worker: { readonly pid: number | null }
  /** The outcome's; one that was not allowed to look has `failed`. */
  readonly status: string
  readonly ms: number
  /** The call that somebody had to allow; null where there was nothing to ask for. */
  readonly approval: {
    readonly tool: string
    readonly permission: string
    readonly resource: string
    /** What was asked for, to the letter. */
    readonly input: JsonValue
    readonly allowed: boolean
    /** `person`, `policy`, `deadline` or `system`. */
    readonly decider: string
    readonly reason: string
    /** How long that took. */
    readonly decidedMs: number
  } | null
  /** What git told; null where it told nothing. */
  readonly told: Told | null
  /** Why it told nothing; null where it did. */
  readonly why: string | null
}

/** The historian's part of the JSON. */
export function historyReport(historian: Historian): HistoryReport {
  const { status, outcome } = historian
  const { runId, role, placement, worker, ms } = status
  return {
    runId,
    role,
    placement: placement?.kind ?? 'local',
    host: placement?.host ?? '',
    worker: { pid: worker?.pid ?? null },
    status: outcome.status,
    ms: Math.round(ms),
    approval: approvalOf(historian),
    told: toldBy(historian) ?? null,
    why: whyNot(historian) ?? null,
  }
}

function approvalOf({ asked: [first] }: Historian): HistoryReport['approval'] {
  if (first?.decision === undefined) return null
  const { tool, permission, resource, input, decision, createdAt } = first
  const { allowed, decider, reason, decidedAt } = decision
  return { tool, permission, resource, input, allowed, decider, reason, decidedMs: decidedAt - createdAt }
}

function toldBy({ outcome }: Historian): Told | undefined {
  return outcome.status === 'completed' && 'commits' in outcome.output ? outcome.output : undefined
}

/** Why there is no history: nothing to tell, not allowed, or a failure. */
function whyNot(historian: Historian): string | undefined {
  const { outcome, asked } = historian
  if (outcome.status === 'completed') return 'none' in outcome.output ? outcome.output.none : undefined
  const failure = failureOf(historian)
  if (failure !== undefined) return `failed: ${failure}`
  const decision = asked[0]?.decision
  if (decision === undefined) return 'denied'
  const reason = isOwn(decision) ? `: ${decision.reason}` : ''
  return `denied${reason}, by ${byWords[decision.decider]}`
}

/** Whether somebody gave a reason; else the runner has put in who it was. */
const isOwn = ({ reason, decider }: ApprovalDecided): boolean => !reason.endsWith(` by the ${decider}`)

const byWords: Readonly<Record<ApprovalDecided['decider'], string>> = {
  person: 'a person',
  policy: 'a policy',
  reviewer: 'a reviewer',
  ancestor: 'an ancestor',
  deadline: 'the deadline',
  system: 'the system',
}

/** Who let it; empty where nobody was asked. */
function permissionOf({ asked: [first] }: Historian): string {
  const { decision } = first ?? {}
  if (decision?.allowed !== true) return ''
  return `allowed by ${byWords[decision.decider]}${isOwn(decision) ? ` (${decision.reason})` : ''}`
}

/** What became of it, in a line; not Markdown. */
export function historyLine(historian: Historian): string {
  const name = `historian (pid ${historian.status.worker?.pid ?? '–'})`
  const told = toldBy(historian)
  if (told === undefined) return `${name}: ${whyNot(historian) ?? ''}`
  return `${name}: ${counted(told.commits, 'commit')}, ${permissionOf(historian)}`
}

/** The section of the report. */
export function historySection(historian: Historian): string[] {
  const told = toldBy(historian)
  if (told === undefined) return ['## History', `No history: ${text(whyNot(historian) ?? '')}`]
  const { commits, isAll, first, last, authorCount, authors, changed } = told
  const which = `${isAll ? '' : 'The last '}${counted(commits, 'commit')}`
  const when = first === '' ? '' : `, from ${first.slice(0, 10)} to ${last.slice(0, 10)}`
  const span = `${which} by ${counted(authorCount, 'author')}${when}.`
  const by = authors.map(({ name, commits: so }) => `${code(name)}: ${counted(so, 'commit')}`)
  const where = changed.map(({ path, commits: so }) => `${code(path)}: in ${counted(so, 'commit')}`)
  return [
    '## History',
    `${span} \`git log\` was ${text(permissionOf(historian))}.`,
    ...list('Authors', authorCount, by),
    ...list('Most changed files', where.length, where),
  ]
}
