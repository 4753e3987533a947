/** What a worker does whose owner is gone. */
import type { Worker } from './worker.ts'

/** How long runs may take to end then: its guard kills what is left soon after. */
const orphanGraceMs = 1_500

/**
 * Lets a worker leave whose owner is gone.
 *
 * @param worker - the worker
 * @param cancelGraceMs - how long its executors may take to end after a cancel, in milliseconds. = 5,000
 */
export function leaveOrphaned(worker: Worker, cancelGraceMs = 5_000): Promise<void> {
  const graceMs = Math.min(cancelGraceMs, orphanGraceMs)
  return worker.close({ graceMs, reason: 'the owner of the worker is gone' })
}
