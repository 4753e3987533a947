import * as z from 'zod'
import type * as event from '../event.ts'
import { count, json } from './primitive.ts'
import { looseObject, uncompiled } from './object.ts'
import { usage } from './outcome.ts'

/** See {@link event.ContentPart}. */
export const contentPart = uncompiled(() =>
  z.object({ type: z.string(), text: z.string().exactOptional() }).catchall(json),
) satisfies z.ZodType<event.ContentPart>

/** See {@link event.Message}. */
export const message = looseObject({
  id: z.string().exactOptional(),
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: z.string().or(z.array(contentPart)),
}) satisfies z.ZodType<event.Message>

/** See {@link event.MessageEvent}. */
export const messageEvent = looseObject({ type: z.literal('message'), message }) satisfies z.ZodType<event.MessageEvent>

/** See {@link event.ToolCallEvent}. */
export const toolCallEvent = looseObject({
  type: z.literal('tool-call'),
  id: z.string(),
  tool: z.string(),
  input: json.exactOptional(),
}) satisfies z.ZodType<event.ToolCallEvent>

/** See {@link event.ToolResultEvent}. */
export const toolResultEvent = looseObject({
  type: z.literal('tool-result'),
  id: z.string(),
  output: json.exactOptional(),
  isError: z.boolean().exactOptional(),
}) satisfies z.ZodType<event.ToolResultEvent>

/** See {@link event.DataEvent}. */
export const dataEvent = looseObject({
  type: z.literal('data'),
  name: z.string(),
  data: json,
}) satisfies z.ZodType<event.DataEvent>

/** See {@link event.StatusEvent}. */
export const statusEvent = looseObject({
  type: z.literal('status'),
  status: z.string(),
  detail: z.string().exactOptional(),
}) satisfies z.ZodType<event.StatusEvent>

/** See {@link event.UsageEvent}. */
export const usageEvent = looseObject({ type: z.literal('usage'), usage }) satisfies z.ZodType<event.UsageEvent>

const delta = { text: z.string(), message: z.string().exactOptional() }

/** See {@link event.TextDelta}. */
export const textDelta = looseObject({ type: z.literal('text-delta'), ...delta }) satisfies z.ZodType<event.TextDelta>

/** See {@link event.ReasoningDelta}. */
export const reasoningDelta = looseObject({
  type: z.literal('reasoning-delta'),
  ...delta,
}) satisfies z.ZodType<event.ReasoningDelta>

/** See {@link event.ToolOutputDelta}. */
export const toolOutputDelta = looseObject({
  type: z.literal('tool-output-delta'),
  id: z.string(),
  text: z.string(),
  stream: z.enum(['stdout', 'stderr']).exactOptional(),
}) satisfies z.ZodType<event.ToolOutputDelta>

/** See {@link event.ProgressEvent}. */
export const progressEvent = looseObject({
  type: z.literal('progress'),
  done: z.number(),
  total: z.number().exactOptional(),
  text: z.string().exactOptional(),
}) satisfies z.ZodType<event.ProgressEvent>

/** See {@link event.Entry}. */
export const entry = z.discriminatedUnion('type', [
  messageEvent,
  toolCallEvent,
  toolResultEvent,
  dataEvent,
  statusEvent,
  usageEvent,
]) satisfies z.ZodType<event.Entry>

/** See {@link event.Delta}. */
export const deltaEvent = z.discriminatedUnion('type', [
  textDelta,
  reasoningDelta,
  toolOutputDelta,
  progressEvent,
]) satisfies z.ZodType<event.Delta>

/** See {@link event.RunEvent}. */
export const runEvent = z.discriminatedUnion('type', [
  messageEvent,
  toolCallEvent,
  toolResultEvent,
  dataEvent,
  statusEvent,
  usageEvent,
  textDelta,
  reasoningDelta,
  toolOutputDelta,
  progressEvent,
]) satisfies z.ZodType<event.RunEvent>

/** See {@link event.WireEvent}: the type is checked, the rest is not yet. */
export const wireEvent = looseObject({ type: z.string().max(128) }) satisfies z.ZodType<event.WireEvent>

/** See {@link event.Skipped}. */
export const skipped = looseObject({
  type: z.literal('skipped'),
  first: count,
  last: count,
}) satisfies z.ZodType<event.Skipped>
