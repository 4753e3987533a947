/**
 * The bridge: tools of servers that stay beside the runner, for its runs wherever they execute.
 *
 * - `tool-server` what it needs of a server · `bounded-server` so many calls at once · `bridge-desk` one attempt's requests ·
 * `bridge-options` checks · `tool-servers` their end
 */
export { BridgeDesk } from './bridge-desk.ts'
export { checkAllowance, checkBridge } from './bridge-options.ts'
export { closeToolServers } from './tool-servers.ts'
export type { BridgeAllowance, ServedTool, ToolServer, ToolServerOptions } from './tool-server.ts'
