import * as z from 'zod'
import type * as bridge from '../bridge.ts'
import type { JsonObject } from '../json.ts'
import { looseObject } from './object.ts'
import { id, json, ms } from './primitive.ts'
import { failure, ref } from './run-ref.ts'

/** As {@link json}, it is not walked again: nothing of it is dropped, whatever its keys are. */
const object = z
  .custom<JsonObject>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  )
  .meta({ type: 'object' })

const toolRef = { server: z.string(), name: z.string() }

/** See {@link bridge.BridgedTool}. */
const bridgedTool = looseObject({
  ...toolRef,
  title: z.string().exactOptional(),
  description: z.string().exactOptional(),
  inputSchema: object,
  outputSchema: object.exactOptional(),
  annotations: object.exactOptional(),
}) satisfies z.ZodType<bridge.BridgedTool>

/** See {@link bridge.ToolResult}. */
const toolResult = looseObject({
  content: z.array(object),
  structuredContent: json.exactOptional(),
  isError: z.boolean().exactOptional(),
}) satisfies z.ZodType<bridge.ToolResult>

const request = { ...ref, requestId: id }

/** See {@link bridge.BridgeRequest}. */
export const bridgeRequest = z.discriminatedUnion('op', [
  looseObject({ ...request, op: z.literal('list'), args: looseObject({}) }),
  looseObject({
    ...request,
    op: z.literal('call'),
    args: looseObject({ tool: looseObject(toolRef), input: object, timeoutMs: ms }),
  }),
  looseObject({ ...request, op: z.literal('cancel'), args: looseObject({ requestId: z.string() }) }),
]) satisfies z.ZodType<bridge.BridgeRequest>

/** See {@link bridge.BridgeResult}. */
export const bridgeResult = looseObject({
  ...ref,
  requestId: id,
  tools: z.array(bridgedTool).exactOptional(),
  result: toolResult.exactOptional(),
  error: failure.exactOptional(),
}) satisfies z.ZodType<bridge.BridgeResult>
