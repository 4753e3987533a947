/** The words that the other schemas are made of. */
import * as z from 'zod'
import type { JsonValue } from '../json.ts'
import { idPattern, namePattern } from '../name.ts'

/** A mailbox address, role or kind. */
export const name = z
  .string()
  .regex(namePattern, 'must be 1 to 128 of A-Z a-z 0-9 . _ -, starting with a letter or digit')
/** An id of a message, run, incarnation or request. */
export const id = z.string().regex(idPattern, 'must be 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a dot')
/** Names of capabilities or executors. */
export const words = z.array(z.string().max(128)).max(256)
/** A request number. */
export const req = z.int().min(0)
/** A duration or a time in milliseconds. */
export const ms = z.number().min(0)
/** How many, or a sequence number that may be 0 for none. */
export const count = z.int().min(0)
/** A place in an order: 1, 2, … */
export const ordinal = z.int().min(1)
/** Anything JSON can say. What comes out of `JSON.parse` is that by construction, so it is not walked again. */
export const json = z.custom<JsonValue>((value) => value !== undefined, 'must be there')
