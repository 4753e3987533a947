/** Where a run's worker is, as its status shows it. */
import type { PlacedWorker } from './placement/index.ts'
import type { PoolMiss } from './pool/index.ts'
import type { RunStatus } from './run.ts'

/**
 * The place of a run.
 *
 * @param worker - its own
 * @param warm - whether that was there before the run
 * @param miss - why it was not
 */
export function placeOf(
  { kind, host, address, pid }: PlacedWorker,
  warm: boolean,
  miss: PoolMiss | undefined,
): Partial<RunStatus> {
  return {
    placement: { kind, host },
    worker: { address, warm, ...(miss === undefined ? {} : { miss }), ...(pid === undefined ? {} : { pid }) },
  }
}
