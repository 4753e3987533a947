/** What a measurement found: the middle of its samples, and how far they spread. */

/** A measured quantity. */
export interface Figure {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly samples: number
}

/** One line of the result: ours beside the limit, measured alternately in the same run. */
export interface Comparison {
  readonly bench: string
  readonly what: string
  readonly unit: string
  readonly ours: Figure
  /** What the machine can do at best. */
  readonly limit: Figure
  readonly limitIs: string
  /** ours ÷ limit: of the two medians. */
  readonly ratio: number
}

/** Summarises samples. */
export function figure(samples: readonly number[]): Figure {
  const sorted = samples.toSorted((a, b) => a - b)
  return {
    median: percentile(samples, 0.5),
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
    samples: sorted.length,
  }
}

/** The sample below which the given fraction of samples lies. */
export function percentile(samples: readonly number[], fraction: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN
}

/** A side of a comparison: each call gives one sample. */
export type Measure = () => Promise<number>

/**
 * Takes samples of both sides in turns, so that what else the machine does meets both alike.
 *
 * @param rounds - how many samples of each; one more of each is taken first and thrown away
 */
export async function alternate(
  rounds: number,
  ours: Measure,
  limit: Measure,
): Promise<{ ours: Figure; limit: Figure }> {
  const mine: number[] = []
  const best: number[] = []
  await ours()
  await limit()
  for (let round = 0; round < rounds; round += 1) {
    mine.push(await ours())
    best.push(await limit())
  }
  return { ours: figure(mine), limit: figure(best) }
}

/** Puts two figures into a line of the result. */
export function compare(
  names: { readonly bench: string; readonly what: string; readonly unit: string; readonly limitIs: string },
  figures: { readonly ours: Figure; readonly limit: Figure },
): Comparison {
  return { ...names, ...figures, ratio: figures.ours.median / figures.limit.median }
}
