/** What the bridge needs of a server of tools. Types only. */
import type { BridgedTool, JsonObject, ToolResult } from '@greenroom/proto'

/** A tool, as its server tells it. */
export type ServedTool = Omit<BridgedTool, 'server'>

/**
 * A server of tools beside the runner: an MCP server (`mcpToolServer` of `greenroom`), or functions of one's own. It is used by
 * all runs at once.
 */
export interface ToolServer {
  /** How many calls it takes at once, of all runs together; the others wait for their turn, within their own time. = 64 */
  readonly maxConcurrent?: number
  /**
   * Its tools.
   *
   * @throws GreenroomError `TOOL_SERVER_DOWN` when it cannot be reached
   */
  listTools(options: ToolServerOptions): Promise<readonly ServedTool[]>
  /**
   * Calls a tool that is allowed: for a role that is allowed `all`, any name.
   *
   * @throws GreenroomError as `Bridge.call`; anything else that it throws is told as `TOOL_FAILED`
   */
  callTool(name: string, input: JsonObject, options: ToolServerOptions): Promise<ToolResult>
  /** Ends what it has begun: its runner is closing. A later call may begin it anew. */
  close(): Promise<void>
}

/** How a server is asked. */
export interface ToolServerOptions {
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal
  /** How long the answer may take, in milliseconds; the caller gives up by then anyway. */
  readonly timeoutMs: number
}

/** Which tools of which server a role may call: their names, or all that it has, now and later. */
export type BridgeAllowance = Readonly<Record<string, readonly string[] | 'all'>>
