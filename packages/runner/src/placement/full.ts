/** A place where a run finds no room. */
import { GreenroomError } from '@greenroom/proto'
import type { PlacedWorker } from './placement.ts'

/** Which workers a run could have, if one were free. */
export interface Full {
  /** Whether a worker of this runner's is one of them. */
  readonly has: (worker: PlacedWorker) => boolean
  /** How many runs they take at a time; Infinity when nobody here knows. */
  readonly slots: number
}

/**
 * What may become of it:
 *
 * - `soon`: a run of this runner is about to leave it;
 * - `held`: each of its slots is held by a run of this runner that waits for children, and cannot be suspended;
 * - `own`: the same, and each of those is an ancestor of the run that finds no room: their waiting is for that one;
 * - `later`: somebody executes there, or it is somebody else's.
 */
export type Outlook = 'soon' | 'held' | 'own' | 'later'

/**
 * Says that nothing would ever change.
 *
 * @param full - where
 */
export function heldByAncestors({ slots }: Full): GreenroomError {
  return new GreenroomError('POOL_HELD_BY_ANCESTOR', `each of ${slots} is held by a run that waits for its children`)
}
