/** Why a run did not get a warm worker. */
import type { FingerprintDifference } from './fingerprint.ts'

/**
 * - `first`: there is no other worker to compare with.
 * - `busy`: there are equal ones, and all of them are in use or still starting.
 * - `differs`: the nearest one that is free was provisioned for something else.
 */
export type PoolMiss =
  | { readonly why: 'first' }
  | { readonly why: 'busy' }
  | {
      readonly why: 'differs'
      /** In what, by digests only: `a` is the free worker's, `b` is what the run needs. */
      readonly differences: readonly FingerprintDifference[]
    }

/**
 * A miss in words.
 *
 * @param miss - why there was no warm worker
 *
 * @example
 * ```ts
 * import { describeMiss } from '@greenroom/runner/pool'
 *
 * console.log(describeMiss({ why: 'busy' })) // every worker like it is in use
 * ```
 */
export function describeMiss(miss: PoolMiss): string {
  switch (miss.why) {
    case 'first':
      return 'the first worker of its kind'
    case 'busy':
      return 'every worker like it is in use'
    case 'differs':
      if (miss.differences.some(({ field }) => field === 'role')) return 'no worker of its role is free'
      return `the free worker differs in ${miss.differences.map(said).join(', ')}`
  }
}

function said({ field, a, b }: FingerprintDifference): string {
  return `${field} (${a ?? 'absent'}, not ${b ?? 'absent'})`
}
