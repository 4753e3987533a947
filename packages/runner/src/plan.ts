/** The plan of a run: everything it takes, as values, before anything is started. */
import {
  codeOf,
  type ErrorCode,
  encodePayload,
  GreenroomError,
  parseEvent,
  textOf,
  type JsonValue,
  type Limits,
  type Message,
  type Run as Assignment,
} from '@greenroom/proto'
import type { Ticket } from './admission.ts'
import type { Config } from './config.ts'
import type { RoleOptions } from './options.ts'
import type { RunRecord } from './journal.ts'
import { checkLimits, limitsOfSession, resolveLimits } from './limits.ts'
import type { WorkerNeed } from './placement/index.ts'
import type { RetryOptions } from './retry.ts'
import type { RunSpec } from './run.ts'
import { checkSessionId, type SessionEntry, type SessionStore } from './session-store.ts'
import { workingDirectory } from './platform/surroundings.ts'
import { resolve } from 'node:path'

/** A planned run. */
export interface Plan {
  readonly record: RunRecord
  readonly need: WorkerNeed
  /** What the worker is sent, but for what differs between attempts. */
  readonly assignment: Omit<Assignment, 'epoch' | 'limits'>
  readonly limits: Limits
  /** How it is let in. */
  readonly ticket: Ticket
  readonly delayMs: number
  readonly retry: RetryOptions
  readonly idempotent: boolean
  /** What the session gets before the run: the caller's messages and the assignment. */
  readonly sessionEntries: readonly SessionEntry[]
}

/** What a plan is made from. */
export interface PlanRequest {
  readonly runId: string
  readonly session: string
  readonly spec: RunSpec & { readonly input?: JsonValue | undefined }
  readonly startedAt: number
  readonly config: Config
  readonly sessions: SessionStore
  /** The runner's mailbox. */
  readonly replyTo: string
}

/**
 * Plans a run.
 *
 * @param request - see {@link PlanRequest}
 * @throws GreenroomError `UNKNOWN_ROLE`, `BAD_OPTIONS`, `INPUT_INVALID`, `SECRET_MISSING`
 */
export async function planRun(request: PlanRequest): Promise<Plan> {
  const { runId, session, spec, config, startedAt } = request
  const role = roleOf(request)
  checkSpec(request)
  const known = await request.sessions.get(session)
  const earlier = await request.sessions.messages(session)
  const said = [...earlier, ...(spec.messages ?? [])]
  const task =
    spec.task ??
    textOf(said.findLast((message) => message.role === 'user') ?? { role: 'user', content: known?.title ?? '' })
  const added: Message[] = [
    ...(spec.messages ?? []),
    ...(spec.task === undefined ? [] : [{ role: 'user' as const, content: spec.task }]),
  ]
  const model = spec.model ?? role.model
  const what = {
    task,
    workspace: resolve(workingDirectory(), spec.workspace ?? role.workspace ?? '.'),
    ...(spec.input === undefined ? {} : { input: spec.input }),
    ...(model === undefined ? {} : { model }),
  }
  return {
    record: { runId, role: spec.role, session, startedAt, ...what },
    need: { role: spec.role, executor: role.executor, secrets: await secretsOf(role, request), env: role.env ?? [] },
    assignment: {
      runId,
      replyTo: request.replyTo,
      role: spec.role,
      executor: role.executor,
      path: [runId],
      depth: 0,
      ...what,
      messages: [...earlier, ...added],
      posture: role.posture ?? { unattended: true },
      cancelGraceMs: config.cancelGraceMs,
      ...(role.disabledTools === undefined ? {} : { disabledTools: role.disabledTools }),
      ...(role.mcpServers === undefined ? {} : { mcpServers: role.mcpServers }),
    },
    ticket: ticketOf(role, spec),
    delayMs: spec.delayMs ?? 0,
    retry: role.retry ?? {},
    idempotent: role.idempotent ?? false,
    limits: resolveLimits(config.limits, role.limits, limitsOfSession(known), spec.limits),
    sessionEntries: added.map((message, seq) => ({ runId, epoch: 0, seq, message })),
  }
}

function roleOf({ spec, config }: PlanRequest): RoleOptions {
  const role = config.roles.get(spec.role)
  if (role !== undefined) return role
  throw new GreenroomError('UNKNOWN_ROLE', `no role "${spec.role}"; there are: ${[...config.roles.keys()].join(', ')}`)
}

function ticketOf(role: RoleOptions, spec: RunSpec): Ticket {
  const { concurrency } = role
  return {
    depth: 0,
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
  if (spec.messages !== undefined && !Array.isArray(spec.messages))
    throw new GreenroomError('BAD_OPTIONS', 'messages must be a list')
  encodable('INPUT_INVALID', 'the input', { input: spec.input, task: spec.task })
  for (const message of spec.messages ?? []) checkMessage(message)
}

/** Before it is in the transcript, which nobody could read any more. */
function checkMessage(message: unknown): void {
  encodable('BAD_OPTIONS', 'messages', message)
  try {
    parseEvent({ type: 'message', message })
  } catch (cause) {
    throw new GreenroomError('BAD_OPTIONS', `messages: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

/** What is to travel has to be JSON, and fit into a message. */
function encodable(code: ErrorCode, what: string, value: unknown): void {
  try {
    encodePayload(value)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new GreenroomError(codeOf(cause) === 'FRAME_TOO_LARGE' ? 'SPEC_TOO_LARGE' : code, `${what}: ${message}`, {
      cause,
    })
  }
}

async function secretsOf(role: RoleOptions, { config }: PlanRequest): Promise<Record<string, string>> {
  const values = (role.secrets ?? []).map(async (name) => {
    const source = config.secrets.get(name)
    try {
      const value: unknown = typeof source === 'function' ? await source() : source
      if (typeof value === 'string') return [name, value] as const
    } catch (cause) {
      throw new GreenroomError('SECRET_MISSING', `secret "${name}" could not be had`, { cause })
    }
    throw new GreenroomError('SECRET_MISSING', `secret "${name}" was not given to the runner`)
  })
  return Object.fromEntries(await Promise.all(values))
}
