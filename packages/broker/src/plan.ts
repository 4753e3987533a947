/** A change: what goes to the disk, and what follows in memory once it is there. */
import type { Operation } from '@greenroom/store'

/** Memory changes only in `apply`, after the commit, or goes back in `undo`: a failed commit leaves it as it was. */
export interface Plan {
  readonly operations: readonly Operation[]
  /** The commit is on the disk. */
  readonly apply: () => void
  /** It failed, or nobody knows. = nothing to undo */
  readonly undo?: () => void
}

/**
 * Several changes as one, all or nothing.
 *
 * @param plans - the changes, in their order
 */
export function join(plans: readonly Plan[]): Plan {
  return {
    operations: plans.flatMap(({ operations }) => operations),
    apply: () => plans.forEach(({ apply }) => apply()),
    undo: () => plans.forEach(({ undo }) => undo?.()),
  }
}
