/**
 * The bridge: tools of MCP servers that stay beside the runner, for executors wherever these are.
 *
 * Tools and results are MCP's own (`tools/list`, `tools/call`), with the server's name beside them.
 */
import type { Failure, RunRef } from './message.ts'
import type { JsonObject, JsonValue } from './json.ts'

/** A tool over the bridge: its server, as the runner names it, and its own name there. */
export interface BridgedToolRef {
  /** The server, as the runner names it. */
  readonly server: string
  /** The tool's name at its server. */
  readonly name: string
}

/** What a server says of a tool. */
export interface BridgedTool extends BridgedToolRef {
  /** Its name, for people. */
  readonly title?: string
  /** What it does, for the model. */
  readonly description?: string
  /** What it takes: the JSON Schema of an object. */
  readonly inputSchema: JsonObject
  /** What its `structuredContent` is: a JSON Schema. = anything */
  readonly outputSchema?: JsonObject
  /** What the server says of its effects (`readOnlyHint`, …); a hint, no promise. */
  readonly annotations?: JsonObject
}

/** What a tool gave, as MCP has it. */
export interface ToolResult {
  /** Blocks for the model: `{ type: 'text', text }`, `{ type: 'image', data, mimeType }`, … */
  readonly content: readonly JsonObject[]
  /** The same as JSON, where the tool has an output schema. */
  readonly structuredContent?: JsonValue
  /** Whether the tool says that it failed: `content` says why, for the model. = false */
  readonly isError?: boolean
}

/** How to call a tool. */
export interface BridgeCallOptions {
  /** How long it may take, in milliseconds: more than 0, at most 3,600,000. = 60,000 */
  readonly timeoutMs?: number
  /** Gives the call up; the server is told. */
  readonly signal?: AbortSignal
}

/** Tools of the runner's MCP servers, as far as the run's role allows them. */
export interface Bridge {
  /**
   * The tools that the role allows, of all servers that it names. A server that cannot be reached now has none, unless there is
   * no other.
   *
   * @throws GreenroomError `TOOL_SERVER_DOWN` when none of the servers can be reached within 10 s, `TIMEOUT` when the runner cannot be
   * within 30 s, `MISSING_FEATURE` in a detached run; what ends the run
   */
  list(): Promise<readonly BridgedTool[]>
  /**
   * Calls a tool. So many at once as `limits.bridgeCalls` says (64), and at a server its `maxConcurrent`, of all runs together: the
   * others wait, within their own time.
   *
   * @param tool - one of {@link Bridge.list}, or its server and name
   * @param input - what it takes. = `{}`
   * @param options - how long it may take
   * @returns what it gave, also where the tool says that it failed (`isError`)
   * @throws GreenroomError `UNKNOWN_TOOL` when the role does not allow it, or the server does not have it; `TOOL_SERVER_DOWN` when it
   * was not called, since the server cannot be reached; `OUTCOME_UNKNOWN` when the server ended during the call; `TOOL_FAILED` when
   * the server refused it, or gave what is no result; `TIMEOUT`, `ABORTED`; `INPUT_INVALID`, `BAD_OPTIONS`; `FRAME_TOO_LARGE` for an input or a result that
   * no message holds; `MAILBOX_FULL`, `STORAGE_FULL` when the bus takes nothing more now; `MISSING_FEATURE` in a detached run; what ends the run
   */
  call(tool: BridgedToolRef, input?: JsonObject, options?: BridgeCallOptions): Promise<ToolResult>
}

/** `call`: which tool, and with what. */
export interface BridgeCallArgs {
  /** Which. */
  readonly tool: BridgedToolRef
  /** What it takes. */
  readonly input: JsonObject
  /** How long it may take, in milliseconds. */
  readonly timeoutMs: number
}

/** `cancel`: which call is given up; that is answered with `ABORTED`. */
export interface BridgeCancelArgs {
  /** Its {@link BridgeRequest}. */
  readonly requestId: string
}

/** A method of {@link Bridge}, and what it is called with. */
export type BridgeCall =
  | {
      /** Lists the tools. */
      readonly op: 'list'
      /** Nothing. */
      readonly args: Readonly<Record<string, unknown>>
    }
  | {
      /** Calls one. */
      readonly op: 'call'
      /** Which. */
      readonly args: BridgeCallArgs
    }
  | {
      /** Gives a call up. */
      readonly op: 'cancel'
      /** Which. */
      readonly args: BridgeCancelArgs
    }

/** What `ctx.bridge` asks of the runner. */
export type BridgeRequest = RunRef & {
  /** The same again is the same request. */
  readonly requestId: string
} & BridgeCall

/** The answer to a {@link BridgeRequest}. */
export interface BridgeResult extends RunRef {
  /** The {@link BridgeRequest} that it answers. */
  readonly requestId: string
  /** Of a `list`. */
  readonly tools?: readonly BridgedTool[]
  /** Of a `call`. */
  readonly result?: ToolResult
  /** Why there is none of these. */
  readonly error?: Failure
}
