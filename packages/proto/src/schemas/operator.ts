import * as z from 'zod'
import type { DeadLetter, DeadLetterReturn, MailboxState } from '../operator.ts'
import { looseObject } from './object.ts'
import { count, id, ms, name, ordinal } from './primitive.ts'

/** See {@link MailboxState}. */
export const mailboxState = looseObject({
  address: name,
  lifetime: z.enum(['incarnation', 'named']).exactOptional(),
  incarnation: id.exactOptional(),
  state: z.enum(['attached', 'suspect', 'free']),
  messages: count,
  held: count,
  bytes: count,
  oldestAt: ms.exactOptional(),
  deadLetters: count,
}) satisfies z.ZodType<MailboxState>

/** See {@link DeadLetterReturn}. */
const deadLetterReturn = looseObject({
  at: ms,
  why: z.enum(['nack', 'timeout', 'gone', 'replaced', 'damaged']),
  by: id,
}) satisfies z.ZodType<DeadLetterReturn>

/** See {@link DeadLetter}. */
export const deadLetter = looseObject({
  address: name,
  id,
  kind: name,
  control: z.boolean().exactOptional(),
  from: name,
  fromIncarnation: id.exactOptional(),
  seq: ordinal,
  at: ms,
  size: count,
  attempts: count,
  history: z.array(deadLetterReturn).max(256),
}) satisfies z.ZodType<DeadLetter>
