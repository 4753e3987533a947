/** A runner whose role `asks` is at the pool `crew`: `one` is allowed by a rule, on the rest a person elsewhere decides. */
import { createRunner, type RoleOptions } from '../../src/index.ts'

/**
 * Creates it.
 *
 * @param dataDir - its folder
 * @param bus - its broker
 * @param role - more about the role
 */
export function askingRunner(dataDir: string, bus: { url: string; token: string }, role: Partial<RoleOptions> = {}) {
  return createRunner({
    roles: { asks: { executor: 'asks', placement: { pool: 'crew', maxWaitMs: 30_000 }, ...role } },
    dataDir,
    bus,
    quiet: true,
    approvals: {
      policy: ({ resource }) => (resource === 'one' ? { allow: true, reason: 'by rule' } : undefined),
      person: 'elsewhere',
    },
  })
}
