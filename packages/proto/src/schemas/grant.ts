import * as z from 'zod'
import type * as grant from '../grant.ts'
import { patternPattern } from '../name.ts'
import { looseObject } from './object.ts'
import { count, id, ms } from './primitive.ts'

/** Patterns of names. */
const patterns = z.array(z.string().regex(patternPattern, 'must be a name, or the beginning of names and a *')).max(64)

/** See {@link grant.Grants}. */
export const grants = looseObject({
  consume: patterns.exactOptional(),
  send: z
    .array(looseObject({ to: patterns, kinds: patterns.exactOptional() }))
    .max(64)
    .exactOptional(),
  present: patterns.exactOptional(),
  watch: patterns.exactOptional(),
  revoke: patterns.exactOptional(),
  fence: patterns.exactOptional(),
  delete: patterns.exactOptional(),
  approvals: patterns.exactOptional(),
  issueMs: ms.exactOptional(),
  operator: z.boolean().exactOptional(),
}) satisfies z.ZodType<grant.Grants>

/** See {@link grant.TokenClaims}. */
export const tokenClaims = looseObject({
  sub: id,
  iat: count,
  exp: count,
  grants,
}) satisfies z.ZodType<grant.TokenClaims>
