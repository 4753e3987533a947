/** What the processes of chaos are told: one argument, JSON. */
import { z } from 'zod'

/** What a broker is told. */
export const brokerSetup = z.object({
  dir: z.string(),
  socket: z.string(),
  token: z.string(),
  operatorToken: z.string(),
  pingMs: z.number(),
  partitionGraceMs: z.number(),
})
/** What a broker is told. */
export type BrokerSetup = z.infer<typeof brokerSetup>

/** What a runner is told. */
export const runnerSetup = z.object({
  name: z.string(),
  dataDir: z.string(),
  /** Where its broker is; null for one of its own. */
  bus: z.object({ url: z.string(), token: z.string() }).nullable(),
  ledger: z.string(),
  seed: z.number(),
  partitionGraceMs: z.number(),
  /** How many jobs it has in progress at most. */
  lanes: z.number(),
})
/** What a runner is told. */
export type RunnerSetup = z.infer<typeof runnerSetup>

/**
 * What a runner is told while it lives: to give itself work or not, to look into all that it ever did and leave, or to
 * leave.
 */
export const runnerCommand = z.object({ t: z.enum(['work', 'rest', 'audit', 'leave']) })
/** What a runner is told while it lives. */
export type RunnerCommand = z.infer<typeof runnerCommand>

/** What a process tells: that it is ready, and, a runner, whether nothing is in progress any more. */
export const processNews = z.union([
  z.object({ t: z.literal('ready') }),
  z.object({
    t: z.literal('state'),
    jobs: z.number(),
    /** How many of them are detached, execute, and will for some seconds more. */
    detached: z.number(),
    runs: z.number(),
    processes: z.number(),
  }),
])
/** What a process tells. */
export type ProcessNews = z.infer<typeof processNews>
