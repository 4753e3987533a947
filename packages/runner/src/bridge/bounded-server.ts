/** A server that is called no more often at once than it may be, by all runs together. */
import { Semaphore, type JsonObject, type ToolResult } from '@greenroom/proto'
import type { ServedTool, ToolServer, ToolServerOptions } from './tool-server.ts'

/** How many calls at once, where the server does not say. */
const most = 64

/** See above. One that goes on after it was told to stop keeps its place: it is still at work. */
export class BoundedServer implements ToolServer {
  readonly #server: ToolServer
  readonly #places: Semaphore

  /** @param server - what is called */
  constructor(server: ToolServer) {
    this.#server = server
    this.#places = new Semaphore(server.maxConcurrent ?? most)
  }

  listTools(options: ToolServerOptions): Promise<readonly ServedTool[]> {
    return this.#server.listTools(options)
  }

  callTool(name: string, input: JsonObject, options: ToolServerOptions): Promise<ToolResult> {
    return this.#places.take(options.signal, () => this.#server.callTool(name, input, options))
  }

  close(): Promise<void> {
    return this.#server.close()
  }
}
