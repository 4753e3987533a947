/**
 * The bugs that the simulator found, by the seeds that found them. What a seed draws changes with the simulator itself: each
 * bug also has a test of its own where it was, and a seed that no longer meets it is replaced by one that does, with the
 * fix taken out.
 */
export const regressions: readonly { readonly seed: number; readonly was: string }[] = [
  { seed: 332, was: 'an ack that a full disk refused was lost: its message stayed held for ever' },
  { seed: 404, was: 'an ack that a full disk refused was lost: its message stayed held for ever' },
  { seed: 510, was: 'a worker forgot its events while the broker was down, and its runner asked for them without end' },
  { seed: 1334, was: 'a worker forgot its events while its machine slept' },
  { seed: 21_697, was: 'a worker forgot its events while its runner was away twice, each time within the grace' },
  { seed: 1842, was: 'the same, and all runs behind it waited for its permit' },
]
