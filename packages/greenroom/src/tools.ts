/**
 * The parent's door: what lets a model start and lead children.
 *
 * {@link delegateTools} gives it the tools; `greenroom mcp` gives the same ones to whoever speaks MCP.
 *
 * @packageDocumentation
 */
export {
  delegateTools,
  type DelegateOptions,
  type DelegateResult,
  type DelegateTool,
  type DelegateTools,
  type ToolCallOptions,
} from './delegate-tools.ts'
export type { AskInput, AwaitInput, CancelInput, ListInput, SendInput, SpawnInput } from './delegate-input.ts'
export type { DelegateRole, DelegateRoles } from './delegate-role.ts'
