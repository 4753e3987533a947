/** Checks of what is said of the bridge. */
import { bad, check, has, isObject, isSome, isTexts } from '../option-check.ts'
import type { RoleOptions, RunnerOptions } from '../options.ts'
import { BoundedServer } from './bounded-server.ts'
import type { ToolServer } from './tool-server.ts'

/**
 * Checks the servers.
 *
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkBridge(bridge: NonNullable<RunnerOptions['bridge']>): ReadonlyMap<string, ToolServer> {
  if (!isObject(bridge)) throw bad('bridge', 'an object of tool servers by name')
  for (const [name, server] of Object.entries(bridge)) {
    check(`bridge.${name}`, server, (it) => has(it, 'listTools', 'callTool', 'close'), 'a tool server')
    check(`bridge.${name}.maxConcurrent`, server.maxConcurrent, isSome, 'a whole number, more than 0')
  }
  return new Map(Object.entries(bridge).map(([name, server]) => [name, new BoundedServer(server)]))
}

/**
 * Checks what a role may call. A server that is not there would be an allowance in vain.
 *
 * @throws GreenroomError `BAD_OPTIONS`
 */
export function checkAllowance(
  field: string,
  allowance: RoleOptions['bridge'],
  servers: ReadonlyMap<string, ToolServer>,
): void {
  check(field, allowance, isObject, 'an object of names of tools by server')
  for (const [server, tools] of Object.entries(allowance ?? {})) {
    if (!servers.has(server)) throw bad(`${field}: "${server}"`, "one of the runner's servers: add it to bridge")
    check(`${field}.${server}`, tools, (it) => it === 'all' || isTexts(it), "a list of names of tools, or 'all'")
  }
}
