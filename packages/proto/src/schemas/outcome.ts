import * as z from 'zod'
import type * as outcomes from '../outcome.ts'
import { count, json } from './primitive.ts'
import { looseObject } from './object.ts'

/** See {@link outcomes.Usage}. */
export const usage = looseObject({
  inputTokens: z.number().min(0).exactOptional(),
  outputTokens: z.number().min(0).exactOptional(),
  costUsd: z.number().min(0).exactOptional(),
  rounds: z.number().min(0).exactOptional(),
}) satisfies z.ZodType<outcomes.Usage>

/** See {@link outcomes.EventRange}. */
export const eventRange = looseObject({ first: count, last: count }) satisfies z.ZodType<outcomes.EventRange>

const base = { eventsLost: eventRange.exactOptional(), usage: usage.exactOptional() }

/** See {@link outcomes.Outcome}. */
export const outcome = z.discriminatedUnion('status', [
  looseObject({ status: z.literal('completed'), output: json, text: z.string(), ...base }),
  looseObject({ status: z.literal('cancelled'), reason: z.string(), ...base }),
  looseObject({
    status: z.literal('failed'),
    code: z.string(),
    retry: z.enum(['never', 'later']),
    message: z.string(),
    mayStillRun: z.boolean().exactOptional(),
    ...base,
  }),
  looseObject({
    status: z.literal('timeout'),
    which: z.enum(['accept', 'first-event', 'no-progress', 'tool', 'total']),
    ...base,
  }),
  looseObject({ status: z.literal('skipped'), why: z.string(), ...base }),
]) satisfies z.ZodType<outcomes.Outcome>
