/** The servers of a runner, all together. */
import type { Clock } from '@greenroom/proto'
import type { ToolServer } from './tool-server.ts'

/** How long they may take to end, in milliseconds: a program that has to be killed takes two seconds. */
const closeMs = 3_000

/**
 * Closes them all, and waits for that, but not for one that never ends. Never rejects.
 *
 * @param servers - which
 * @param clock - measures how long it takes
 */
export async function closeToolServers(servers: ReadonlyMap<string, ToolServer>, clock: Clock): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = clock.timer(closeMs, late.resolve)
  // Also one that throws at once must not keep the others open.
  const closing = [...servers.values()].map(async (server) => server.close())
  await Promise.race([Promise.allSettled(closing), late.promise])
  timer.cancel()
}
