/** Which of several resident workers a run goes to. */
import type { Random } from '@greenroom/proto'

/** One that would take it. */
export interface Candidate {
  /** How busy it is: 0 idle, 1 full. */
  readonly load: number
  /** When it was chosen last here, as a growing number; 0 for never. */
  readonly chosen: number
}

/**
 * Chooses the less busy of two that are drawn. Among equally busy ones it is whoever was chosen longest ago, so that each of
 * them gets its share; several that never were are drawn, or many runners would all begin with the same one.
 *
 * @param candidates - in any order
 * @param random - draws
 * @returns undefined when there is none
 */
export function choose<C extends Candidate>(candidates: readonly C[], random: Random): C | undefined {
  const one = draw(candidates, random)
  if (one === undefined) return undefined
  if (candidates.every(({ load }) => load === one.load)) return longestAgo(candidates, random)
  const other = draw(
    candidates.filter((candidate) => candidate !== one),
    random,
  )
  if (other === undefined || one.load < other.load) return one
  return other.load < one.load ? other : longestAgo([one, other], random)
}

function longestAgo<C extends Candidate>(candidates: readonly C[], random: Random): C | undefined {
  const first = Math.min(...candidates.map(({ chosen }) => chosen))
  return draw(
    candidates.filter(({ chosen }) => chosen === first),
    random,
  )
}

function draw<C>(candidates: readonly C[], random: Random): C | undefined {
  return candidates[Math.floor(random.fraction() * candidates.length)]
}
