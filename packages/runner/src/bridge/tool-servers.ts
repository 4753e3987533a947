/** The servers of a runner, all together. */
import type { ToolServer } from './tool-server.ts'

/** Closes them all. Never rejects. */
export async function closeToolServers(servers: ReadonlyMap<string, ToolServer>): Promise<void> {
  // Also one that throws at once must not keep the others open.
  await Promise.allSettled([...servers.values()].map(async (server) => server.close()))
}
