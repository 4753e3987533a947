import * as z from 'zod'
import type { Presence, PresenceChange } from '../presence.ts'
import { count, id, name } from './primitive.ts'
import { looseObject } from './object.ts'

/** See {@link Presence}. */
export const presence = looseObject({
  role: name,
  labels: z.record(z.string(), z.string()).exactOptional(),
  version: z.string().exactOptional(),
  slots: count.exactOptional(),
  load: z.number().exactOptional(),
}) satisfies z.ZodType<Presence>

/** See {@link PresenceChange}. */
export const presenceChange = looseObject({
  address: name,
  incarnation: id,
  state: z.enum(['attached', 'suspect', 'gone']),
  presence,
}) satisfies z.ZodType<PresenceChange>
