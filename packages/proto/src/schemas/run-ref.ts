/** What most messages of the run protocol have. */
import * as z from 'zod'
import type * as messages from '../message.ts'
import { looseObject } from './object.ts'
import { id, ordinal } from './primitive.ts'

/** The fields of a {@link messages.RunRef}. */
export const ref = { runId: id, epoch: ordinal }

/** See {@link messages.Failure}. */
export const failure = looseObject({
  code: z.string(),
  message: z.string(),
  retry: z.enum(['never', 'later']).exactOptional(),
}) satisfies z.ZodType<messages.Failure>
