/** I8: whether anybody may have doubts about a run's outcome, by what the disks say. */
import type { Outcome } from '@greenroom/proto'
import type { RunnerLife } from './life.ts'
import type { World } from './world.ts'

/** What nobody can tell of an orphan is unknown after this, in milliseconds: the grace that the runner gives everybody. */
const graceMs = 30_000
/** So long a broker's word about a claim counts, in milliseconds. */
const memoryMs = 12 * 3_600_000

/**
 * Why a run's outcome must not be unknown; undefined when it may, or is not.
 *
 * @param life - the one that says so
 */
export function needlessDoubt(world: World, life: RunnerLife, runId: string, outcome: Outcome): string | undefined {
  if (outcome.status !== 'failed' || outcome.code !== 'OUTCOME_UNKNOWN') return undefined
  const { journal, brokerDisk, clock } = world
  const attempt = journal.lastAttempt(runId)
  if (attempt === undefined) return `${runId} is unknown, and was never tried`
  const { address, epoch, at } = attempt
  const receipt = brokerDisk.store?.get('receipt', `${address}/run-${runId}-${epoch}`)?.meta['state']
  const wasClaimed = receipt === 'claimed' || journal.entries(runId).some((entry) => entry.epoch === epoch)
  const isOld = clock.now() - at > memoryMs
  if (world.isDetached(address) && !isOld) return `${runId} is unknown, and its worker outlives its runner`
  // It may have been recorded in an earlier life, which told nobody of it.
  const endedAt = journal.endedAt(runId) || clock.monotonic()
  const beganAt = world.begins.findLast((at) => at <= endedAt) ?? life.beganAt
  const hasWaited = outcome.mayStillRun === true && endedAt - beganAt >= graceMs
  return wasClaimed || isOld || hasWaited
    ? undefined
    : `${runId} is unknown, and its assignment is ${JSON.stringify(receipt)}`
}
