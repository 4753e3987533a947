import * as z from 'zod'
import type { Presence, PresenceChange, ServedExecutor } from '../presence.ts'
import { count, id, name } from './primitive.ts'
import { looseObject } from './object.ts'

/** See {@link ServedExecutor}. */
const servedExecutor = looseObject({
  name: z.string().max(128),
  version: z.string().max(128),
  lateBound: z.array(z.enum(['workspace', 'model', 'tools'])).exactOptional(),
  idempotent: z.boolean().exactOptional(),
  suspendable: z.boolean().exactOptional(),
}) satisfies z.ZodType<ServedExecutor>

/** See {@link Presence}. */
export const presence = looseObject({
  role: name,
  labels: z.record(z.string(), z.string()).exactOptional(),
  host: z.string().exactOptional(),
  version: z.string().exactOptional(),
  slots: count.exactOptional(),
  load: z.number().exactOptional(),
  serves: z.array(servedExecutor).max(256).exactOptional(),
}) satisfies z.ZodType<Presence>

/** See {@link PresenceChange}. */
export const presenceChange = looseObject({
  address: name,
  incarnation: id,
  state: z.enum(['attached', 'suspect', 'gone']),
  presence,
  seenDead: z.boolean().exactOptional(),
}) satisfies z.ZodType<PresenceChange>
