/** A place where a run finds no room. */
import { GreenroomError } from '@greenroom/proto'
import type { PlacedWorker, PlaceKind } from './placement.ts'

/** Which workers a run could have, if one were free. */
export interface Full {
  /** What kind of place that is. */
  readonly kind: PlaceKind
  /** Whether a worker of this runner's is one of them. */
  readonly has: (worker: PlacedWorker) => boolean
  /** How many runs they take at a time; Infinity when nobody here knows. */
  readonly slots: number
}

/**
 * What may become of it:
 *
 * - `soon`: a run of this runner is about to leave it;
 * - `asked`: the same, when it is answered by others that get on; they may need the permit of the run that finds no room;
 * - `own`: each of its slots is held by an ancestor of the run that finds no room, which waits and cannot be suspended, and
 *   nobody gets on for whom they wait: at most one that waits for a local process;
 * - `mutual`: the same, but some of those are of other trees, and nobody gets on elsewhere for whom any of them waits;
 * - `held`: the same, but one does, or none of them is its ancestor: their children are told so themselves;
 * - `later`: somebody executes there, or it is somebody else's.
 */
export type Outlook = 'soon' | 'asked' | 'own' | 'mutual' | 'held' | 'later'

/**
 * Says that nothing would ever change.
 *
 * @param full - where
 */
export function heldByAncestors({ slots }: Full): GreenroomError {
  const held = `each of the ${slots} places that it could have is held by a run that waits for its children`
  const advice =
    'give them more (admission.maxProcesses, or slots of the pool and of all its executors), or declare their executors suspendable'
  return new GreenroomError('POOL_HELD_BY_ANCESTOR', `${held}: ${advice}`)
}
