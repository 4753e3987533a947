/** `greenroom approvals`: what the runs of a running runner ask for, and decisions, over the runner's private socket. */
import {
  GreenroomError,
  isErrorCode,
  isJson,
  isId,
  systemClock,
  type ApprovalScope,
  type JsonValue,
} from '@greenroom/proto'
import { findApprovalsDoor, type ApprovalRecord, type Grant, type Verdict } from '@greenroom/runner'
import { plain } from './plain-text.ts'
import { askDoor } from './platform/door-client.ts'
import { age, table } from './table.ts'

/** Which runner, and how to say it. */
export interface ApprovalAccess {
  /** The runner's data folder. */
  readonly data: string
  /** Write one document of JSON in place of text. */
  readonly json?: boolean
}

/** What `list` is told. */
export interface ListCommand extends ApprovalAccess {
  /** Also those that are decided. */
  readonly all?: boolean
  /** Only those of this run. */
  readonly run?: string
}

/** What `deny` is told. */
export interface DenyCommand extends ApprovalAccess {
  /** Why. */
  readonly reason?: string
}

/** What `allow` is told. */
export interface AllowCommand extends DenyCommand {
  /** What it may be called with instead, as JSON. */
  readonly input?: string
  /** How long it holds. */
  readonly scope: ApprovalScope
}

/**
 * Lists those that wait: as a table, or with `--json` as `{"approvals": ApprovalRecord[]}`.
 *
 * @throws GreenroomError `CONNECT_FAILED`, `BAD_OPTIONS`
 */
export async function listApprovals({ all = false, run, ...access }: ListCommand): Promise<void> {
  const query = new URLSearchParams({
    ...(all ? {} : { state: 'pending' }),
    ...(run === undefined ? {} : { runId: run }),
  })
  const document = await ask(access, 'GET', `/approvals?${query.toString()}`)
  write(access, document, () => textOf(listIn(document, 'approvals').filter(isRecord), all))
}

function textOf(records: readonly ApprovalRecord[], all: boolean): string {
  if (records.length === 0) return all ? 'no approvals\n' : 'nothing waits for a decision\n'
  const now = systemClock.now()
  const rows = records.map((record) => {
    const { id, runId, role, tool, permission, resource, createdAt, decision } = record
    const state = decision === undefined ? 'waits' : decidedOf(record)
    return [id, runId, plain(role), plain(tool), plain(permission), plain(resource), age(now - createdAt), state]
  })
  return table(['APPROVAL', 'RUN', 'ROLE', 'TOOL', 'PERMISSION', 'RESOURCE', '>AGE', 'STATE'], rows)
}

/**
 * Shows one, or with `--json` `{"approval": ApprovalRecord}`.
 *
 * @throws GreenroomError `UNKNOWN_APPROVAL`, `CONNECT_FAILED`
 */
export async function showApproval(id: string, access: ApprovalAccess): Promise<void> {
  const document = await ask(access, 'GET', pathOf('approvals', id))
  write(access, document, () => details(approvalIn(document)))
}

function details(record: ApprovalRecord): string {
  const { id, runId, role, session, tool, permission, resource, input, workspace, deadline } = record
  const lines: readonly (readonly [string, string])[] = [
    ['approval', id],
    ['run', `${runId} (${plain(role)}, session ${plain(session)})`],
    ['tool', `${plain(tool)} (${plain(permission)}) on ${plain(resource)}`],
    ['input', plain(JSON.stringify(input))],
    ['in', plain(workspace)],
    ['until', deadline === null ? 'for ever' : new Date(deadline).toISOString()],
    ['decision', record.decision === undefined ? 'waits' : decidedOf(record)],
  ]
  return lines.map(([name, value]) => `${name.padEnd(10)}${value}\n`).join('')
}

/**
 * Allows one.
 *
 * @throws GreenroomError `BAD_OPTIONS`, `UNKNOWN_APPROVAL`, `CONNECT_FAILED`
 */
export function allowApproval(id: string, { input, scope, reason, ...access }: AllowCommand): Promise<void> {
  const edited = input === undefined ? {} : { input: jsonIn(input) }
  return answer(id, access, { allow: true, scope, ...edited, ...(reason === undefined ? {} : { reason }) })
}

/**
 * Denies one.
 *
 * @throws GreenroomError `UNKNOWN_APPROVAL`, `CONNECT_FAILED`
 */
export function denyApproval(id: string, { reason, ...access }: DenyCommand): Promise<void> {
  return answer(id, access, { allow: false, ...(reason === undefined ? {} : { reason }) })
}

/** One that was decided before is told as it was; then the exit code is 1. */
async function answer(id: string, access: ApprovalAccess, verdict: Verdict): Promise<void> {
  const before = approvalIn(await ask(access, 'GET', pathOf('approvals', id)))
  const document =
    before.decision === undefined
      ? await ask(access, 'POST', pathOf('approvals', id), JSON.stringify(verdict))
      : { approval: before }
  const record = approvalIn(document)
  const isOurs =
    before.decision === undefined && record.decision?.decider === 'person' && record.decision.allowed === verdict.allow
  write(access, document, () => `${id} ${isOurs ? 'is' : 'was already'} ${decidedOf(record)}\n`)
  if (!isOurs) process.exitCode = 1
}

/**
 * Lists the answers that hold for longer: as a table, or with `--json` as `{"grants": Grant[]}`.
 *
 * @throws GreenroomError `CONNECT_FAILED`
 */
export async function listGrants(access: ApprovalAccess): Promise<void> {
  const document = await ask(access, 'GET', '/grants')
  write(access, document, () => {
    const grants = listIn(document, 'grants').filter(isGrant)
    if (grants.length === 0) return 'no grants\n'
    const rows = grants.map(({ id, scope, of, tool, permission, resource, decider, by, grantedAt }) => [
      id,
      `${scope} ${plain(of)}`,
      plain(tool),
      plain(permission),
      plain(resource),
      by === undefined ? decider : `${decider} ${plain(by)}`,
      age(systemClock.now() - grantedAt),
    ])
    return table(['GRANT', 'FOR', 'TOOL', 'PERMISSION', 'RESOURCE', 'BY', '>AGE'], rows)
  })
}

/**
 * Takes a grant back; with `--json` it says `{"revoked": boolean}`.
 *
 * @throws GreenroomError `CONNECT_FAILED`, `UNKNOWN_APPROVAL` when there is none
 */
export async function revokeGrant(id: string, access: ApprovalAccess): Promise<void> {
  const document = await ask(access, 'DELETE', pathOf('grants', id))
  if (memberOf(document, 'revoked') !== true) throw new GreenroomError('UNKNOWN_APPROVAL', `there is no grant ${id}`)
  write(access, document, () => `revoked ${id}\n`)
}

function decidedOf({ decision }: ApprovalRecord): string {
  if (decision === undefined) return 'not decided'
  const { allowed, decider, by, reason, scope, input } = decision
  const how = allowed ? `allowed${scope === 'once' ? '' : ` for the ${scope}`}` : 'denied'
  const edited = input === undefined ? '' : `, with ${plain(JSON.stringify(input))}`
  const who = by === undefined ? decider : `${decider} ${plain(by)}`
  return `${how} by ${who}: ${plain(reason)}${edited}`
}

/** @throws GreenroomError `CONNECT_FAILED`; the runner's own */
async function ask({ data }: ApprovalAccess, method: string, path: string, body?: string): Promise<unknown> {
  const socket = findApprovalsDoor(data)
  const nobody = `no runner has ${data} in use: approvals are decided while it runs`
  if (socket === undefined) throw new GreenroomError('CONNECT_FAILED', nobody)
  const { status, body: read } = await askDoor(socket, method, path, body).catch((cause: unknown) => {
    throw new GreenroomError('CONNECT_FAILED', nobody, { cause })
  })
  const document: unknown = JSON.parse(read)
  if (status === 200) return document
  const [code, message] = ['code', 'message'].map((name) => memberOf(memberOf(document, 'error'), name))
  throw new GreenroomError(isErrorCode(code) ? code : 'INTERNAL', typeof message === 'string' ? message : read)
}

function pathOf(collection: 'approvals' | 'grants', id: string): string {
  if (isId(id)) return `/${collection}/${id}`
  throw new GreenroomError('BAD_OPTIONS', `"${String(id)}" is no id`)
}

function write({ json = false }: ApprovalAccess, document: unknown, words: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(document)}\n` : words())
}

function jsonIn(text: string): JsonValue {
  try {
    const value: unknown = JSON.parse(text)
    if (isJson(value)) return value
  } catch {
    // Said below.
  }
  throw new GreenroomError('BAD_OPTIONS', '--input takes JSON')
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function listIn(document: unknown, name: string): readonly unknown[] {
  const list = memberOf(document, name)
  return Array.isArray(list) ? list : []
}

function approvalIn(document: unknown): ApprovalRecord {
  const approval = memberOf(document, 'approval')
  if (isRecord(approval)) return approval
  throw new GreenroomError('INTERNAL', 'the runner answered with something else than an approval')
}

function isRecord(value: unknown): value is ApprovalRecord {
  return hasTexts(value, ['id', 'runId', 'role', 'session', 'tool', 'permission', 'resource', 'workspace'])
}

function isGrant(value: unknown): value is Grant {
  return hasTexts(value, ['id', 'scope', 'of', 'tool', 'permission', 'resource', 'decider'])
}

function hasTexts(value: unknown, names: readonly string[]): boolean {
  return names.every((name) => typeof memberOf(value, name) === 'string')
}
