/**
 * Making room: where every place that a run could have is taken, a run that waits there for its children gives its own up.
 *
 * - *O1* The nearest ancestor that can be suspended is, else any other run there that waits and can.
 * - *O2* An ancestor that executes there is expected to wait in a moment: a child may be placed before its parent says so.
 * - *O3* Where nobody can, and nobody but waiting runs is there, nothing would ever change; but those of other trees may wait for
 *   somebody elsewhere, who gets on.
 */
import type { Full, Outlook, PlacedWorker } from './placement/index.ts'

/** A run, as far as others depend on it. */
export interface Neighbour {
  readonly id: string
  /** Whose child it is. */
  readonly parent: string | undefined
  /** It with its worker; undefined when it has none. */
  readonly occupant: Occupant | undefined
  /** Whether it has no worker until a local process is free, or until its children have ended. */
  readonly isHeldUp: boolean
}

/** A run that has a worker, as far as others want its place. */
export interface Occupant {
  /** The run. */
  readonly id: string
  /** Its worker. */
  readonly worker: PlacedWorker
  /** Whether it does nothing but wait for children; `leaving`: and was asked to suspend itself. */
  readonly waits: boolean | 'leaving'
  /** Whether its executor can be suspended. */
  readonly isSuspendable: boolean
  /** Whom it asks, where it can be suspended as soon as those have answered. */
  readonly asks: readonly string[]
  /** Asks its worker to end the attempt. */
  suspend(): void
}

/**
 * Makes room for a run that finds none, if that can be.
 *
 * @param runs - all of the runner
 * @param lineage - the run ids from the root to its parent
 * @param full - where it wants to be
 * @param self - its own id, where whoever asks it may leave before it answers
 */
export function makeRoom(runs: readonly Neighbour[], lineage: readonly string[], full: Full, self?: string): Outlook {
  const there = runs.flatMap(({ occupant }) => (occupant && full.has(occupant.worker) ? occupant : []))
  const waiting = there.filter(({ waits }) => waits !== false)
  if (waiting.some(({ waits }) => waits === 'leaving')) return 'soon'
  const able = waiting.filter(({ isSuspendable }) => isSuspendable)
  const nearest = able.toSorted((one, other) => lineage.lastIndexOf(other.id) - lineage.lastIndexOf(one.id))[0]
  if (nearest !== undefined) {
    nearest.suspend()
    return 'soon'
  }
  if (there.some(({ id, waits }) => waits === false && lineage.includes(id))) return 'soon'
  const canAnswer = (id: string): boolean => id !== self && !lineage.includes(id) && getsOn(id, runs)
  if (self !== undefined && waiting.some(({ asks }) => asks.length > 0 && asks.every(canAnswer))) return 'asked'
  if (waiting.length < full.slots) return 'later'
  if (waiting.every(({ id }) => lineage.includes(id))) return 'own'
  if (!waiting.some(({ id }) => lineage.includes(id))) return 'held'
  return waiting.some(({ id }) => hasActive(id, runs)) ? 'held' : 'mutual'
}

/** Whether it, or a descendant of it, gets on; of one that has ended another is asked. */
function getsOn(id: string, runs: readonly Neighbour[]): boolean {
  const run = runs.find((one) => one.id === id)
  return run === undefined || isActive(run) || hasActive(id, runs)
}

/** Whether a descendant of it gets on. */
function hasActive(parent: string, runs: readonly Neighbour[]): boolean {
  return runs.some((run) => run.parent === parent && (isActive(run) || hasActive(run.id, runs)))
}

function isActive({ occupant, isHeldUp }: Neighbour): boolean {
  return occupant === undefined ? !isHeldUp : occupant.waits === false
}
