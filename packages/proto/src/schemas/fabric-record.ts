import * as z from 'zod'
import type * as fabric from '../fabric-record.ts'
import { id, ms, name, ordinal } from './primitive.ts'
import { looseObject } from './object.ts'

/** See {@link fabric.FabricRecord}. */
export const fabricRecord = looseObject({
  fabric: ordinal,
  id,
  role: name,
  labels: z.record(z.string(), z.string()).exactOptional(),
  url: z.string().regex(/^ws\+unix:\/\/\//, 'must be ws+unix:// and the path of a socket'),
  token: z.string().min(1),
  host: z.string().exactOptional(),
  pid: ordinal.exactOptional(),
  expiresAt: ms,
}) satisfies z.ZodType<fabric.FabricRecord>
