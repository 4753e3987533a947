/** The plan of a run: everything it takes, as values, before anything is started. */
import {
  GreenroomError,
  provisionVersion,
  textOf,
  wire,
  type JsonValue,
  type Limits,
  type Message,
  type Posture,
  type Run as Assignment,
} from '@greenroom/proto'
import type { Ticket } from './admission.ts'
import { checkBudget } from './budget.ts'
import type { Config } from './config.ts'
import { checkNames } from './option-check.ts'
import type { RoleOptions } from './options.ts'
import type { Kin, RunRecord } from './journal.ts'
import { checkLimits, limitsOfSession, resolveLimits } from './limits.ts'
import { checkJson, checkMessage, checkSize } from './payload-check.ts'
import { placeOf, type Place } from './place.ts'
import type { WorkerNeed } from './placement/index.ts'
import type { RetryOptions } from './retry.ts'
import type { RunSpec } from './run.ts'
import { checkSessionId, type SessionEntry, type SessionStore } from './session-store.ts'
import { isFolder, workerEnvironment, workingDirectory } from './platform/surroundings.ts'
import { resolve } from 'node:path'

/** Whoever stands at a breakpoint is given time: there is no bound on it. */
const patient: { readonly [Limit in keyof Limits as Limit extends `${string}Ms` ? Limit : never]-?: null } = {
  acceptWarmMs: null,
  acceptColdMs: null,
  firstEventMs: null,
  noProgressMs: null,
  toolMs: null,
  totalMs: null,
}

const orderFields: Readonly<Record<keyof PlanRequest['spec'], true>> = {
  role: true,
  task: true,
  session: true,
  messages: true,
  input: true,
  workspace: true,
  model: true,
  delayMs: true,
  priority: true,
  limits: true,
  budget: true,
  detached: true,
  signal: true,
}

/** A planned run. */
export interface Plan {
  readonly record: RunRecord
  readonly need: WorkerNeed
  readonly place: Place
  /** What the worker is sent, but for what differs between attempts. */
  readonly assignment: Omit<Assignment, 'epoch' | 'limits' | 'replyTo'>
  readonly limits: Limits
  /** How it is let in. */
  readonly ticket: Ticket
  readonly delayMs: number
  readonly retry: RetryOptions
  /** What the role says; undefined where it leaves that to the executor. */
  readonly idempotent: boolean | undefined
  /** Whether it goes on without its runner. */
  readonly detached: boolean
  /** What the session gets before the run: the caller's messages and the assignment. */
  readonly sessionEntries: readonly SessionEntry[]
}

/** What a plan is made from. */
export interface PlanRequest {
  readonly runId: string
  readonly session: string
  readonly spec: RunSpec & { readonly input?: JsonValue | undefined }
  readonly startedAt: number
  /** Whether its session has what it was asked to do already: it was planned in an earlier life of the runner. */
  readonly isResumed: boolean
  readonly config: Config
  readonly sessions: SessionStore
  /** Why no run can be detached; undefined when it can. */
  readonly whyNotDetached: string | undefined
  /** Whose child it is. */
  readonly kin: Kin | undefined
  /** See `Ticket.root`. */
  readonly root: string
}

/**
 * Plans a run.
 *
 * @param request - see {@link PlanRequest}
 * @throws GreenroomError `UNKNOWN_ROLE`, `BAD_OPTIONS`, `INPUT_INVALID`, `SECRET_MISSING`, `MISSING_FEATURE`
 */
export async function planRun(request: PlanRequest): Promise<Plan> {
  const { runId, session, spec, config, startedAt, kin } = request
  const { lineage } = kin ?? { lineage: [] }
  const depth = lineage.length
  // An earlier life may have recorded more than it was given.
  if (!request.isResumed) checkNames('run', spec, orderFields)
  const role = roleOf(request)
  checkSpec(request)
  const detached = detachedOf(request, role)
  const workspace = workspaceOf(request, role)
  const known = await request.sessions.get(session)
  const earlier = await request.sessions.messages(session)
  const said = [...earlier, ...(spec.messages ?? [])]
  const task =
    spec.task ??
    textOf(said.findLast((message) => message.role === 'user') ?? { role: 'user', content: known?.title ?? '' })
  const added: Message[] = request.isResumed
    ? []
    : [...(spec.messages ?? []), ...(spec.task === undefined ? [] : [{ role: 'user' as const, content: spec.task }])]
  const model = spec.model ?? role.model
  const what = {
    task,
    workspace,
    ...(spec.input === undefined ? {} : { input: spec.input }),
    ...(model === undefined ? {} : { model }),
  }
  const bounds = config.inspect ? patient : {}
  const limitsOfRun = resolveLimits(config.limits, role.limits, limitsOfSession(known), spec.limits, bounds)
  return {
    record: { runId, role: spec.role, session, startedAt, ...what, ...orderOf(spec), ...(kin && { kin }) },
    place: placeOf(role),
    need: needOf(config, spec.role, role, await secretsOf(config, spec.role, role), {
      ...what,
      detached,
      depth,
      totalMs: limitsOfRun.totalMs,
    }),
    assignment: {
      runId,
      role: spec.role,
      executor: role.executor,
      path: [...lineage, runId],
      depth,
      ...what,
      messages: [...earlier, ...added],
      posture: postureAt(config, spec.role, depth),
      cancelGraceMs: config.cancelGraceMs,
      ...(role.disabledTools === undefined ? {} : { disabledTools: role.disabledTools }),
      ...(role.mcpServers === undefined ? {} : { mcpServers: role.mcpServers }),
      ...(role.bridge === undefined || detached ? {} : { bridge: Object.keys(role.bridge) }),
      ...(detached ? { detached, required: ['detached'] } : {}),
    },
    detached,
    ticket: ticketOf(role, spec, depth, request.root),
    delayMs: spec.delayMs ?? 0,
    retry: role.retry ?? {},
    idempotent: role.idempotent,
    limits: limitsOfRun,
    sessionEntries: added.map((message, seq) => ({ runId, epoch: 0, seq, message })),
  }
}

/**
 * What a role's workers need when nobody asks for anything else: to start one ahead.
 *
 * @param config - the runner's
 * @param name - one of its roles
 * @throws GreenroomError `UNKNOWN_ROLE`, `SECRET_MISSING`
 */
export async function standardNeed(config: Config, name: string): Promise<WorkerNeed> {
  const role = config.roles.get(name)
  if (role === undefined) throw new GreenroomError('UNKNOWN_ROLE')
  const { model } = role
  const workspace = resolve(workingDirectory(), role.workspace ?? '.')
  return needOf(config, name, role, await secretsOf(config, name, role), {
    workspace,
    depth: 0,
    detached: false,
    ...(model === undefined ? {} : { model }),
  })
}

/** Everything that a worker of this role fixes when it is provisioned. */
function needOf(
  config: Config,
  name: string,
  role: RoleOptions,
  secrets: Readonly<Record<string, string>>,
  {
    workspace,
    model,
    detached,
    depth,
    totalMs,
  }: {
    readonly workspace: string
    readonly model?: string
    readonly detached: boolean
    readonly depth: number
    readonly totalMs?: number | undefined
  },
): WorkerNeed {
  const env = role.env ?? []
  // What is not started here may be anything, and need not even be readable.
  const identity = placeOf(role).kind === 'local' ? config.launcher.identify?.() : undefined
  const { program = '', bundle = '' } = identity ?? {}
  const { nesting, bypass, enforce, unattended, readOnly } = postureAt(config, name, depth)
  const named = (kind: string, values: Readonly<Record<string, string>>): Record<string, JsonValue> =>
    Object.fromEntries(Object.entries(values).map(([field, value]) => [`${kind}:${field}`, value]))
  const fixed = {
    role: name,
    executor: role.executor,
    launcher: program,
    bundle,
    protocol: `${wire.version}.${provisionVersion}`,
    workspace,
    model: model ?? null,
    tools: [...(role.disabledTools ?? [])].toSorted(),
    mcpServers: JSON.stringify(role.mcpServers ?? []),
    depth,
    maxDepth: config.admission.maxDepth,
    nesting: nesting === true,
    bypass: bypass === true,
    enforce: enforce === true,
    unattended: unattended === true,
    readOnly: readOnly === true,
    detached,
    ...named('secret', secrets),
    ...named('env', workerEnvironment([...config.env, ...env], config.dataDir)),
  }
  const bound = detached && totalMs !== undefined ? { totalMs } : {}
  return { role: name, executor: role.executor, secrets, env, detached, ...bound, fixed }
}

/** @throws GreenroomError `BAD_OPTIONS` when its worker would not find it */
function workspaceOf({ spec, config }: PlanRequest, role: RoleOptions): string {
  const workspace = resolve(workingDirectory(), spec.workspace ?? role.workspace ?? '.')
  // Elsewhere it is a path of that machine.
  const isHere = placeOf(role).kind === 'local' && config.launcher.sharesFiles === true
  if (!isHere || isFolder(workspace)) return workspace
  throw new GreenroomError('BAD_OPTIONS', `workspace must be a folder that is there: ${workspace} is none`)
}

/** @throws GreenroomError `BAD_OPTIONS`, `MISSING_FEATURE` */
function detachedOf({ spec, whyNotDetached }: PlanRequest, role: RoleOptions): boolean {
  const { detached = role.detached ?? false } = spec
  if (typeof detached !== 'boolean') throw new GreenroomError('BAD_OPTIONS', 'detached must be true or false')
  if (detached && placeOf(role).kind !== 'local')
    throw new GreenroomError('MISSING_FEATURE', 'only a run in a local role can be detached')
  if (detached && whyNotDetached !== undefined) throw new GreenroomError('MISSING_FEATURE', whyNotDetached)
  return detached
}

/**
 * What a role's runs may do without asking.
 *
 * @param config - the runner's
 * @param role - its name; of one that there is not any more nobody knows what it might
 */
export function postureOf({ roles, approvals }: Pick<Config, 'roles' | 'approvals'>, role: string): Posture {
  return { unattended: approvals.person === undefined || !roles.has(role), ...roles.get(role)?.posture }
}

/**
 * Why a run may have no children; undefined when it may.
 *
 * @param assignment - the run's
 */
export function whyNoChildren({ depth, posture, detached, role }: Plan['assignment']): GreenroomError | undefined {
  if (detached === true)
    return new GreenroomError('MISSING_FEATURE', 'a detached run has no children: its runner may be away')
  if (posture?.nesting !== false) return undefined
  const why = `a run of depth ${depth} in role "${role}" may have no children`
  return new GreenroomError('DEPTH_EXCEEDED', `${why}: see admission.maxDepth, and nesting in the role's posture`)
}

/** The same at some depth: who is as deep as may be has no children. */
function postureAt(config: Config, role: string, depth: number): Posture {
  const posture = postureOf(config, role)
  return { ...posture, nesting: posture.nesting !== false && depth < config.admission.maxDepth }
}

function roleOf({ spec, config }: PlanRequest): RoleOptions {
  const role = config.roles.get(spec.role)
  if (role !== undefined) return role
  throw new GreenroomError('UNKNOWN_ROLE', `no role "${spec.role}"; there are: ${[...config.roles.keys()].join(', ')}`)
}

/** What of an order does not follow from its role, for another life of the runner. */
function orderOf(spec: RunSpec): Pick<RunRecord, 'delayMs' | 'priority' | 'limits' | 'budget' | 'detached'> {
  const { delayMs, priority, limits: bounds, budget, detached } = spec
  return {
    ...(delayMs === undefined ? {} : { delayMs }),
    ...(priority === undefined ? {} : { priority }),
    ...(bounds === undefined ? {} : { limits: bounds }),
    ...(budget === undefined ? {} : { budget }),
    ...(detached === undefined ? {} : { detached }),
  }
}

function ticketOf(role: RoleOptions, spec: RunSpec, depth: number, root: string): Ticket {
  const { concurrency } = role
  return {
    depth,
    root,
    priority: spec.priority ?? role.priority ?? 0,
    ...(concurrency === undefined
      ? {}
      : { concurrency: { key: concurrency.key ?? spec.role, limit: concurrency.limit } }),
  }
}

function checkSpec({ spec, session }: PlanRequest): void {
  checkSessionId(session)
  for (const field of ['task', 'workspace', 'model'] as const) {
    if (spec[field] !== undefined && typeof spec[field] !== 'string')
      throw new GreenroomError('BAD_OPTIONS', `${field} must be a text`)
  }
  for (const field of ['delayMs', 'priority'] as const) {
    if (spec[field] !== undefined && !Number.isFinite(spec[field]))
      throw new GreenroomError('BAD_OPTIONS', `${field} must be a number`)
  }
  checkLimits('limits', spec.limits)
  checkBudget('budget', spec.budget)
  if (spec.messages !== undefined && !Array.isArray(spec.messages))
    throw new GreenroomError('BAD_OPTIONS', 'messages must be a list')
  if (spec.input !== undefined) checkJson('INPUT_INVALID', 'input', spec.input)
  checkSize('input and task', { input: spec.input, task: spec.task })
  for (const [index, message] of (spec.messages ?? []).entries()) checkMessage(`messages.${index}`, message)
}

async function secretsOf(config: Config, roleName: string, role: RoleOptions): Promise<Record<string, string>> {
  const values = (role.secrets ?? []).map(async (name) => {
    const source = config.secrets.get(name)
    const vain = `secret "${name}": the role "${roleName}" names it, but its function in the runner's secrets`
    try {
      const value: unknown = typeof source === 'function' ? await source() : source
      if (typeof value === 'string') return [name, value] as const
    } catch (cause) {
      // Its words may hold what nobody is to see: they stay in the cause.
      throw new GreenroomError('SECRET_MISSING', `${vain} threw`, { cause })
    }
    throw new GreenroomError('SECRET_MISSING', `${vain} gave no text`)
  })
  return Object.fromEntries(await Promise.all(values))
}
