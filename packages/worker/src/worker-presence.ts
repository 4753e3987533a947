/** How a worker shows itself on the bus. */
import type { Presence } from '@greenroom/proto'
import type { WorkerOptions } from './worker.ts'

/**
 * How many runs a worker takes at a time: as many as the provisioning allows, and each of its executors.
 *
 * @param options - what it was started with
 */
export function slotsOf({ provision, executors }: WorkerOptions): number {
  const declared = provision.executors.map((name) => executors[name]?.slots ?? 1)
  return Math.min(provision.slots ?? Infinity, ...(declared.length > 0 ? declared : [1]))
}

/**
 * What watchers of its role see: what it serves, and how much more it would take.
 *
 * @param options - what it was started with
 * @param slots - how many are free
 */
export function presenceOf(options: WorkerOptions, slots: number): Presence {
  const { provision, platform, executors } = options
  const { labels, host } = provision.resident ?? {}
  return {
    role: provision.role,
    ...(labels === undefined ? {} : { labels }),
    ...(host === undefined ? {} : { host }),
    ...(platform.version === undefined ? {} : { version: platform.version }),
    slots,
    load: slots === 0 ? 1 : 1 - slots / slotsOf(options),
    serves: provision.executors.flatMap((name) => {
      const executor = executors[name]
      if (executor === undefined) return []
      const { version, lateBound, idempotent, suspendable } = executor
      return [{ name, version, lateBound, idempotent, suspendable }]
    }),
  }
}
