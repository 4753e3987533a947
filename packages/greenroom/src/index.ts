/**
 * Greenroom: AI sub-agents as isolated, warm, supervised processes over a durable bus.
 *
 * All of `@greenroom/runner` (this side), and the words of `@greenroom/proto` that it uses. The other packages:
 * `@greenroom/worker` (the other side; here as `greenroom/worker`), `@greenroom/broker` and `@greenroom/bus` (in between).
 *
 * @example
 * ```ts
 * // worker.ts
 * import { defineExecutor, serveWorker } from 'greenroom/worker'
 * import { z } from 'zod'
 *
 * const add = defineExecutor({
 *   version: '1',
 *   input: z.object({ a: z.number(), b: z.number() }),
 *   output: z.number(),
 *   async run({ input }, ctx) {
 *     await ctx.emit({ type: 'text-delta', text: `adding ${input.a} and ${input.b}\n` })
 *     return { output: input.a + input.b }
 *   },
 * })
 * export const executors = { add }
 * await serveWorker({ executors })
 *
 * // main.ts
 * import { createRunner, workerEntry } from 'greenroom'
 *
 * await using runner = await createRunner({
 *   worker: workerEntry<typeof import('./worker.ts').executors>(new URL('./worker.ts', import.meta.url)),
 *   roles: { adder: { executor: 'add' } },
 * })
 * const run = runner.run({ role: 'adder', input: { a: 1, b: 2 } })
 * for await (const event of run) if (event.type === 'text-delta') process.stdout.write(event.text)
 * const end = await run.outcome // never rejects
 * console.log(end.status === 'completed' ? end.output + 1 : end)
 * ```
 *
 * @packageDocumentation
 */
export {
  codeOf,
  errors,
  GreenroomError,
  isErrorCode,
  type AskOptions,
  type BridgedTool,
  type Budget,
  type Bus,
  type ChildId,
  type ChildOutcome,
  type ChildRef,
  type Children,
  type ChildSpec,
  type Clock,
  type ErrorCode,
  type EventRange,
  type JsonValue,
  type Limits,
  type McpServer,
  type Message,
  type Outcome,
  type Posture,
  type Random,
  type ReadEvent,
  type Retry,
  type RunEvent,
  type SteerMode,
  type Timer,
  type ToolResult,
  type Usage,
} from '@greenroom/proto'
export * from '@greenroom/runner'
export { askInTerminal } from './ask-in-terminal.ts'
export { modelReviewer, type ModelReviewerOptions } from './model-reviewer.ts'
export { bySignedToken } from './by-signed-token.ts'
export { createHandler, type HandledRunner } from './handler.ts'
export { mcpToolServer, type McpToolServerOptions } from './mcp-tool-server.ts'
export type { Delegation } from './mcp-file.ts'
export type { DelegateRole, DelegateRoles } from './delegate-role.ts'
