/**
 * Making room: where every place that a run could have is taken, a run that waits there for its children gives its own up.
 *
 * - *O1* The nearest ancestor that can be suspended is, else any other run there that waits and can.
 * - *O2* An ancestor that executes there is expected to wait in a moment: a child may be placed before its parent says so.
 * - *O3* Where nobody can, and nobody but waiting runs is there, nothing would ever change; but those of other trees may wait for
 *   somebody elsewhere, who gets on.
 * - *O4* The last process is not for another tree, while children of those that wait, and cannot be suspended, wait for it.
 */
import type { Full, Outlook, PlacedWorker, PlaceKind } from './placement/index.ts'
import { Prospects } from './prospects.ts'

/** A run, as far as others depend on it. */
export interface Neighbour {
  readonly id: string
  /** The runs from the root to itself. */
  readonly path: readonly string[]
  /** It with its worker; undefined when it has none. */
  readonly occupant: Occupant | undefined
  /** For what it waits before it has a worker: for the end of these children, or for a permit and a place of a kind. */
  readonly lacks: readonly string[] | PlaceKind | undefined
  /** Whether it answers in the stead of one that has ended. */
  readonly isStandIn: boolean
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
  /** For whose end it waits. */
  readonly awaits: readonly string[]
  /** Asks its worker to end the attempt. */
  suspend(): void
}

/**
 * Makes room for a run that finds none, if that can be.
 *
 * @param runs - all of the runner
 * @param path - the run ids from the root to itself
 * @param full - where it wants to be
 */
export function makeRoom(runs: readonly Neighbour[], path: readonly string[], full: Full): Outlook {
  const there = runs.flatMap(({ occupant }) => (occupant && full.has(occupant.worker) ? occupant : []))
  const waiting = there.filter(({ waits }) => waits !== false)
  if (waiting.some(({ waits }) => waits === 'leaving')) return 'soon'
  const able = waiting.filter(({ isSuspendable }) => isSuspendable)
  const nearest = able.toSorted((one, other) => path.lastIndexOf(other.id) - path.lastIndexOf(one.id))[0]
  if (nearest !== undefined) {
    nearest.suspend()
    return 'soon'
  }
  if (there.some(({ id, waits }) => waits === false && path.includes(id))) return 'soon'
  const prospects = new Prospects(runs, path, full.kind)
  if (waiting.some((one) => prospects.isAnswered(one))) return 'asked'
  if (waiting.length < full.slots) return 'later'
  if (!waiting.some(({ id }) => path.includes(id)) || waiting.some((one) => prospects.isServed(one))) return 'held'
  return waiting.every(({ id }) => path.includes(id)) ? 'own' : 'mutual'
}

/**
 * Whether parents that cannot leave hold all local processes but one, or may soon: roots that execute may wait next. See O4.
 *
 * @param runs - all of the runner
 * @param processes - how many there may be
 */
export function isScarce(runs: readonly Neighbour[], processes: number): boolean {
  const held = runs.filter(({ path, occupant }) => {
    if (occupant?.worker.kind !== 'local') return false
    return occupant.waits === false ? path.length === 1 : !occupant.isSuspendable
  })
  return held.length >= processes - 1 && held.some(({ occupant }) => occupant?.waits !== false)
}
