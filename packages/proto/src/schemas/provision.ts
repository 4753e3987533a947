import * as z from 'zod'
import type * as provisioning from '../provision.ts'
import { limits } from './message.ts'
import { count, id, ms, name, ordinal, words } from './primitive.ts'
import { looseObject } from './object.ts'

/** See {@link provisioning.BusAddress}. */
export const busAddress = looseObject({
  url: z.string().regex(/^(ws|wss|ws\+unix):/),
  token: z.string(),
  ca: z.string().exactOptional(),
  insecure: z.boolean().exactOptional(),
}) satisfies z.ZodType<provisioning.BusAddress>

/** See {@link provisioning.Resident}. */
const resident = looseObject({
  labels: z.record(z.string(), z.string()).exactOptional(),
  host: z.string().exactOptional(),
}) satisfies z.ZodType<provisioning.Resident>

/** See {@link provisioning.Provision}. */
export const provision = looseObject({
  version: ordinal,
  required: words.exactOptional(),
  bus: busAddress,
  address: name,
  incarnation: id,
  role: name,
  executors: z.array(z.string().max(128)),
  secrets: z.record(z.string(), z.string()).exactOptional(),
  slots: count.exactOptional(),
  limits: limits.exactOptional(),
  cancelGraceMs: ms.exactOptional(),
  partitionGraceMs: ms.exactOptional(),
  idleMs: ms.nullable().exactOptional(),
  lingerMs: ms.exactOptional(),
  detached: z.boolean().exactOptional(),
  resident: resident.exactOptional(),
}) satisfies z.ZodType<provisioning.Provision>
