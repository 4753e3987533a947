/**
 * Making room: where every place that a run could have is taken by runs that wait for their children, one of those gives
 * its own up.
 *
 * - *O1* The nearest ancestor that can be suspended is, else any other run there that waits and can.
 * - *O2* Where nobody can, and nobody but waiting runs is there, nothing would ever change: that is refused by name.
 */
import { GreenroomError } from '@greenroom/proto'

/** A run that has a worker, as far as others want its place. */
export interface Occupant {
  /** The run. */
  readonly id: string
  /** Where its worker is. */
  readonly where: string
  /** Whether it does nothing but wait for children; `leaving`: and was asked to suspend itself. */
  readonly waits: boolean | 'leaving'
  /** Whether its executor can be suspended. */
  readonly isSuspendable: boolean
  /** Asks its worker to end the attempt. */
  suspend(): void
}

/**
 * Makes room for a run that finds none.
 *
 * @param occupants - all runs of the runner
 * @param lineage - the run ids from the root to its parent
 * @param where - where it wants to be
 * @param slots - how many there are at a time there
 * @throws GreenroomError `POOL_HELD_BY_ANCESTOR` (O2)
 */
export function makeRoom(
  occupants: Iterable<Occupant>,
  lineage: readonly string[],
  where: string,
  slots: number,
): void {
  const waiting = [...occupants].filter((one) => one.where === where && one.waits !== false)
  // Somebody is about to go.
  if (waiting.some(({ waits }) => waits === 'leaving')) return
  const able = waiting.filter(({ isSuspendable }) => isSuspendable)
  const nearest = able.toSorted((one, other) => lineage.lastIndexOf(other.id) - lineage.lastIndexOf(one.id))[0]
  if (nearest !== undefined) return nearest.suspend()
  if (waiting.length >= slots)
    throw new GreenroomError('POOL_HELD_BY_ANCESTOR', `each of ${slots} is held by a run that waits for its children`)
}
