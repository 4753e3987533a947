import * as z from 'zod'
import type { Budget } from '../budget.ts'
import type * as messages from '../message.ts'
import { limits as sizes } from '../limits.ts'
import { bridgeRequest, bridgeResult } from './bridge.ts'
import { message, wireEvent } from './event.ts'
import { eventRange, outcome, usage } from './outcome.ts'
import { count, id, json, ms, name, ordinal, words } from './primitive.ts'
import { failure, ref } from './run-ref.ts'
import { looseObject } from './object.ts'

/** See {@link messages.RunRef}. */
export const runRef = looseObject(ref) satisfies z.ZodType<messages.RunRef>

/** See {@link messages.Limits}. */
export const limits = looseObject({
  acceptWarmMs: ms.exactOptional(),
  acceptColdMs: ms.exactOptional(),
  firstEventMs: ms.exactOptional(),
  noProgressMs: ms.exactOptional(),
  totalMs: ms.exactOptional(),
  toolMs: ms.exactOptional(),
  rounds: count.exactOptional(),
  tokens: count.exactOptional(),
  costUsd: z.number().min(0).exactOptional(),
  outputBytes: count.exactOptional(),
  memoryMb: z.number().min(0).exactOptional(),
}) satisfies z.ZodType<messages.Limits>

/** See {@link Budget}. */
export const budget = looseObject({
  ms: ms.exactOptional(),
  tokens: z.number().min(0).exactOptional(),
  usd: z.number().min(0).exactOptional(),
  spawns: z.number().min(0).exactOptional(),
}) satisfies z.ZodType<Budget>

/** See {@link messages.Posture}. */
export const posture = looseObject({
  bypass: z.boolean().exactOptional(),
  enforce: z.boolean().exactOptional(),
  unattended: z.boolean().exactOptional(),
  readOnly: z.boolean().exactOptional(),
  nesting: z.boolean().exactOptional(),
}) satisfies z.ZodType<messages.Posture>

/** See {@link messages.McpServer}. */
export const mcpServer = looseObject({
  name: z.string(),
  command: z.string().exactOptional(),
  args: z.array(z.string()).exactOptional(),
  url: z.string().exactOptional(),
  env: z.record(z.string(), z.string()).exactOptional(),
  headers: z.record(z.string(), z.string()).exactOptional(),
}) satisfies z.ZodType<messages.McpServer>

/** See {@link messages.ChildOutcome}. */
export const childOutcome = looseObject({
  runId: id,
  key: z.string(),
  outcome,
}) satisfies z.ZodType<messages.ChildOutcome>

/** See {@link messages.History}. */
export const history = looseObject({
  ...ref,
  part: ordinal,
  parts: ordinal,
  messages: z.array(message),
}) satisfies z.ZodType<messages.History>

/** See {@link messages.Run}. */
export const run = looseObject({
  ...ref,
  required: words.exactOptional(),
  replyTo: name,
  role: name,
  executor: z.string().max(128),
  path: z.array(id),
  depth: count,
  task: z.string(),
  input: json.exactOptional(),
  messages: z.array(message).exactOptional(),
  historyParts: count.exactOptional(),
  workspace: z.string(),
  model: z.string().exactOptional(),
  disabledTools: z.array(z.string()).exactOptional(),
  mcpServers: z.array(mcpServer).exactOptional(),
  bridge: z.array(z.string()).exactOptional(),
  posture: posture.exactOptional(),
  limits: limits.exactOptional(),
  cancelGraceMs: ms.exactOptional(),
  detached: z.boolean().exactOptional(),
  resumed: z.array(childOutcome).exactOptional(),
  budget: budget.exactOptional(),
}) satisfies z.ZodType<messages.Run>

const steerMode = z.enum(['now', 'queue'])
const askMode = z.enum(['query', 'steer'])
const receiptStatus = z.enum(['delivered', 'queued', 'not-live'])

/** See {@link messages.Steer}. */
export const steer = looseObject({
  ...ref,
  steerId: id,
  text: z.string(),
  mode: steerMode,
}) satisfies z.ZodType<messages.Steer>

/** See {@link messages.Ask}. */
export const ask = looseObject({
  ...ref,
  askId: id,
  question: z.string(),
  mode: askMode,
}) satisfies z.ZodType<messages.Ask>

/** See {@link messages.Unask}. */
export const unask = looseObject({ ...ref, askId: id }) satisfies z.ZodType<messages.Unask>

const scope = z.enum(['once', 'run', 'session'])

/** See {@link messages.ApprovalDecision}. */
export const approvalDecision = looseObject({
  ...ref,
  requestId: id,
  allowed: z.boolean(),
  reason: z.string(),
  decider: z.enum(['policy', 'reviewer', 'ancestor', 'person', 'deadline', 'system']),
  input: json.exactOptional(),
  digest: z.string(),
  scope,
}) satisfies z.ZodType<messages.ApprovalDecision>

const gated = { tool: z.string(), permission: z.string(), resource: z.string(), input: json.exactOptional() }

/** See {@link messages.ApprovalAsk}. */
export const approvalAsk = looseObject({
  ...ref,
  requestId: id,
  from: runRef,
  path: z.array(id),
  ...gated,
  deadline: ms.exactOptional(),
}) satisfies z.ZodType<messages.ApprovalAsk>

/** See {@link messages.ChildrenResult}. */
export const childrenResult = looseObject({
  ...ref,
  requestId: id,
  childId: id.exactOptional(),
  status: receiptStatus.exactOptional(),
  children: z.array(childOutcome).exactOptional(),
  answer: z.string().exactOptional(),
  listed: z
    .array(
      looseObject({
        runId: id,
        key: z.string(),
        role: z.string(),
        status: z.enum(['running', 'completed', 'cancelled', 'failed', 'timeout', 'skipped']),
      }),
    )
    .exactOptional(),
  error: failure.exactOptional(),
}) satisfies z.ZodType<messages.ChildrenResult>

/** See {@link messages.SpendReceipt}. */
export const spendReceipt = looseObject({
  ...ref,
  upTo: ordinal,
  left: budget,
}) satisfies z.ZodType<messages.SpendReceipt>

/** See {@link messages.Suspend}. */
export const suspend = looseObject({ ...ref, reason: z.string() }) satisfies z.ZodType<messages.Suspend>

/** See {@link messages.Cancel}. */
export const cancel = looseObject({ ...ref, reason: z.string() }) satisfies z.ZodType<messages.Cancel>

/** See {@link messages.Token}. */
export const token = looseObject({ token: z.string(), expiresAt: ms }) satisfies z.ZodType<messages.Token>

/** See {@link messages.EventAck}. */
export const eventAck = looseObject({ ...ref, upTo: count }) satisfies z.ZodType<messages.EventAck>

/** See {@link messages.Resume}. */
export const resume = looseObject({ ...ref, ack: count }) satisfies z.ZodType<messages.Resume>

/** See {@link messages.TerminalAck}. */
export const terminalAck = looseObject({ ...ref, lastSeq: count }) satisfies z.ZodType<messages.TerminalAck>

/** See {@link messages.Refused}. */
export const refused = looseObject({ ...ref, code: z.enum(['BUSY', 'DRAINING']) }) satisfies z.ZodType<messages.Refused>

/** See {@link messages.Accepted}. */
export const accepted = looseObject({ ...ref, pid: count.exactOptional() }) satisfies z.ZodType<messages.Accepted>

/** See {@link messages.Events}. */
export const events = looseObject({
  ...ref,
  first: ordinal,
  events: z.array(wireEvent).min(1).max(sizes.eventsPerMessage),
}) satisfies z.ZodType<messages.Events>

/** See {@link messages.SteerReceipt}. */
export const steerReceipt = looseObject({
  ...ref,
  steerId: id,
  status: receiptStatus,
}) satisfies z.ZodType<messages.SteerReceipt>

/** See {@link messages.AskReply}. */
export const askReply = looseObject({
  ...ref,
  askId: id,
  answer: z.string().exactOptional(),
  error: failure.exactOptional(),
}) satisfies z.ZodType<messages.AskReply>

/** See {@link messages.ApprovalRequest}. */
export const approvalRequest = looseObject({
  ...ref,
  requestId: id,
  afterSeq: count,
  ...gated,
  digest: z.string(),
  createdAt: ms,
  deadline: ms.nullable().exactOptional(),
}) satisfies z.ZodType<messages.ApprovalRequest>

/** See {@link messages.ApprovalAnswer}. */
export const approvalAnswer = looseObject({
  ...ref,
  requestId: id,
  answer: z.enum(['allow', 'deny', 'pass']),
  reason: z.string().exactOptional(),
  input: json.exactOptional(),
  scope: scope.exactOptional(),
}) satisfies z.ZodType<messages.ApprovalAnswer>

const waitArgs = looseObject({ runIds: z.array(z.string()), mode: z.enum(['all', 'any', 'first-error']) })

const request = { ...ref, requestId: id }

/** See {@link messages.ChildrenRequest}. */
export const childrenRequest = z.discriminatedUnion('op', [
  looseObject({
    ...request,
    op: z.literal('spawn'),
    args: looseObject({
      role: z.string(),
      task: z.string().exactOptional(),
      input: json.exactOptional(),
      key: z.string(),
      budget: budget.exactOptional(),
    }),
  }),
  looseObject({
    ...request,
    op: z.literal('wait'),
    args: waitArgs,
  }),
  looseObject({ ...request, op: z.literal('decide'), args: looseObject({ on: z.boolean() }) }),
  looseObject({ ...request, op: z.literal('unwait'), args: looseObject({ requestId: z.string() }) }),
  looseObject({
    ...request,
    op: z.literal('send'),
    args: looseObject({ runId: z.string(), text: z.string(), mode: steerMode }),
  }),
  looseObject({
    ...request,
    op: z.literal('ask'),
    args: looseObject({ runId: z.string(), question: z.string(), mode: askMode, timeoutMs: ms }),
  }),
  looseObject({
    ...request,
    op: z.literal('cancel'),
    args: looseObject({ runId: z.string(), reason: z.string().exactOptional() }),
  }),
  looseObject({ ...request, op: z.literal('list'), args: looseObject({}) }),
]) satisfies z.ZodType<messages.ChildrenRequest>

/** See {@link messages.Heartbeat}. */
export const heartbeat = looseObject({
  ...ref,
  lastSentSeq: count,
  progressSeq: count,
  loopLagMs: ms,
  rssMb: z.number().min(0).exactOptional(),
  waiting: count.exactOptional(),
}) satisfies z.ZodType<messages.Heartbeat>

/** See {@link messages.Terminal}. */
export const terminal = looseObject({
  ...ref,
  status: z.enum(['completed', 'cancelled', 'failed', 'timeout', 'suspended']),
  lastSeq: count,
  output: json.exactOptional(),
  text: z.string().exactOptional(),
  usage: usage.exactOptional(),
  reason: z.string().exactOptional(),
  waitsFor: waitArgs.exactOptional(),
  error: failure.exactOptional(),
  which: z.enum(['tool', 'total', 'first-event', 'no-progress']).exactOptional(),
  lost: eventRange.exactOptional(),
  digest: z.string().exactOptional(),
}) satisfies z.ZodType<messages.Terminal>

/** The schema of every run-protocol message by its kind. */
export const runMessages = {
  history,
  run,
  steer,
  ask,
  unask,
  'approval-decision': approvalDecision,
  'approval-ask': approvalAsk,
  'children-result': childrenResult,
  'bridge-result': bridgeResult,
  'spend-receipt': spendReceipt,
  suspend,
  cancel,
  token,
  ack: eventAck,
  resume,
  'terminal-ack': terminalAck,
  refused,
  accepted,
  events,
  'steer-receipt': steerReceipt,
  'ask-reply': askReply,
  'approval-request': approvalRequest,
  'approval-answer': approvalAnswer,
  'children-request': childrenRequest,
  'bridge-request': bridgeRequest,
  heartbeat,
  terminal,
} as const satisfies { [K in messages.RunKind]: z.ZodType<messages.RunMessages[K]> }
